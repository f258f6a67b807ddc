//! `arizuko agent say`: speaks first in a conversation.

use crate::{
    attach::speech::{Speaker, messages, new_key},
    connect,
    console::Console,
};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::{io, sync::Arc};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// The folder that speaks, and that the conversation is with; without it, the key's
    #[arg(long)]
    folder: Option<String>,
    /// Speak as the person of this name
    #[arg(long)]
    name: Option<String>,
    /// Makes a repeat with the same key the same message; without it, one is made up
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// The conversation's id
    #[arg(allow_hyphen_values = true)]
    conversation: String,
    /// What to say, Markdown; without it, or with -, what comes on standard input
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let text = match args.text {
        Some(text) if text != "-" => text,
        _ => io::read_to_string(io::stdin()).context("cannot read standard input as text")?,
    };
    match messages(&text).len() {
        0 => bail!("there is nothing to say: the text is empty"),
        1 => {}
        _ => bail!("the text is too long for one message: say it in several"),
    }
    let key = match args.idempotency_key {
        Some(key) => key,
        None => new_key()?,
    };
    let control = Arc::new(args.connection.find()?);
    let speaker = Speaker::new(control, args.folder.unwrap_or_default());
    let name = args.name.unwrap_or_default();
    let turn_id = speaker.say(&args.conversation, &text, &name, &key).await?;
    match args.json {
        true => console.document(&json!({"turn_id": turn_id})),
        false => console.line(&turn_id),
    }
}
