//! `arizuko conversation`: lists, shows, exports and deletes conversations.

use crate::{calls::Calls, console::Console};
use arizuko_proto::public_id;
use clap::Subcommand;

mod delete;
mod export;
pub(crate) mod list;
pub(crate) mod show;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko conversation list acme                          # the most recently active first
  arizuko conversation list acme --status waiting --watch # again every 2 s
  arizuko conversation list --jid web:acme/support --since 1d
  arizuko conversation list acme --search \"refund june\"
  arizuko conversation show cnv_…                         # who said what, and what happened
  arizuko conversation export acme --since 30d > acme.jsonl
  arizuko conversation export --jid web:acme/support --format markdown > support.md
  arizuko conversation delete cnv_…                       # or --jid web:acme/old, or acme --before 90d
")]
pub(crate) enum Command {
    /// List conversations, the most recently active first
    List(list::List),
    /// Delete conversations, even those of revoked links
    Delete(delete::Delete),
    /// Write every message and reply to standard output
    Export(export::Export),
    /// Show a conversation: who said what, attempts, handoffs, notes and failures
    Show(show::Show),
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let (json, flags) = (args.format.json, args.connection.flags());
    match args.command {
        Command::List(list) => list.run(&control, json, &flags, console).await,
        Command::Delete(delete) => delete.run(&control, json, console).await,
        Command::Export(export) => export.run(&control, console).await,
        Command::Show(show) => show.run(&control, json, console).await,
    }
}

/// Reads a conversation's public id, or makes it from the conversation's own id. The own id gives
/// access, so it is not sent.
pub(crate) fn id(text: &str) -> Result<String, String> {
    match text {
        own if public_id::is_own(own) => Ok(public_id::conversation(own)),
        public if public.starts_with(public_id::CONVERSATION) => Ok(public.into()),
        _ => Err("a conversation's id looks like cnv_…, as `conversation list` shows it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_id_is_turned_into_the_public_one() {
        let own = "AAAAAAAAAAAAAAAAAAAAAA";
        assert_eq!(id(own), Ok(public_id::conversation(own)));
        assert_eq!(id("cnv_x"), Ok("cnv_x".into()));
        assert!(id("trn_x").is_err());
    }
}
