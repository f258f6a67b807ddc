//! `arizuko chat`: a visitor in the terminal. It uses nothing but the public HTTP surface.

mod conversation;
mod link;
mod screen;
mod stream;

use self::{conversation::Conversation, link::Link, screen::Screen};
use crate::console::{Console, note};
use anyhow::bail;
use arizuko_proto::signals::Signals;
use reqwest::Url;
use std::io::{self, IsTerminal as _, Write as _};
use tokio::sync::mpsc;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The chat link
    #[arg(value_parser = chat_link)]
    url: Url,
    /// Print one JSON document with the whole conversation, at its end
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let link = Link::new(args.url)?;
    let config = link.config().await?;
    note(&config.name);
    if !config.greeting.is_empty() {
        note(&config.greeting);
    }
    let mut conversation = Conversation::new(link, Screen::new(config.name, args.json));
    let mut visitor =
        Visitor { typed: io::stdin().is_terminal(), lines: lines(), signals: Signals::listen()? };
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
            note("Your message is kept; nobody is connected right now.");
        }
        let turn = &posted.turn_id;
        let problem = tokio::select! {
            problem = conversation.follow(turn, console) => problem?,
            () = visitor.signals.next() => {
                conversation.cancel(turn, console).await?;
                if !visitor.typed {
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
    if visitor.typed {
        // Leaves the prompt's line.
        note("");
    }
    if args.json {
        console.document(&conversation.document().await?)?;
    }
    match failure {
        Some(_) if !visitor.typed => bail!("not every message was answered"),
        _ => Ok(()),
    }
}

/// Whoever sits before the screen, or the program in his place.
struct Visitor {
    typed: bool,
    lines: mpsc::Receiver<io::Result<String>>,
    signals: Signals,
}

impl Visitor {
    /// The next line; `None` at the end. What is said meanwhile is shown.
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
                    if self.typed && conversation.is_unasked(&event) {
                        // Leaves the prompt's line. What was typed on it is still to be sent.
                        note("");
                    }
                    if conversation.show(&event, console)?.is_some() {
                        self.prompt();
                    }
                }
                // The next message tells whether that has passed.
                Err(error) => {
                    note(&format!("({error:#})"));
                    conversation.hang_up();
                }
            }
        }
    }

    fn prompt(&self) {
        if self.typed {
            // A terminal that is gone ends our input as well.
            let _ = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
        }
    }
}

/// Reads standard input on a thread of its own: a read that waits can't be given up, and must not
/// keep us from ending.
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

/// The link without what may follow it.
fn chat_link(text: &str) -> Result<Url, String> {
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
    fn chat_links_are_taken_as_people_paste_them() {
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
