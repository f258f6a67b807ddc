//! `arizuko man`: writes the manual pages of all three programs, for packages.

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use std::{
    fs, io,
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
    let written = fs::create_dir_all(&args.folder).and_then(|()| {
        for program in programs {
            let mut program = program.disable_help_subcommand(true);
            program.build();
            write(&program, &[], &args.folder)?;
        }
        Ok(())
    });
    written.with_context(|| format!("cannot write to {}", args.folder.display()))
}

/// Writes the page of a command, and those of its subcommands. If it has no examples of its own,
/// its page has those of the command above it that run it.
fn write(command: &Command, above: &[String], folder: &Path) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut examples = examples(command);
    if examples.is_empty() {
        // Arguments may come between its words.
        let runs_it = |example: &&String| {
            let mut words = example.split_whitespace();
            name.split(' ').all(|part| words.any(|word| word == part))
        };
        examples.extend(above.iter().filter(runs_it).cloned());
    }
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
    fs::write(folder.join(man.get_filename()), page)?;
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.into_iter().try_for_each(|command| write(command, &examples, folder))
}

/// Returns the examples in a command's help. An example may have several lines.
fn examples(command: &Command) -> Vec<String> {
    let help = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let mut examples: Vec<String> = Vec::new();
    // The first line is a heading.
    for line in help.lines().skip(1).filter_map(|line| line.strip_prefix("  ")) {
        match examples.last_mut() {
            Some(example) if line.starts_with(' ') => *example += &format!("\n{line}"),
            _ => examples.push(line.to_owned()),
        }
    }
    examples
}
