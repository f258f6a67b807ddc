//! `arizuko context`: keeps the addresses and files by which an operator calls several systems.

use crate::{
    connect,
    console::{Console, note},
    contexts,
    table::Spare,
};
use anyhow::ensure;
use clap::Subcommand;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko context add prod --control https://control.internal:7070 --key-file prod.key --ca ca.pem
  arizuko --context prod status                # or ARIZUKO_CONTEXT_NAME=prod arizuko status
  arizuko context list
  arizuko context remove prod
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the given controls and files under a name, or replace those that the name has
    Add {
        /// The name
        name: String,
    },
    /// List what is kept
    List,
    /// Forget a name
    Remove {
        /// The name
        #[arg(value_name = "CONTEXT")]
        name: String,
    },
}

pub(crate) fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut all = contexts::read()?;
    match args.command {
        Command::Add { name } => {
            contexts::check(&name)?;
            all.insert(name.clone(), args.connection.as_context()?);
            contexts::write(&all)?;
            note(&format!("use it: {}", console.command(&format!("--context {name} status"))));
            Ok(())
        }
        Command::Remove { name } => {
            ensure!(all.remove(&name).is_some(), "there is no context {name}");
            contexts::write(&all)
        }
        Command::List => {
            if all.is_empty() {
                note("no contexts");
                return Ok(());
            }
            let rows = all.into_iter().map(|(name, context)| {
                let key = context.key_file.map(|file| file.display().to_string());
                [name, context.control.join(","), key.unwrap_or_default()]
            });
            console.table(["CONTEXT", "CONTROL", "KEY FILE"], rows.collect(), Spare::default())
        }
    }
}
