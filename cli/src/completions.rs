//! `arizuko completions`: prints the script with which a shell completes this command's words. For
//! each word, the script runs the command again, which asks control for names.

mod bash;
mod names;

use crate::console::Console;
use bash::Bash;
use clap_complete::{
    Shell,
    env::{Elvish, EnvCompleter, Fish, Powershell, Zsh},
};
use std::{env, ffi::OsString, process::ExitCode};

/// The variable by which a script asks for completions. It names the shell.
const ASKED: &str = "ARIZUKO_COMPLETE";

#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  arizuko completions bash > ~/.local/share/bash-completion/completions/arizuko
  arizuko completions zsh > ~/.zfunc/_arizuko         # a folder of your $fpath
  arizuko completions fish > ~/.config/fish/completions/arizuko.fish
")]
pub(crate) struct Args {
    /// Shell to print the script for
    shell: Shell,
}

pub(crate) fn run(args: &Args, console: &mut Console<'_>) -> anyhow::Result<()> {
    let program = console.program();
    // The script finds a name without a slash in PATH.
    let program = match program.contains('/') {
        true => std::path::absolute(program)?.to_string_lossy().into_owned(),
        false => program.to_owned(),
    };
    let mut script = Vec::new();
    let shell = adapter(&args.shell.to_string());
    shell.write_registration(ASKED, "arizuko", "arizuko", &program, &mut script)?;
    if args.shell == Shell::Zsh {
        script.extend(AUTOLOADED.as_bytes());
    }
    console.raw(&String::from_utf8(script)?)
}

/// Completes the word for which zsh loads the script from a folder of `$fpath`. The rest of the
/// script only registers the completion for later words.
const AUTOLOADED: &str = "
[[ ${funcstack[1]} != _arizuko ]] || _clap_dynamic_completer_arizuko \"$@\"
";

/// Prints the completions that a script asks for, if one does. Errors are not shown, since they
/// would get in the way of what somebody is typing.
pub(crate) fn complete(args: &[OsString], console: &mut Console<'_>) -> Option<ExitCode> {
    let shell = env::var(ASKED).ok().filter(|shell| !shell.is_empty())?;
    let words = args.iter().skip_while(|word| *word != "--").skip(1);
    let words: Vec<_> = words.cloned().collect();
    if words.is_empty() {
        return None;
    }
    let folder = env::current_dir().ok();
    let mut command = names::complete(crate::command(), &words);
    let mut found = Vec::new();
    let shell = adapter(&shell);
    let completed = shell.write_complete(&mut command, words, folder.as_deref(), &mut found);
    let printed = completed.is_ok() && console.raw(&String::from_utf8_lossy(&found)).is_ok();
    Some(if printed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn adapter(shell: &str) -> &'static dyn EnvCompleter {
    let others: [&dyn EnvCompleter; 4] = [&Elvish, &Fish, &Powershell, &Zsh];
    others.into_iter().find(|other| other.is(shell)).unwrap_or(&Bash)
}
