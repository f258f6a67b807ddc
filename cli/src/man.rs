//! `arizuko man`: writes the manual pages of all three programs, for packages.

use crate::examples;
use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
#[command(before_help = "\
Example:
  arizuko man /usr/local/share/man/man1
")]
pub(crate) struct Args {
    /// Folder to write them to, as arizuko.1, arizuko-token-issue.1 and so on
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, command: Command) -> anyhow::Result<()> {
    let control = arizuko_control::Arguments::command();
    let programs = [command, control, arizuko_gateway::Arguments::command()];
    fs::create_dir_all(&args.folder)
        .with_context(|| format!("cannot create {}", args.folder.display()))?;
    for program in programs {
        let mut program = program.disable_help_subcommand(true);
        program.build();
        write(&program, &args.folder)?;
    }
    Ok(())
}

/// Writes the page of a command, and those of its subcommands.
fn write(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let examples = examples::of(command);
    let version = concat!("arizuko ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("arizuko");
    let mut page = Vec::new();
    man.render(&mut page)?;
    if !examples.is_empty() {
        let mut section = Roff::new();
        section.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.iter().flat_map(|example| example.lines()) {
            section.text([roman(line)]);
        }
        section.control("fi", []).to_writer(&mut page)?;
    }
    let file = folder.join(man.get_filename());
    fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    let mut shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.try_for_each(|command| write(command, folder))
}
