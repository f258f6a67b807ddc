//! A machine to install on: a throw-away root folder with a network of its own.

use super::shipped;
use arizuko_tests::prelude::*;
use nix::sched::{CloneFlags, setns};
use std::{fs::File, net, os::unix::fs::MetadataExt as _, thread};
use tokio::process::Command;

/// The folders of commands. The first one has the commands of `root.sh` that replace others.
const PATH: &str = "/stubs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A bare Debian without systemd, which ends with the test. The names of machines in
/// docs/install.md all lead to it.
pub(super) struct Machine {
    /// A folder with the machine's root, and with the logs.
    pub(super) folder: Folder,
    /// The process that keeps the root and the network alive.
    holder: Process,
}

impl Machine {
    pub(super) async fn new() -> Self {
        let is_root = fs::metadata("/proc/self").expect("Linux has it").uid() == 0;
        assert!(is_root, "this test needs root, to install into a root folder of its own");
        let folder = Folder::new();
        let built = program("arizuko", folder.path());
        let built = built.as_std().get_args().last().map(Path::new);
        let built = built.and_then(Path::parent).expect("it is in a folder");
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("the folder is new");
        let mut unshare = command(found("unshare"));
        unshare.args(["--mount", "--net"]).arg(shipped("tests/outside/deploy/root.sh"));
        unshare.arg(root).arg(shipped(".")).arg(built);
        let mut holder = Process::start("root", unshare, &folder.logs());
        assert_eq!(holder.line().await, "ready");
        Self { folder, holder }
    }

    /// Returns where a file of the machine is for the test.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.pid()))
    }

    pub(super) fn read(&self, path: &str) -> String {
        let text = fs::read_to_string(self.file(path));
        text.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file into a folder that is there.
    pub(super) fn write(&self, path: &str, text: &str) {
        fs::write(self.file(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Returns a command that runs on the machine, as root.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = command(found("nsenter"));
        command.arg(format!("--target={}", self.holder.pid()));
        command.args(["--mount", "--net", "--root", "--wdns=/", "--", program]);
        command.env("PATH", PATH).env("HOME", "/root");
        command
    }

    /// Runs a script in one of the machine's folders. Panics if one of its commands fails.
    pub(super) async fn shell(&self, folder: &str, script: &str) -> Outcome {
        let script = format!("cd {folder}\n{script}");
        run(self.command("/bin/sh").args(["-e", "-c", &script]), "").await.expect(0)
    }

    /// Starts a program that keeps running.
    pub(super) fn start(&self, name: &str, command: Command) -> Process {
        Process::start(name, command, &self.folder.logs())
    }

    /// Listens on a port of the machine.
    pub(super) fn listen(&self, port: u16) -> net::TcpListener {
        let network = File::open(format!("/proc/{}/ns/net", self.holder.pid()));
        let network = network.expect("the machine has a network");
        // Only a new thread enters the machine's network.
        let listening = thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).expect("we are root");
            net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free")
        });
        listening.join().expect("it listens")
    }

    /// Starts an enabled unit as systemd would, with its user, files and environment.
    pub(super) fn begin(&self, unit: &str) -> Process {
        // Looks only for the link: from outside of the machine, it would lead to a file of ours.
        let enabled = format!("/etc/systemd/system/multi-user.target.wants/{unit}.service");
        assert!(self.file(&enabled).is_symlink(), "{unit} is not enabled");
        let (template, instance) = match unit.split_once('@') {
            Some((name, instance)) => (format!("{name}@"), instance),
            None => (unit.to_owned(), ""),
        };
        let credentials = format!("/run/credentials/{unit}.service");
        let text = self.read(&format!("/etc/systemd/system/{template}.service"));
        let text = text.replace("%d", &credentials).replace("%i", instance);
        let said = |name: &str| -> Vec<&str> {
            text.lines().filter_map(|line| line.strip_prefix(name)).collect()
        };
        let user = said("User=").concat();
        let mut script = format!("install -d -o {user} -m 700 {credentials}\n");
        for (folders, within) in [("StateDirectory=", "/var/lib"), ("RuntimeDirectory=", "/run")] {
            for folder in said(folders) {
                script += &format!("install -d -o {user} -m 700 {within}/{folder}\n");
            }
        }
        for credential in said("LoadCredential=") {
            let (name, path) = credential.split_once(':').expect("a name and a path");
            let set = said("SetCredential=");
            let set = set.iter().find_map(|set| set.strip_prefix(&format!("{name}:")));
            let otherwise = set.map_or("/missing".to_owned(), |set| {
                script += &format!("printf '{set}' > /run/{name}\n");
                format!("/run/{name}")
            });
            script += &format!(
                "from={path}; [ -e $from ] || from={otherwise}\n\
                 install -o {user} -m 400 $from {credentials}/{name}\n"
            );
        }
        let settings = said("EnvironmentFile=");
        let settings = settings.iter().map(|path| self.read(path.trim_start_matches('-')));
        let settings: String = settings.collect();
        let agent = settings.lines().find_map(|line| line.strip_prefix("AGENT="));
        let start = said("ExecStart=").concat().replace("$AGENT", agent.unwrap_or_default());
        let folder = said("WorkingDirectory=").concat();
        let capabilities = match said("AmbientCapabilities=").concat().as_str() {
            "" => "",
            "CAP_NET_BIND_SERVICE" => {
                "--inh-caps +net_bind_service --ambient-caps +net_bind_service"
            }
            other => panic!("no test gives a service {other}"),
        };
        script += &format!(
            "cd /{folder}\n\
             exec setpriv --reuid {user} --regid {user} --clear-groups {capabilities} \
             env -i PATH={PATH} RUST_BACKTRACE=1 CREDENTIALS_DIRECTORY={credentials} \"$@\" {start}"
        );
        let mut service = self.command("/bin/sh");
        service.args(["-e", "-c", &script, unit]);
        service.args(said("Environment=").iter().flat_map(|line| line.split_whitespace()));
        service.args(settings.lines());
        self.start(unit, service)
    }
}
