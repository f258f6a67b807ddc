//! The files for containers are valid, and our programs know their settings and serve with them. No
//! container engine runs here.

use super::shipped;
use arizuko_tests::prelude::*;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};
use tokio::process::Command;

/// A container that one of the files describes.
struct Container {
    /// The file, and the container's name in it.
    of: String,
    command: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Container {
    /// Checks the files, and returns all their containers.
    async fn all() -> Vec<Self> {
        let folder = shipped("deploy").display().to_string();
        let checked = python("containers.py", &[&folder]).await.expect(0);
        let all: Vec<(String, Vec<String>, BTreeMap<String, String>)> =
            serde_json::from_str(&checked.out).expect("JSON");
        let container = |(of, command, environment)| Self { of, command, environment };
        all.into_iter().map(container).collect()
    }

    /// Returns the container's command. In its environment, what the test has (`here`) replaces the
    /// URLs, paths and addresses of the Compose file.
    fn command(&self, folder: &Folder, here: &[(&str, String)]) -> Command {
        let mut command = folder.program(&self.command[0]);
        command.args(&self.command[1..]).envs(self.settings(here));
        // The image sets these, too.
        command.env("CREDENTIALS_DIRECTORY", folder.path().join("secrets"));
        command.env("XDG_DATA_HOME", folder.path().join("home"));
        command
    }

    fn settings(&self, here: &[(&str, String)]) -> BTreeMap<&str, String> {
        let replace = |text: String, (there, here): &(&str, String)| text.replace(there, here);
        let settings = self.environment.iter().map(|(name, value)| {
            // Replaces `${NAME:-default}` by the default, since no such variable is set.
            let default = value.split_once(":-").and_then(|(_, rest)| rest.strip_suffix('}'));
            let value = default.unwrap_or(value).to_owned();
            (name.as_str(), here.iter().fold(value, replace))
        });
        settings.collect()
    }

    /// Runs the health check.
    async fn ready(&self, folder: &Folder, here: &[(&str, String)]) -> Outcome {
        let mut ready = folder.program("arizuko");
        run(ready.arg("ready").envs(self.settings(here)), "").await
    }

    async fn is_ready(&self, folder: &Folder, here: &[(&str, String)]) {
        until(format!("{} to be ready", self.of), async || {
            self.ready(folder, here).await.code == Some(0)
        })
        .await;
    }
}

/// Whether a program with this help reads a variable.
fn reads(help: &str, name: &str) -> bool {
    ["=", "]"].iter().any(|end| help.contains(&format!("[env: {name}{end}")))
}

#[apply(embedded)]
async fn the_files_for_containers_are_valid_and_name_settings_that_exist() {
    let folder = Folder::new();
    let mut helps = BTreeMap::new();
    for Container { of, command, environment } in Container::all().await {
        let words = command.iter().take_while(|word| !word.starts_with('-'));
        let words: Vec<_> = words.map(String::as_str).collect();
        let mut help = folder.program(words[0]);
        let help = run(help.args(&words[1..]).arg("--help"), "").await.expect(0).out;
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "{of}: {flag}"
            );
        }
        for name in environment.keys() {
            assert!(reads(&help, name), "{of}: no setting {name}");
        }
        helps.insert(words.join(" "), help);
    }
    assert_eq!(helps.len(), 4, "{:?}", helps.keys());
    let page = fs::read_to_string(shipped("docs/containers.md")).expect("it is there");
    let names = page.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    for name in
        names.filter(|name| name.starts_with("ARIZUKO_") && !name.starts_with("ARIZUKO_KEY"))
    {
        let exists = helps.values().any(|help| reads(help, name));
        assert!(exists, "docs/containers.md: no setting {name}");
    }
}

#[apply(embedded)]
async fn what_the_compose_files_run_serves_and_says_when_it_cannot() {
    let containers = Container::all().await;
    let container = |of: &str| containers.iter().find(|it| it.of == of).expect("it is there");
    let folder = Folder::new();
    let redis = Redis::start(folder.path(), &folder.logs()).await;
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).expect("the folder is new");
    for name in ["operator.key", "gateway.key", "seal.key"] {
        let file = secrets.join(name);
        fs::write(&file, random_id()).expect("the folder is ours");
        // Lets everybody read the file, as a container engine mounts it.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).expect("it is ours");
    }
    let port = || free_port().to_string();
    let (grpc, page, metrics) = (port(), port(), [port(), port()]);
    let here = |metrics: &str| {
        [
            ("redis://redis:6379/", redis.url()),
            ("/run/secrets", secrets.display().to_string()),
            ("http://control:7070", format!("http://127.0.0.1:{grpc}")),
            ("0.0.0.0:7070", format!("127.0.0.1:{grpc}")),
            ("0.0.0.0:8080", format!("127.0.0.1:{page}")),
            ("127.0.0.1:9464", format!("127.0.0.1:{metrics}")),
        ]
    };
    let [here, there] = [here(&metrics[0]), here(&metrics[1])];
    let (control, gateway) =
        (container("compose.redis.yaml control"), container("compose.redis.yaml gateway"));
    let told = control.ready(&folder, &here).await.expect(1).err;
    assert!(told.contains("does not answer"), "{told}");
    let start = |it: &Container, here: &[(&str, String)]| {
        Process::start(&it.of, it.command(&folder, here), &folder.logs())
    };
    let mut serving = start(control, &here);
    control.is_ready(&folder, &here).await;
    let visited = start(gateway, &there);
    gateway.is_ready(&folder, &there).await;
    serving.kill();
    let told = gateway.ready(&folder, &there).await.expect(1).err;
    assert!(told.contains("not ready: ") && told.lines().count() == 1, "{told}");
    drop(visited);

    let up = container("compose.yaml arizuko");
    let _up = start(up, &here);
    up.is_ready(&folder, &here).await;
    let mut issue = folder.program("arizuko");
    // As `docker compose exec` runs it: the command finds the address and the key by itself.
    issue.env("XDG_DATA_HOME", folder.path().join("home"));
    let url = run(issue.args(["token", "issue", "acme", "chat"]), "").await.expect(0).out;
    assert!(url.starts_with("http://localhost:8080/chat/"), "{url}");
}
