//! `arizuko completions`: prints the script by which a shell completes this command.

use crate::console::Console;
use clap::Command;
use clap_complete::Shell;

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko completions bash > ~/.local/share/bash-completion/completions/arizuko
")]
pub(crate) struct Args {
    /// Shell to print the script for
    shell: Shell,
}

pub(crate) fn run(
    args: &Args,
    mut command: Command,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    // Into memory first, since the generator panics when it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "arizuko", &mut script);
    console.raw(&String::from_utf8(script)?)
}
