//! `arizuko chat`: a visitor in the terminal. It uses nothing but the public HTTP surface.

mod link;
mod screen;
mod sse;

use self::{
    link::{Attempt, Link, Outage, Trouble},
    screen::{Progress, Screen},
    sse::Events,
};
use crate::{
    console::{Console, note},
    signals::Signals,
};
use anyhow::bail;
use reqwest::{Response, Url};
use serde_json::json;
use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// A connection that lasted this long is no part of an outage before it.
const HEALTHY: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The chat link
    #[arg(value_parser = chat_link)]
    url: Url,
    /// Print one JSON document with the whole conversation, at its end
    #[arg(long)]
    json: bool,
}

/// How one turn ended.
enum Ending {
    /// With a sentence if it did not end well.
    Over(Option<String>),
    Interrupted,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let typed = io::stdin().is_terminal();
    let link = Link::new(args.url)?;
    let config = link.config().await?;
    note(&config.name);
    if !config.greeting.is_empty() {
        note(&config.greeting);
    }
    let mut signals = Signals::listen()?;
    let mut lines = lines();
    let mut conversation: Option<String> = None;
    let (mut turns, mut failure) = (Vec::new(), None);
    loop {
        prompt(typed);
        let line = tokio::select! {
            line = lines.recv() => line.transpose()?,
            () = signals.next() => None,
        };
        let Some(line) = line else { break };
        let message = line.trim();
        if message.is_empty() {
            continue;
        }
        let posted = tokio::select! {
            posted = link.post(message, conversation.as_deref()) => posted?,
            () = signals.next() => bail!("stopped; the last message may not have arrived"),
        };
        if !posted.agent_attached {
            note("Your message is kept; nobody is connected right now.");
        }
        let ending = if args.json {
            let mut nothing = io::sink();
            let mut nowhere = Console::new(String::new(), &mut nothing);
            follow(&link, &posted.turn_id, &mut nowhere, &mut signals).await?
        } else {
            follow(&link, &posted.turn_id, console, &mut signals).await?
        };
        match ending {
            Ending::Over(None) => {}
            Ending::Over(Some(problem)) => {
                note(&problem);
                failure = Some(problem);
            }
            Ending::Interrupted => {
                link.cancel(&posted.turn_id).await?;
                if !typed {
                    bail!("stopped");
                }
                note("(stopped)");
            }
        }
        if args.json {
            turns.push(link.snapshot(&posted.turn_id).await?);
        }
        conversation = Some(posted.conversation);
    }
    if typed {
        // Leaves the prompt's line.
        note("");
    }
    if args.json {
        console.document(&json!({"conversation": conversation, "turns": turns}))?;
    }
    match failure {
        Some(_) if !typed => bail!("not every message was answered"),
        _ => Ok(()),
    }
}

/// Shows a turn until its end, or until a signal.
async fn follow(
    link: &Link,
    turn_id: &str,
    console: &mut Console<'_>,
    signals: &mut Signals,
) -> anyhow::Result<Ending> {
    let mut screen = Screen::default();
    let ending = tokio::select! {
        problem = show(link, turn_id, &mut screen, console) => Ending::Over(problem?),
        () = signals.next() => Ending::Interrupted,
    };
    screen.end_line(console)?;
    Ok(ending)
}

/// Shows a turn, over as many connections as it takes. Gives a sentence if it did not end well.
async fn show(
    link: &Link,
    turn_id: &str,
    screen: &mut Screen,
    console: &mut Console<'_>,
) -> anyhow::Result<Option<String>> {
    let (mut events, mut outage) = (Events::default(), Outage::default());
    loop {
        let trouble = match link.stream(turn_id, &events.last_id).await? {
            Attempt::Complete => return Ok(None),
            Attempt::Later(trouble) => trouble,
            Attempt::Open(response) => {
                events.reconnect();
                let opened = Instant::now();
                match read(response, &mut events, screen, &mut outage, console).await? {
                    Progress::Done(problem) => return Ok(problem),
                    Progress::Revoked => {
                        bail!("this link was revoked: ask whoever gave it to you for a new one")
                    }
                    Progress::Goes => {}
                }
                if opened.elapsed() > HEALTHY {
                    outage = Outage::default();
                }
                Trouble::outage("the connection broke", events.retry)
            }
        };
        outage.wait(&trouble).await?;
    }
}

/// Shows what comes over one connection.
async fn read(
    mut response: Response,
    events: &mut Events,
    screen: &mut Screen,
    outage: &mut Outage,
    console: &mut Console<'_>,
) -> anyhow::Result<Progress> {
    // A connection that breaks is another one's beginning.
    while let Ok(Some(bytes)) = response.chunk().await {
        for event in events.push(&bytes) {
            *outage = Outage::default();
            let progress = screen.show(&event, console)?;
            if progress != Progress::Goes {
                return Ok(progress);
            }
        }
    }
    Ok(Progress::Goes)
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

fn prompt(typed: bool) {
    if typed {
        // A terminal that is gone ends our input as well.
        let _ = write!(io::stderr(), "> ").and_then(|()| io::stderr().flush());
    }
}

/// The link without what may follow it.
fn chat_link(text: &str) -> Result<Url, String> {
    let wrong = || "a chat link looks like https://acme.example/chat/<token>/".to_owned();
    let mut url: Url = text.parse().map_err(|_| wrong())?;
    url.set_query(None);
    url.set_fragment(None);
    let path: Vec<_> = url
        .path()
        .trim_matches('/')
        .split('/')
        .map(String::from)
        .collect();
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
        assert_eq!(
            link("http://127.0.0.1:8080/chat/abc/?conversation=1#x").as_deref(),
            Ok(whole)
        );
        for wrong in [
            "abc",
            "http://acme.example/",
            "http://acme.example/hook/abc",
            "ftp://a/chat/b/",
        ] {
            assert!(link(wrong).is_err(), "{wrong}");
        }
    }
}
