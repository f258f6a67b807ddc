//! `arizuko completions`: what a shell needs to complete our commands.

use crate::{Cli, console::Console};
use clap::CommandFactory as _;
use clap_complete::Shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell to print for
    shell: Shell,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    // Into memory first: the generator panics when it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "arizuko", &mut script);
    console.text(&String::from_utf8(script)?)
}
