//! `arizuko agent exec`: runs a program for each turn.

use super::{
    metrics::Metrics,
    process::{self, Successor},
    script,
    serve::Place,
};
use crate::folder;
use anyhow::{anyhow, bail};
use clap::ValueHint;
use std::{
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How many earlier messages a program gets with `--json`: the most that control gives.
const HISTORY: u32 = 200;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// How many messages to answer at a time
    #[arg(long, default_value_t = 1, value_name = "TURNS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// Show the visitor what follows `status:` on a line of standard error as the agent's status,
    /// and what follows `title:` as the title of the conversation
    #[arg(long)]
    status: bool,
    /// Give the program the whole turn with its history on standard input, as one JSON document
    #[arg(long)]
    json: bool,
    /// What the program prints for a webhook answers the webhook's sender, in the form of CGI:
    /// headers (Content-Type, Status), a blank line, the body. It is sent when the program has
    /// exited with 0 or a code of --handoff
    #[arg(long)]
    cgi: bool,
    /// When the program exits with CODE (1 to 255), hand the turn off to FOLDER, within the same
    /// root folder. What the program has printed stays; its last line on standard error is the note
    /// for whoever continues. If FOLDER is empty, the turn goes to the folder that the route names.
    /// Repeatable
    #[arg(long, value_name = "CODE=FOLDER", value_parser = successor)]
    handoff: Vec<Successor>,
    /// With --handoff: reassign the conversation, so that its later messages go to that folder, too
    #[arg(long, requires = "handoff")]
    handoff_conversation: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::AnyPath)]
    command: Vec<OsString>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let [program, arguments @ ..] = &args.command[..] else {
        bail!("name the program after --");
    };
    let program = Arc::new(process::Program {
        path: find(program)?,
        arguments: arguments.to_vec(),
        json: args.json,
        status: args.status,
        cgi: args.cgi,
        handoffs: args.handoff,
        handoff_conversation: args.handoff_conversation,
    });
    let name = program.path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let history = if args.json { HISTORY } else { 0 };
    let run = move |turn, reply| process::answer(Arc::clone(&program), turn, reply);
    args.place.serve(&name, args.concurrency, history, Metrics::new(), run).await
}

/// Reads an exit code and the folder to which it hands the turn off, such as `75=acme/people`.
fn successor(text: &str) -> Result<Successor, String> {
    let (code, to) = text
        .split_once('=')
        .ok_or("write which exit code goes where, for example 75=acme/people")?;
    let code = code.parse().ok().filter(|code| (1..=255).contains(code));
    Ok(Successor {
        code: code.ok_or("an exit code is a number from 1 to 255")?,
        folder: if to.is_empty() { String::new() } else { folder::parse(to)? },
    })
}

/// Finds the program as a shell would, so that one that can't run is an error at start and not at
/// each turn.
fn find(program: &OsString) -> anyhow::Result<PathBuf> {
    let name = Path::new(program);
    let shown = name.display();
    let path = if name.components().count() == 1 {
        script::in_path(name).ok_or_else(|| {
            anyhow!("there is no program {shown} in PATH: give its path, such as ./{shown}")
        })?
    } else {
        match fs::metadata(name) {
            Ok(_) if script::is_executable(name) => name.into(),
            Ok(file) if file.is_file() => {
                bail!("{shown} is not executable: chmod +x {shown} makes it so")
            }
            Ok(_) => bail!("{shown} is not a program: name a program after --"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("there is no {shown}: name a program after --")
            }
            Err(error) => bail!("cannot read {shown}: {error}"),
        }
    };
    script::check(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handoffs_are_read() {
        let read = |text| successor(text).map(|next| (next.code, next.folder));
        assert_eq!(read("75=acme/people"), Ok((75, "acme/people".into())));
        assert_eq!(read("1="), Ok((1, String::new())));
        for wrong in ["75", "=acme", "0=acme", "256=acme", "75=a//b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        assert!(find(&"sh".into()).unwrap().ends_with("sh"));
        assert!(find(&"/bin/sh".into()).is_ok());
        for (wrong, told) in [
            ("no-such-program", "in PATH"),
            ("./no-such-program", "there is no"),
            ("/etc/passwd", "chmod +x"),
            ("/tmp/", "not a program"),
        ] {
            let error = find(&wrong.into()).unwrap_err().to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
