//! Finds control, and the key to call it with: from the chosen context; without one, from the
//! flags, or else from the environment, or else from the `up` that runs on this machine.

use crate::{
    console::quoted,
    contexts::{self, Context},
    control::{Control, DEFAULT_ADDRESS},
    running::Running,
};
use anyhow::{bail, ensure};
use arizuko_proto::{duration, private, tls::ClientFiles};
use clap::{Arg, ArgMatches, Command};
use std::{env, path::PathBuf, time::Duration};

/// The flags of every command that calls control.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Control's address; repeat it for several [env: ARIZUKO_CONTROL]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_delimiter = ',',
        help_heading = "Control"
    )]
    control: Vec<String>,
    /// File with the key to call with [env: ARIZUKO_KEY_FILE; ARIZUKO_KEY has the key itself]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Control")]
    key_file: Option<PathBuf>,
    /// How long control may take to answer a call, or to be reached [default: 15s]
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        value_parser = duration::parse,
        help_heading = "Control"
    )]
    control_timeout: Option<Duration>,
    #[command(flatten)]
    tls: ClientFiles,
}

/// The argument id of a `--context` that comes after a command. It is not `context`, which is the
/// id of the `--context` that links have.
const CONTEXT: &str = "context_here";

/// Lets `--context` also come after each command that calls control, and `--timeout` stand for
/// `--control-timeout`, except where a flag of the command's own has that name.
pub(crate) fn with_short_forms(mut command: Command, above: bool) -> Command {
    let has = |command: &Command, id| command.get_arguments().any(|arg| arg.get_id() == id);
    let connects = above || has(&command, "control");
    if connects && !has(&command, "context") {
        let context = Arg::new(CONTEXT).long("context").value_name("CONTEXT");
        let help = "Name of the context to work in, from `arizuko context add`";
        command = command.arg(context.help(help).help_heading("Control"));
    }
    if has(&command, "control_timeout") && !has(&command, "timeout") {
        command = command.mut_arg("control_timeout", |arg| arg.visible_alias("timeout"));
    }
    command.mut_subcommands(|command| with_short_forms(command, connects))
}

/// Returns the name of the context that a command line chooses after a command, by the last flag if
/// there are several.
pub(crate) fn context(matches: &ArgMatches) -> Option<String> {
    let inner = matches.subcommand().and_then(|(_, matches)| context(matches));
    let here = || matches.try_get_one::<String>(CONTEXT).ok().flatten().cloned();
    inner.or_else(here)
}

/// Where the key comes from.
#[derive(Debug, PartialEq)]
enum KeySource {
    Environment(String),
    File(PathBuf),
    /// The file with the operator's key of the `up` that runs on this machine.
    Up(PathBuf),
    Nowhere,
}

impl Options {
    /// Finds control and reads the key.
    pub(crate) fn find(&self) -> anyhow::Result<Control> {
        let (addresses, key) = self.found()?;
        let key = match key {
            KeySource::Environment(key) => Some(key),
            KeySource::File(path) | KeySource::Up(path) => Some(private::read(&path)?),
            KeySource::Nowhere => None,
        };
        let tls = contexts::chosen()?.map(|context| context.tls());
        let control = Control::new(addresses, key.as_deref(), tls.as_ref().unwrap_or(&self.tls))?;
        Ok(match self.control_timeout {
            Some(timeout) => control.with_timeout(timeout),
            None => control,
        })
    }

    /// Finds control for a model, which must not get the key of a running `up` unasked.
    pub(crate) fn find_for_model(&self) -> anyhow::Result<Control> {
        if let (_, KeySource::Up(_) | KeySource::Nowhere) = self.found()? {
            bail!(
                "name the agent's key, as `arizuko key create` prints it: set ARIZUKO_KEY, or --key-file"
            );
        }
        self.find()
    }

    fn found(&self) -> anyhow::Result<(Vec<String>, KeySource)> {
        match contexts::chosen()? {
            None => Ok(self.discover(variable, Running::find())),
            // The key of a context is for its own controls alone.
            Some(_) if !self.control.is_empty() => bail!("give --context or --control, not both"),
            Some(context) => {
                let file = self.key_file.clone().or(context.key_file);
                Ok((context.control, file.map_or(KeySource::Nowhere, KeySource::File)))
            }
        }
    }

    /// Returns these flags as a context, to be stored.
    pub(crate) fn as_context(&self) -> anyhow::Result<Context> {
        ensure!(!self.control.is_empty(), "name at least one control with --control");
        Context::new(self.control.clone(), self.key_file.as_deref(), &self.tls)
    }

