//! Parses a typed line.

/// A person's command in the inbox.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// Show what waits, and the open conversations.
    List,
    /// Claim, or return to, the conversation with this number.
    Open(usize),
    /// Take the conversation with this number from a colleague; `None`: the one that the person was
    /// asked about.
    Take(Option<usize>),
    /// Follow the conversation with this number live; `None`: the one that the person was asked
    /// about.
    Watch(Option<usize>),
    /// Stop watching or answering the open conversation.
    Leave,
    /// Leave a note in the open conversation.
    Note(String),
    /// Show all of the conversation with this number or public id; empty: of the open one.
    History(String),
    /// List the conversations that have these words.
    Search(String),
    /// Show the visitor that an answer is being typed.
    Typing,
    /// Hand the turn off and reassign the conversation to this folder; empty: the route's agent.
    To {
        folder: String,
        note: String,
    },
    /// End the turn and give the conversation back to the agent.
    Close,
    Help,
    Quit,
    /// Send the canned reply of this name; empty: list them.
    Reply(String),
    /// Send this in the open conversation.
    Say(String),
}

/// The text that `/help` prints.
pub(super) const HELP: &str = "\
/list               show what waits and which conversations are open, by number
/open N             take up conversation N, or return to it
/take [N]           take up conversation N, or the one just asked about, from a colleague
/watch [N]          follow conversation N live, and leave it to the colleague who has it
/leave              close the open conversation, which stays as it is
/note TEXT          leave a note for colleagues; neither visitors nor agents see it
/history [N]        show all that was said, noted and done in a conversation; N may be a cnv_… id
/search WORDS       list the conversations with a message that has all these words
/typing             show the visitor that you are typing
/back [NOTE]        hand the conversation back to the agent; visitors never see the note
/to FOLDER [NOTE]   hand the conversation to another folder
/r [NAME]           send a canned reply of --replies; without a name, list them
/close              finish: the agent answers the visitor's next message
/quit               leave; messages that you have not answered go back to the queue
Any other line is your answer in the open conversation. End a line with \\ to continue the answer
on the next line. To begin an answer with /, write //.";

/// Reads a line; a blank one is `None`.
///
/// # Errors
///
/// A sentence that says what is wrong with the line.
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
        ("open", text) => {
            let wrong = "name a number of /list, for example /open 1";
            Command::Open(number("open", text)?.ok_or(wrong)?)
        }
        ("take", text) => Command::Take(number("take", text)?),
        ("watch", text) => Command::Watch(number("watch", text)?),
        ("leave", "") => Command::Leave,
        ("note", "") => return Err("write what to note, for example /note calls back at 5".into()),
        ("note", text) => Command::Note(text.into()),
        ("history", which) => Command::History(which.trim_start_matches('#').into()),
        ("search", "") => return Err("name words to look for, for example /search refund".into()),
        ("search", words) => Command::Search(words.into()),
        ("typing", "") => Command::Typing,
        ("back", note) => Command::To { folder: String::new(), note: note.into() },
        ("to", "") => {
            return Err("name a folder, for example /to acme/people, and a note if you like".into());
        }
        ("to", rest) => {
            let (folder, note) = split(rest);
            Command::To { folder: folder.into(), note: note.into() }
        }
        ("r", name) => Command::Reply(name.into()),
        ("close", "") => Command::Close,
        ("help" | "?", "") => Command::Help,
        ("quit" | "exit", "") => Command::Quit,
        ("list" | "leave" | "typing" | "close" | "help" | "quit", _) => {
            return Err(format!("nothing was done: /{name} takes no argument"));
        }
        _ => {
            return Err(format!(
                "there is no /{name}: see /help. To begin an answer with /, write //"
            ));
        }
    };
    Ok(Some(command))
}

/// Says whether a line that is being typed is going to be an answer.
pub(super) fn is_answer(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && (!line.starts_with('/') || line.starts_with("//"))
}

/// Reads the number of a conversation, if there is one.
fn number(command: &str, text: &str) -> Result<Option<usize>, String> {
    let text = text.trim_start_matches('#');
    let wrong = |_| format!("give a number from /list, for example /{command} 1");
    (!text.is_empty()).then(|| text.parse().map_err(wrong)).transpose()
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
    fn a_line_without_a_slash_is_an_answer() {
        let say = |text: &str| Ok(Some(Command::Say(text.into())));
        assert_eq!(read(" hello "), say("hello"));
        assert_eq!(read("//etc is a folder"), say("/etc is a folder"));
        assert_eq!(read("  "), Ok(None));
        assert_eq!(read("/open 12"), Ok(Some(Command::Open(12))));
        assert_eq!(read("/open #3"), Ok(Some(Command::Open(3))));
        assert_eq!(read("/take"), Ok(Some(Command::Take(None))));
        assert_eq!(read("/take 2"), Ok(Some(Command::Take(Some(2)))));
        assert_eq!(read("/r"), Ok(Some(Command::Reply(String::new()))));
        assert_eq!(read("/r bye "), Ok(Some(Command::Reply("bye".into()))));
        assert_eq!(read("/back"), to("", ""));
        assert_eq!(read("/back was it  so"), to("", "was it  so"));
        assert_eq!(read("/to acme/people  see above"), to("acme/people", "see above"));
        for wrong in ["/open", "/open x", "/take x", "/to", "/close now", "/nothing", "/"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn visitors_see_only_answers_being_typed() {
        assert!(is_answer("h") && is_answer("//e"));
        for other in ["", "  ", "/", "/cl"] {
            assert!(!is_answer(other), "{other}");
        }
    }
}
