//! `arizuko agent say`: sends a message that nobody asked for.

use crate::{
    attach::speech::{Speaker, messages, new_key},
    connect,
    console::{Console, Format},
};
use anyhow::{Context as _, bail};
use arizuko_proto::v1::SendMessageRequest;
use std::{io, sync::Arc};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Folder that speaks; it must have a part in the conversation [default: the key's folder]
    #[arg(long)]
    folder: Option<String>,
    /// Speak as the person of this name, not as the agent
    #[arg(long)]
    name: Option<String>,
    /// Two calls with the same key send one message [default: a random key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    format: Format,
    /// Id of the conversation
    #[arg(allow_hyphen_values = true)]
    conversation: String,
    /// Text of the message, in Markdown; - reads it from standard input [default: -]
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let content = match args.text {
        Some(text) if text != "-" => text,
        _ => io::read_to_string(io::stdin()).context("cannot read standard input as text")?,
    };
    match messages(&content).len() {
        0 => bail!("the text is empty: there is nothing to say"),
        1 => {}
        _ => bail!("the text is too long for one message: send it in several"),
    }
    let idempotency_key = match args.idempotency_key {
        Some(key) => key,
        None => new_key()?,
    };
    let speaker = Speaker::new(Arc::new(args.connection.find()?), args.folder.unwrap_or_default());
    let message = SendMessageRequest {
        conversation: args.conversation,
        content,
        name: args.name.unwrap_or_default(),
        idempotency_key,
        ..SendMessageRequest::default()
    };
    let sent = speaker.send(message).await?;
    if args.format.json { console.message(&sent) } else { console.line(&sent.turn_id) }
}