    /// Returns the file that the key is read from, if it comes from one.
    pub(crate) fn key_file(&self) -> Option<PathBuf> {
        match self.found() {
            Ok((_, KeySource::File(path) | KeySource::Up(path))) => Some(path),
            _ => None,
        }
    }

    /// Returns these options as flags, for a command that the user can paste.
    pub(crate) fn flags(&self) -> String {
        let mut flags = String::new();
        for address in &self.control {
            flags += &format!(" --control {}", quoted(address));
        }
        let ClientFiles { ca, client_cert, client_key } = &self.tls;
        for (flag, file) in [
            ("--key-file", &self.key_file),
            ("--ca", ca),
            ("--client-cert", client_cert),
            ("--client-key", client_key),
        ] {
            if let Some(file) = file {
                flags += &format!(" {flag} {}", quoted(&file.to_string_lossy()));
            }
        }
        if let Some(timeout) = self.control_timeout {
            flags += &format!(" --control-timeout {}", duration::print(timeout));
        }
        flags
    }

    fn discover(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        running: Option<Running>,
    ) -> (Vec<String>, KeySource) {
        let given = if self.control.is_empty() {
            let list = variable("ARIZUKO_CONTROL").unwrap_or_default();
            list.split(',').filter(|one| !one.is_empty()).map(String::from).collect()
        } else {
            self.control.clone()
        };
        // The key of this machine's `up` never goes to a control elsewhere.
        let own = |up: &Running| given.iter().all(|one| one.trim_end_matches('/') == up.control);
        let running = running.filter(own);
        let key = if let Some(file) = &self.key_file {
            KeySource::File(file.clone())
        } else if let Some(key) = variable("ARIZUKO_KEY") {
            KeySource::Environment(key)
        } else if let Some(file) = variable("ARIZUKO_KEY_FILE") {
            KeySource::File(file.into())
        } else if let Some(up) = &running {
            KeySource::Up(up.operator_key_file.clone())
        } else {
            KeySource::Nowhere
        };
        match running {
            _ if !given.is_empty() => (given, key),
            Some(up) => (vec![up.control], key),
            None => (vec![DEFAULT_ADDRESS.into()], key),
        }
    }
}

/// Returns an environment variable. An empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the address and key that these flags and variables lead to. `up`: an `up` runs, with
    /// control on port 9.
    fn found(flags: &Options, variables: &[(&str, &str)], up: bool) -> (String, KeySource) {
        let variable = |name: &str| {
            let set = variables.iter().find(|(set, _)| *set == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        let running = up.then(|| Running {
            control: "http://127.0.0.1:9".into(),
            gateway: "http://127.0.0.1:8".into(),
            operator_key_file: "/up.key".into(),
        });
        let (addresses, key) = flags.discover(variable, running);
        (addresses.join(" "), key)
    }

    fn file(path: &str) -> KeySource {
        KeySource::File(path.into())
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_a_running_up() {
        let none = Options::default();
        let both = Options {
            control: vec!["http://f".into()],
            key_file: Some("/f".into()),
            ..Options::default()
        };
        let variables = [("ARIZUKO_CONTROL", "http://e,http://g"), ("ARIZUKO_KEY", "k")];
        assert_eq!(found(&both, &variables, true), ("http://f".into(), file("/f")));
        let expected = ("http://e http://g".into(), KeySource::Environment("k".into()));
        assert_eq!(found(&none, &variables, true), expected);
        assert_eq!(
            found(&none, &[], true),
            ("http://127.0.0.1:9".into(), KeySource::Up("/up.key".into()))
        );
        assert_eq!(found(&none, &[], false), (DEFAULT_ADDRESS.into(), KeySource::Nowhere));
    }

    #[test]
    fn a_key_goes_before_a_file_with_a_key() {
        let variables = [("ARIZUKO_KEY", "k"), ("ARIZUKO_KEY_FILE", "/e")];
        assert_eq!(
            found(&Options::default(), &variables, false).1,
            KeySource::Environment("k".into())
        );
        assert_eq!(found(&Options::default(), &variables[1..], true).1, file("/e"));
    }

    #[test]
    fn the_key_of_an_up_is_for_its_own_control_alone() {
        let at = |address: &str| Options { control: vec![address.into()], ..Options::default() };
        let up = KeySource::Up("/up.key".into());
        assert_eq!(found(&at("http://127.0.0.1:9"), &[], true).1, up);
        assert_eq!(found(&at("https://elsewhere"), &[], true).1, KeySource::Nowhere);
    }
}
