//! The demo agent of `up`: it quotes its visitor and shows what a reply can look like.

use crate::attach::{Failure, Reply, Turn};
use std::time::Duration;
use tokio::time::sleep;

/// The folder of the demo agent.
pub(crate) const FOLDER: &str = "demo";
/// How long the agent waits after each word, so that the visitor sees the reply grow. All waits
/// together take about 1.5 s if the visitor's message is short.
const PACE: Duration = Duration::from_millis(16);
/// How many bytes of the visitor's message are quoted, at most.
const LONGEST_QUOTE: usize = 400;

/// Answers a turn, word by word.
pub(crate) async fn answer(turn: Turn, reply: Reply) -> Result<(), Failure> {
    reply.status("Reading your message").await?;
    sleep(PACE * 10).await;
    let text = text(&String::from_utf8_lossy(&turn.content));
    for words in text.split_inclusive(' ') {
        reply.write(words).await?;
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
         I am not a model, only a small program inside `arizuko up`. But your message took the \
         same way as any other:\n\n\
         1. it was **stored** before you got an answer,\n\
         2. it was delivered to an agent, which is me,\n\
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

/// Quotes a message in Markdown, and escapes the Markdown in it.
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
    fn markdown_in_a_quotation_is_escaped() {
        assert_eq!(quote(" a *b*\n# c "), "> a \\*b\\*\\\n> \\# c");
        assert!(quote(&"é".repeat(1000)).ends_with("é…"));
    }
}
