//! Agents in Python, TypeScript and Rust, made with the modules in `examples`.

use crate::{
    Instance::{A, B},
    Stack,
    agent::{Agent, script},
    binaries,
    cli::run,
    process::command,
    tools::{found, interpreter},
};
use std::{
    path::{Path, PathBuf},
    process::Command as Program,
    sync::OnceLock,
};
use tokio::process::Command;

/// A language with a module for agents in `examples`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `examples/python`.
    Python,
    /// `examples/typescript`.
    TypeScript,
    /// `examples/rust`.
    Rust,
}

impl Language {
    /// Attaches an agent to `acme`, with this concurrency. The test drives its handlers step by
    /// step. `tests/agents/module.py` has the steps and the flags of all languages.
    pub async fn agent(self, stack: &Stack, concurrency: &str, flags: &[&str]) -> Agent {
        let mut module = self.module(stack, "acme").await;
        Agent::attach(stack, "acme", |address| {
            module.arg(address).arg(concurrency).args(flags);
            module
        })
        .await
    }

    /// Like [`Self::agent`], with one turn at a time and with these environment variables.
    pub async fn agent_with(self, stack: &Stack, variables: &[(&str, &str)]) -> Agent {
        let mut module = self.module(stack, "acme").await;
        module.envs(variables.iter().copied());
        Agent::attach(stack, "acme", |address| {
            module.args([address, "1"]);
            module
        })
        .await
    }

    /// Returns a command that runs the agent of [`Self::agent`]. Its environment names both
    /// controls and a key of `folder`.
    pub async fn module(self, stack: &Stack, folder: &str) -> Command {
        let mut module = match self {
            Self::Python => {
                let mut python = package_of_python(&stack.folder()).await;
                python.arg(script("module.py"));
                python
            }
            Self::TypeScript => {
                package();
                let mut node = command(found("node"));
                node.arg(script("module.js"));
                node
            }
            Self::Rust => command(binaries::path("module")),
        };
        // The agent attaches to the first control of its list: to B, while most calls of the
        // harness go to A.
        let controls = format!("{},{}", stack.control(B), stack.control(A));
        // Adds the environment of the stack's programs, since it names the certificates.
        let arizuko = stack.program("arizuko");
        let told = arizuko.as_std().get_envs();
        module.envs(told.filter_map(|(name, value)| Some((name, value?))));
        module.env("ARIZUKO_CONTROL", controls).env("ARIZUKO_KEY", stack.agent_key(folder).await);
        module
    }
}

/// Makes Python's gRPC stubs of a contract, in a subfolder of `folder`, and returns it.
pub async fn stubs(folder: &Path, contract: &Path) -> PathBuf {
    let kind = contract.file_name().expect("a folder has a name");
    let stubs = folder.join("stubs").join(kind);
    std::fs::create_dir_all(&stubs).expect("the folder is ours");
    let mut protoc = command(interpreter());
    protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(contract);
    for output in ["--python_out", "--grpc_python_out"] {
        protoc.arg(format!("{output}={}", stubs.display()));
    }
    let files = std::fs::read_dir(contract.join("arizuko/v1")).expect("a contract has files");
    protoc.args(files.map(|file| file.expect("it can be listed").path()));
    run(&mut protoc, "").await.expect(0);
    stubs
}

/// Returns a Python that finds the package in `examples/python`, with its stubs in `folder`.
pub async fn package_of_python(folder: &Path) -> Command {
    let path =
        [repository().join("examples/python"), stubs(folder, &repository().join("proto")).await];
    let path = std::env::join_paths(path).expect("our folders have no colons");
    let mut python = command(interpreter());
    python.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Builds the package in `examples/typescript` once, so that no test uses an outdated one. Returns
/// its folder.
pub fn package() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let package = repository().join("examples/typescript");
    BUILT.get_or_init(|| {
        let is_there = package.join("node_modules").exists();
        assert!(
            is_there,
            "`npm ci --prefix examples/typescript` has not been run: tests/run does it"
        );
        let mut npm = Program::new(found("npm"));
        let status = npm.args(["run", "--silent", "build"]).current_dir(&package).status();
        assert!(status.is_ok_and(|status| status.success()), "the package does not build");
    });
    package
}

/// Returns the root of this repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is in it").to_owned()
}
