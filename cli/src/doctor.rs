//! `arizuko doctor`: checks everything between an operator and a visitor, and says what is wrong
//! and what to do about it.
//!
//! At the end it tries all of it: it issues a link for a minute, attaches an agent, chats over the
//! public URL, and revokes the link.

mod control;
mod public;
mod report;
mod trial;

use self::report::Report;
use crate::{connect, console::Console};
use anyhow::bail;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko doctor
  arizuko doctor --json                    # for a monitor; exits with 1 if something is wrong
")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// Root folder to try a chat in; it also replaces {root} in the public URL
    #[arg(long, default_value = "arizuko-doctor", value_name = "ROOT")]
    folder: String,
    /// Print the findings as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut report = Report::default();
    examine(&args, &mut report).await?;
    if args.json {
        console.document(&serde_json::to_value(&report)?)?;
    } else {
        report.print(console)?;
    }
    match report.failures() {
        0 => Ok(()),
        1 => bail!("1 check failed"),
        several => bail!("{several} checks failed"),
    }
}

/// Runs the checks from the inside out. If one fails, leaves out those that depend on it.
async fn examine(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    if let Some(file) = args.connection.key_file() {
        control::key_file(&file, report);
    }
    let Some(status) = control::status(&control, report).await else {
        return Ok(());
    };
    control::store(&status, report);
    control::servers(&status, report);
    control::waiting(&status, report);
    control::keys(&control, report).await?;
    control::agents(&control, report).await?;
    let url = status.public_url.replace("{root}", &args.folder);
    public::url(&url, report);
    if public::is_reached(&url, &status, report).await? {
        trial::run(&control, &args.folder, report).await?;
    }
    Ok(())
}
