//! What a typed line means.

/// What a person can do here.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// Shows what waits, and the open conversations.
    List,
    /// Takes up what has this number.
    Open(usize),
    /// Lets the visitor see that an answer is being written.
    Typing,
    /// Hands turn and conversation to this folder; empty: to the route's agent.
    To {
        folder: String,
        note: String,
    },
    /// Ends the turn, and gives the conversation up.
    Close,
    Help,
    Quit,
    /// Says this in the open conversation.
    Say(String),
}

/// What `/help` prints.
pub(super) const HELP: &str = "\
/list               what waits and which conversations are open, by number
/open N             take up number N, or go back to it
/typing             let the visitor see that you are writing
/back [NOTE]        hand it back to the agent; only the agent reads the note
/to FOLDER [NOTE]   hand it to another folder
/close              done: the agent answers what comes next
/quit               leave; what you have not answered goes back to the queue
Any other line is your answer to what is open. It goes on in the next line if it ends with \\,
and it may begin with // for one /.";

/// Reads a line. `Err` says what is wrong with it; a blank line means nothing.
pub(super) fn read(line: &str) -> Result<Option<Command>, String> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return Ok((!line.is_empty()).then(|| Command::Say(line.into())));
    };
    if command.starts_with('/') {
        return Ok(Some(Command::Say(command.into())));
    }
    let (name, rest) = split(command);
    let command = match (name, rest) {
        ("list", "") => Command::List,
        ("open", number) => {
            let number = number.trim_start_matches('#').parse();
            Command::Open(number.map_err(|_| "say which: /open 1, with a number of /list")?)
        }
        ("typing", "") => Command::Typing,
        ("back", note) => Command::To { folder: String::new(), note: note.into() },
        ("to", "") => return Err("say to whom: /to acme/people, and a note if you like".into()),
        ("to", rest) => {
            let (folder, note) = split(rest);
            Command::To { folder: folder.into(), note: note.into() }
        }
        ("close", "") => Command::Close,
        ("help" | "?", "") => Command::Help,
        ("quit" | "exit", "") => Command::Quit,
        ("list" | "typing" | "close" | "help" | "quit", _) => {
            return Err(format!("/{name} stands alone; nothing was done"));
        }
        _ => {
            return Err(format!(
                "there is no /{name}: see /help. To say something that begins with /, write //"
            ));
        }
    };
    Ok(Some(command))
}

/// Says whether the line, as far as it is typed, is going to be an answer.
pub(super) fn is_answer(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && (!line.starts_with('/') || line.starts_with("//"))
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(folder: &str, note: &str) -> Result<Option<Command>, String> {
        let (folder, note) = (folder.into(), note.into());
        Ok(Some(Command::To { folder, note }))
    }

    #[test]
    fn commands_begin_with_a_slash_and_all_else_is_said() {
        let say = |text: &str| Ok(Some(Command::Say(text.into())));
        assert_eq!(read(" hello "), say("hello"));
        assert_eq!(read("//etc is a folder"), say("/etc is a folder"));
        assert_eq!(read("  "), Ok(None));
        assert_eq!(read("/open 12"), Ok(Some(Command::Open(12))));
        assert_eq!(read("/open #3"), Ok(Some(Command::Open(3))));
        assert_eq!(read("/back"), to("", ""));
        assert_eq!(read("/back was it  so"), to("", "was it  so"));
        assert_eq!(read("/to acme/people  see above"), to("acme/people", "see above"));
        for wrong in ["/open", "/open x", "/to", "/close now", "/nothing", "/"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_answers_are_seen_being_typed() {
        assert!(is_answer("h") && is_answer("//e"));
        for other in ["", "  ", "/", "/cl"] {
            assert!(!is_answer(other), "{other}");
        }
    }
}
