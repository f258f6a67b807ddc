//! Agents that use the Python module in `examples/python`.

use crate::{
    Instance::{A, B},
    Stack,
    agent::Agent,
    cli::run,
    process::command,
    tools::interpreter,
};
use std::path::{Path, PathBuf};
use tokio::process::Command;

impl Stack {
    /// Attaches `tests/agents/module.py` to `acme`, with this concurrency. The test drives its
    /// handlers step by step.
    pub async fn python_agent(&self, concurrency: &str, flags: &[&str]) -> Agent {
        let mut module = self.python(&crate::agent::script("module.py"), "acme").await;
        Agent::attach(self, "acme", |address| {
            module.arg(address).arg(concurrency).args(flags);
            module
        })
        .await
    }

    /// Makes the gRPC stubs of these files of a contract. Returns their folder.
    pub async fn stubs(&self, contract: &Path, names: &[&str]) -> PathBuf {
        let kind = contract.file_name().expect("a folder has a name");
        let stubs = self.folder().join("stubs").join(kind);
        std::fs::create_dir_all(&stubs).expect("the stack's folder is ours");
        let mut protoc = command(interpreter());
        protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(contract);
        for output in ["--python_out", "--grpc_python_out"] {
            protoc.arg(format!("{output}={}", stubs.display()));
        }
        for name in names {
            protoc.arg(contract.join(format!("arizuko/v1/{name}.proto")));
        }
        run(&mut protoc, "").await.expect(0);
        stubs
    }

    /// Returns a command that runs a script. Its environment names the module, the module's gRPC
    /// stubs, both controls and a key of `folder`.
    pub async fn python(&self, script: &Path, folder: &str) -> Command {
        let names = ["agent", "conversation", "hook", "looks", "speech", "token", "turn"];
        let stubs = self.stubs(&repository().join("proto"), &names).await;
        let path = [repository().join("examples/python"), stubs];
        let path = std::env::join_paths(path).expect("our folders have no colons");
        // The agent attaches to the first control of its list: to B, while most calls of the
        // harness go to A.
        let controls = format!("{},{}", self.control(B), self.control(A));
        let mut python = command(interpreter());
        // Adds the environment of the stack's programs, since it names the certificates.
        let arizuko = self.program("arizuko");
        let told = arizuko.as_std().get_envs();
        python.envs(told.filter_map(|(name, value)| Some((name, value?))));
        python
            .arg(script)
            .env("PYTHONPATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("ARIZUKO_CONTROL", controls)
            .env("ARIZUKO_KEY", self.agent_key(folder).await);
        python
    }
}

/// Returns the root of this repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is in it").to_owned()
}
