//! The command line of a program, and the environment variables of its flags.

use clap::{Arg, Command, Parser};
use std::{collections::BTreeSet, env, ffi::OsString};

/// The layout of every help text: examples come before the usage.
pub const HELP: &str =
    "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Parses the command line of a program that serves, and exits if it is wrong. Also returns the
/// names of variables that look like the program's and that it doesn't read.
pub fn parse<P: Parser>() -> (P, Vec<String>) {
    let command = P::command().help_template(HELP);
    let unread = unread(&command, &[]);
    let matches = without_empty(command).get_matches();
    (P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()), unread)
}

/// Makes flags take an empty variable as unset.
pub fn without_empty(command: Command) -> Command {
    let is_empty = |value: OsString| value.is_empty();
    let is_set = |arg: &Arg| !arg.get_env().and_then(env::var_os).is_some_and(is_empty);
    let command =
        command.mut_args(|arg| if is_set(&arg) { arg } else { arg.env(None::<&'static str>) });
    command.mut_subcommands(without_empty)
}

/// Returns the names of the variables that begin with `ARIZUKO_` and that nothing reads: no flag
/// has them, and they are not among `others`, which are read in other ways. Most likely they are
/// misspelt.
pub fn unread(command: &Command, others: &[&str]) -> Vec<String> {
    let mut read: BTreeSet<_> = others.iter().map(|name| OsString::from(*name)).collect();
    note_variables(command, &mut read);
    let set = env::vars_os().map(|(name, _)| name).filter(|name| !read.contains(name));
    let set = set.filter_map(|name| name.into_string().ok());
    set.filter(|name| name.starts_with("ARIZUKO_")).collect()
}

fn note_variables(command: &Command, read: &mut BTreeSet<OsString>) {
    read.extend(command.get_arguments().filter_map(Arg::get_env).map(OsString::from));
    command.get_subcommands().for_each(|command| note_variables(command, read));
}

/// Warns of variables that nothing reads.
pub fn warn_of(unread: &[String]) {
    for name in unread {
        tracing::warn!("{name} is set, and nothing here reads it: see --help for the right name");
    }
}
