//! `arizuko chat`: chats over a link as a visitor, in the terminal. Uses only the public HTTP
//! API.

mod conversation;
mod link;
mod poll;
mod proof;
mod screen;
mod stream;

use self::{
    conversation::{Conversation, PAUSED},
    link::ChatLink,
    screen::Screen,
};
use crate::console::{Console, note};
use anyhow::bail;
use arizuko_proto::signals::Signals;
use reqwest::Url;
use std::io::{self, IsTerminal as _, Write as _};
use tokio::sync::mpsc;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko chat http://127.0.0.1:8080/chat/TOKEN/
  echo 'How are you?' | arizuko chat https://acme.example/chat/TOKEN/ --json
")]
pub(crate) struct Args {
    /// Chat link
    #[arg(value_parser = chat_link)]
    url: Url,
    /// Print the whole conversation as one line of JSON, when it ends
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let link = ChatLink::new(args.url)?;
    let config = link.config().await?;
    if config.paused {
        bail!(PAUSED);
    }
    note(&config.name);
    if !config.greeting.is_empty() {
        note(&config.greeting);
    }
    if let Some(away) = &config.away {
        note(&away.text);
    }
    let mut conversation = Conversation::new(link, Screen::new(config.name, args.json));
    let is_terminal = io::stdin().is_terminal();
    let mut visitor = Visitor { is_terminal, lines: lines(), signals: Signals::listen()? };
    let mut failure = None;
    while let Some(line) = visitor.line(&mut conversation, console).await? {
        let message = line.trim();
        if message.is_empty() {
            continue;
        }
        let posted = tokio::select! {
            posted = conversation.post(message) => posted?,
            () = visitor.signals.next() => bail!("stopped; the last message may not have arrived"),
        };
        if posted.waits() {
            note("Your message is saved, but nobody is connected right now.");
        }
        let turn = &posted.turn_id;
        let problem = tokio::select! {
            problem = conversation.follow(turn, console) => problem?,
            () = visitor.signals.next() => {
                conversation.cancel(turn, console).await?;
                if !visitor.is_terminal {
                    bail!("stopped");
                }
                Some("(stopped)".to_owned())
            }
        };
        if let Some(problem) = problem {
            note(&problem);
            failure = Some(problem);
        }
    }
    if visitor.is_terminal {
        // Ends the prompt's line.
        note("");
    }
    if args.json {
        console.document(&conversation.document().await?)?;
    }
    match failure {
        Some(_) if !visitor.is_terminal => bail!("not every message was answered"),
        _ => Ok(()),
    }
}

/// The person at the terminal, or the program in their place.
struct Visitor {
    is_terminal: bool,
    lines: mpsc::Receiver<io::Result<String>>,
    signals: Signals,
}

impl Visitor {
    /// Waits for the next line and shows what arrives meanwhile. `None`: the input has ended, or a
    /// signal has come.
    async fn line(
        &mut self,
        conversation: &mut Conversation,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Option<String>> {
        self.prompt();
        loop {
            let event = tokio::select! {
                line = self.lines.recv() => return Ok(line.transpose()?),
                () = self.signals.next() => return Ok(None),
                event = conversation.next() => event,
            };
            match event {
                Ok(event) => {
                    if self.is_terminal && conversation.is_unasked(&event) {
                        // Ends the prompt's line. What was typed on it can still be sent.
                        note("");
                    }
                    if conversation.show(&event, console)?.is_some() {
                        self.prompt();
                    }
                }
                // The next message shows whether the stream can be opened again.
                Err(error) => {
                    note(&format!("({error:#})"));
                    conversation.hang_up();
                }
            }
        }
    }

    fn prompt(&self) {
        if self.is_terminal {
            // If the terminal is gone, the input ends, too.
            let _ = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
        }
    }
}

/// Reads standard input on a thread of its own, since a blocking read can't be cancelled when the
/// program ends.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reads a chat link, and drops a query or fragment.
pub(crate) fn chat_link(text: &str) -> Result<Url, String> {
    let wrong = || "a chat link looks like https://acme.example/chat/<token>/".to_owned();
    let mut url: Url = text.parse().map_err(|_| wrong())?;
    url.set_query(None);
    url.set_fragment(None);
    let path: Vec<_> = url.path().trim_matches('/').split('/').map(String::from).collect();
    match &path[..] {
        [.., chat, _token] if chat == "chat" && matches!(url.scheme(), "http" | "https") => {}
        _ => return Err(wrong()),
    }
    url.set_path(&format!("/{}/", path.join("/")));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_links_are_read_as_people_paste_them() {
        let link = |text| chat_link(text).map(String::from);
        let whole = "http://127.0.0.1:8080/chat/abc/";
        assert_eq!(link(whole).as_deref(), Ok(whole));
        assert_eq!(link("http://127.0.0.1:8080/chat/abc").as_deref(), Ok(whole));
        assert_eq!(link("http://127.0.0.1:8080/chat/abc/?conversation=1#x").as_deref(), Ok(whole));
        for wrong in
            ["abc", "http://acme.example/", "http://acme.example/hook/abc", "ftp://a/chat/b/"]
        {
            assert!(link(wrong).is_err(), "{wrong}");
        }
    }
}
