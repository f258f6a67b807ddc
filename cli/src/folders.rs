//! `arizuko folder`: shows and changes the settings of a tenant.

use crate::{
    calls::Calls,
    console::{Console, confirmed, note},
    control::Control,
    folder,
    table::Spare,
    time,
};
use anyhow::bail;
use arizuko_proto::v1::{Folder, FolderSettings, GetFolderRequest, SetFolderRequest};
use clap::Subcommand;
use prost_types::{Duration, FieldMask};
use std::io::{self, IsTerminal as _};

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko folder set acme --keep-messages 7d         # older messages are deleted now, later ones after 7 days
  arizuko folder set acme --keep-messages default    # as long as control's --keep-messages says
  arizuko folder show acme
")]
pub(crate) enum Command {
    /// Set how long a tenant's messages are kept; needs an operator's key
    Set(Set),
    /// Show the settings of a tenant, and which of them were set
    Show {
        /// Root folder of the tenant, for example acme
        #[arg(value_parser = folder::parse)]
        folder: String,
    },
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["keep_messages", "keep_frames"]))]
pub(crate) struct Set {
    /// Root folder of the tenant, for example acme; covers the folders below it
    #[arg(value_parser = folder::parse)]
    folder: String,
    /// How long messages and replies are kept after the end of their turn, from 1s to 3650d, or
    /// `default` for control's --keep-messages. What is kept already and is older is deleted within
    /// minutes
    #[arg(long, value_name = "DURATION", value_parser = keep)]
    keep_messages: Option<Keep>,
    /// How long the pieces of a reply, from which a stream resumes, are kept: at most as long as
    /// messages, or `default` for control's --keep-frames
    #[arg(long, value_name = "DURATION", value_parser = keep)]
    keep_frames: Option<Keep>,
    /// Don't ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// How long to keep something; `None`: as long as control does.
#[derive(Clone)]
struct Keep(Option<Duration>);

fn keep(text: &str) -> Result<Keep, String> {
    if text == "default" {
        return Ok(Keep(None));
    }
    time::parse(text).map(|long| Keep(Some(long))).map_err(|why| format!("{why}, or `default`"))
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let json = args.format.json;
    match args.command {
        Command::Set(set) => set.run(&control, json, console).await,
        Command::Show { folder } => {
            let request = GetFolderRequest { folder };
            let found = control.answer(control.folders().await?.get_folder(request).await)?;
            if json {
                return console.message(&found);
            }
            show(found.folder.unwrap_or_default(), console)
        }
    }
}

impl Set {
    async fn run(
        self,
        control: &Control,
        json: bool,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        if !self.yes && io::stdin().is_terminal() {
            let request = GetFolderRequest { folder: self.folder.clone() };
            let found = control.answer(control.folders().await?.get_folder(request).await)?;
            let now = found.folder.and_then(|folder| folder.effective).unwrap_or_default();
            if self.may_delete(&now) && !confirmed(&self.question())? {
                bail!("nothing was changed");
            }
        }
        let set = control.folders().await?.set_folder(self.request()).await;
        let set = control.answer(set)?;
        if json {
            return console.message(&set);
        }
        show(set.folder.unwrap_or_default(), console)?;
        note("what is older is deleted within minutes");
        Ok(())
    }

    fn request(&self) -> SetFolderRequest {
        let Self { folder, keep_messages, keep_frames, .. } = self;
        let named =
            [("keep_messages", keep_messages.is_some()), ("keep_frames", keep_frames.is_some())];
        let paths = named.into_iter().filter(|(_, is_named)| *is_named);
        let long = |keep: &Option<Keep>| keep.as_ref().and_then(|keep| keep.0);
        SetFolderRequest {
            folder: folder.clone(),
            settings: Some(FolderSettings {
                keep_messages: long(keep_messages),
                keep_frames: long(keep_frames),
            }),
            update_mask: Some(FieldMask {
                paths: paths.map(|(path, _)| path.to_owned()).collect(),
            }),
        }
    }

    /// Whether this may delete messages that the present settings keep.
    fn may_delete(&self, now: &FolderSettings) -> bool {
        let seconds = |long: &Duration| (long.seconds, long.nanos);
        let is_shorter = |keep: &Keep| match (&keep.0, &now.keep_messages) {
            (Some(new), Some(now)) => seconds(new) < seconds(now),
            // Only control knows its own settings.
            _ => true,
        };
        self.keep_messages.as_ref().is_some_and(is_shorter)
    }

    fn question(&self) -> String {
        let keep = self.keep_messages.as_ref().and_then(|keep| keep.0);
        let older = keep.map_or("what control's --keep-messages says".to_owned(), time::print);
        format!("Delete messages of {} that are older than {older}, for good?", self.folder)
    }
}

fn show(folder: Folder, console: &mut Console<'_>) -> anyhow::Result<()> {
    let (set, now) = (folder.settings.unwrap_or_default(), folder.effective.unwrap_or_default());
    let print = |long: Option<Duration>| long.map(time::print).unwrap_or_default();
    let rows = [
        ("keep-messages", now.keep_messages, set.keep_messages),
        ("keep-frames", now.keep_frames, set.keep_frames),
    ];
    let rows = rows.map(|(name, now, set)| [name.to_owned(), print(now), print(set)]);
    console.table(["SETTING", "IN EFFECT", "SET"], rows.into(), Spare::default())
}
