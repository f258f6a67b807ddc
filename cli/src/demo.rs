//! The demo agent that `up` runs: it shows what a reply can look like, and quotes its visitor.

use crate::attach::{Failure, Reply, Turn};
use std::time::Duration;
use tokio::time::sleep;

/// The folder that it answers.
pub(crate) const FOLDER: &str = "demo";
/// A pace at which one can see the reply being made: about a second in all.
const PACE: Duration = Duration::from_millis(16);
/// How much of the visitor's words is quoted.
const LONGEST_QUOTE: usize = 400;

/// Answers a turn, a few words at a time.
pub(crate) async fn answer(turn: Turn, reply: Reply) -> Result<(), Failure> {
    reply.status("Reading your message").await?;
    sleep(PACE * 10).await;
    let text = text(&String::from_utf8_lossy(&turn.content));
    for words in text.split_inclusive(' ') {
        reply.delta(words).await?;
        tokio::select! {
            () = sleep(PACE) => {}
            () = reply.cancelled() => break,
        }
    }
    reply.message(text).await?;
    Ok(())
}

fn text(message: &str) -> String {
    format!(
        "## Hello from the demo agent\n\n\
         You wrote:\n\n\
         {}\n\n\
         I am not a model, only a small program inside `arizuko up`. But what you see is the real \
         line, from end to end:\n\n\
         1. your message was **stored** before you got an answer,\n\
         2. an agent, here me, took it up,\n\
         3. and this reply reaches you *while it is written*.\n\n\
         To put your own agent behind a link, take any program that reads a message and prints a \
         reply:\n\n\
         ```sh\n\
         arizuko token issue acme chat\n\
         arizuko agent exec --folder acme -- ./my-agent.sh\n\
         ```\n",
        quote(message)
    )
}

/// The visitor's words as a quotation, with no effect of any Markdown in them.
fn quote(message: &str) -> String {
    let message = message.trim();
    let end = message.floor_char_boundary(LONGEST_QUOTE);
    let mut quote = String::from("> ");
    for character in message[..end].chars() {
        match character {
            '\n' => quote.push_str("\\\n> "),
            '\r' => {}
            _ => {
                if character.is_ascii_punctuation() {
                    quote.push('\\');
                }
                quote.push(character);
            }
        }
    }
    if end < message.len() {
        quote.push('…');
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_in_a_quotation_has_no_effect() {
        assert_eq!(quote(" a *b*\n# c "), "> a \\*b\\*\\\n> \\# c");
        assert!(quote(&"é".repeat(1000)).ends_with("é…"));
    }
}
