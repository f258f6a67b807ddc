//! `arizuko conversation export`: writes the turns of the selected conversations, one by one.

use crate::{
    console::{Console, word},
    control::Control,
    conversation::show::course,
    folder, time,
};
use anyhow::Context as _;
use arizuko_proto::v1::{ExportConversationsRequest, ExportConversationsResponse};
use prost_types::Duration;
use std::io::{self, IsTerminal as _};

#[derive(clap::Args)]
pub(crate) struct Export {
    /// Only conversations in which this folder, or one below it, has a part [default: the key's
    /// folder]
    #[arg(value_parser = folder::parse)]
    folder: Option<String>,
    /// Only conversations of this address
    #[arg(long)]
    jid: Option<String>,
    /// Only turns that began within this time before now, for example 30d
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    since: Option<Duration>,
    /// Format to write: a line of JSON for each turn, or text for people
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Jsonl,
    Markdown,
}

impl Export {
    pub(super) async fn run(
        self,
        control: &Control,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let request = ExportConversationsRequest {
            folder: self.folder.unwrap_or_default(),
            jid: self.jid.unwrap_or_default(),
            since: self.since.map(time::before_now),
        };
        let mut conversations = control.conversations().await?;
        let mut turns = control.answer(conversations.export_conversations(request).await)?;
        let mut heading = String::new();
        loop {
            let turn = turns.message().await.map_err(|status| control.explain(status));
            match turn.context("the export is not complete")? {
                None => return Ok(()),
                Some(turn) if self.format == Format::Jsonl => console.message(&turn)?,
                Some(turn) => markdown(turn, &mut heading, console)?,
            }
        }
    }
}

/// Writes a turn as Markdown. `heading` is the id of the conversation whose heading was written
/// last. If the turn belongs to another conversation, that one's heading comes first.
fn markdown(
    line: ExportConversationsResponse,
    heading: &mut String,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let (conversation, turn) =
        (line.conversation.unwrap_or_default(), line.turn.unwrap_or_default());
    let mut text = String::new();
    if *heading != conversation.conversation_id {
        text += &format!("# {}, {}\n\n", conversation.jid, conversation.conversation_id);
        *heading = conversation.conversation_id;
    }
    let status = word(turn.status().as_str_name());
    text += &format!("## {}, {status}\n\n", turn.turn_id);
    for said in course(&turn) {
        text += &format!("**{}**, {}\n\n", escaped(&said.who), time::brief(said.at));
        // Every line is quoted, so that nobody can imitate another's message. A lone \r ends a
        // line, too.
        let said = said.text.trim_end().replace("\r\n", "\n").replace('\r', "\n");
        text.extend(said.lines().map(|line| format!("> {line}\n")));
        text.push('\n');
    }
    // A file gets the text unchanged. A terminal doesn't, since the text could control it.
    if io::stdout().is_terminal() { console.text(&text) } else { console.raw(&text) }
}

/// Returns a name so that Markdown shows it as it is: escapes punctuation, and leaves out control
/// characters.
fn escaped(name: &str) -> String {
    let plain = |c: &char| !c.is_control();
    let escape = |c: char| {
        let is_special = c.is_ascii_punctuation();
        is_special.then_some('\\').into_iter().chain([c])
    };
    name.chars().filter(plain).flat_map(escape).collect()
}
