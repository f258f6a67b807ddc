//! `arizuko open`: opens a link in the browser.

use crate::{chat::chat_link, console::Console};
use reqwest::Url;
use std::{
    env,
    process::{Command, Stdio},
};

#[derive(clap::Args)]
#[command(before_help = "\
Example:
  arizuko open \"$(arizuko token issue acme chat)\"
")]
pub(crate) struct Args {
    /// Chat link
    #[arg(value_parser = chat_link)]
    url: Url,
}

/// Opens the link with the command in `BROWSER` or, if that is unset, with the system's own. If the
/// command fails, prints the link.
pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let own = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let browser = env::var("BROWSER").ok().filter(|browser| !browser.trim().is_empty());
    let browser = browser.unwrap_or_else(|| own.to_owned());
    let mut words = browser.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(own));
    // Hides what the browser logs.
    command.args(words).arg(args.url.as_str()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        _ => console.line(args.url.as_str()),
    }
}
