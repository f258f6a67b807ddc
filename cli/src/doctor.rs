//! `arizuko doctor`: looks at everything between an operator and a visitor, and says what is wrong
//! and what to do about it.
//!
//! It tries the whole way for itself: it mints a link for a minute, answers it, talks over it by
//! the public URL, and revokes it.

mod control;
mod public;
mod report;
mod trial;

use self::report::Report;
use crate::{connect, console::Console};
use anyhow::bail;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: connect::Options,
    /// The root folder whose host is tried, where the public URL has {root}
    #[arg(long, default_value = "arizuko-doctor", value_name = "ROOT")]
    folder: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut report = Report::default();
    examine(&args, &mut report).await?;
    if args.json {
        console.document(&report.document())?;
    } else {
        report.print(console)?;
    }
    match report.failures() {
        0 => Ok(()),
        1 => bail!("one thing is wrong"),
        several => bail!("{several} things are wrong"),
    }
}

/// From the inside out; what can't be known without what has failed is left out.
async fn examine(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    if let Some(file) = args.connection.key_file() {
        control::key_file(&file, report);
    }
    let Some(status) = control::status(&control, report).await else {
        return Ok(());
    };
    control::store(&status, report);
    control::keys(&control, report).await?;
    control::agents(&control, report).await?;
    let url = status.public_url.replace("{root}", &args.folder);
    if public::is_reached(&url, &status, report).await? {
        trial::run(&control, &args.folder, report).await?;
    }
    Ok(())
}
