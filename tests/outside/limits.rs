//! What a caller can make the service hold is bounded, and the bounds are documented.

mod audit;
pub(crate) mod budgets;
pub(crate) mod connections;
mod owners;
mod retention;
mod storage;
mod visitors;

use arizuko_tests::{language::repository, prelude::*};

#[apply(embedded)]
async fn every_limit_is_in_the_help_and_in_the_document() {
    let folder = Folder::new();
    let document = fs::read_to_string(repository().join("docs/limits.md")).expect("it is there");
    let help = async |name: &str, command: &[&str]| {
        let mut program = program(name, folder.path());
        run(program.args(command).arg("--help"), "").await.expect(0).out
    };
    let flags = |help: &str| -> Vec<String> {
        let mut is_limits = false;
        let mut flags = Vec::new();
        for line in help.lines() {
            if line.ends_with(':') && !line.starts_with(' ') {
                is_limits = line.starts_with("Limits on") || line == "What is kept:";
            }
            let flag = line.split_whitespace().next().filter(|word| word.starts_with("--"));
            flags.extend(flag.filter(|_| is_limits).map(str::to_owned));
        }
        flags
    };
    let up = flags(&help("arizuko", &["up"]).await);
    for (program, least) in [("arizuko-control", 20), ("arizuko-gateway", 10)] {
        let limits = flags(&help(program, &[]).await);
        assert!(limits.len() > least, "{limits:?}");
        for flag in limits {
            assert!(up.contains(&flag), "up --help has {flag}");
            assert!(document.contains(&format!("`{flag}`")), "docs/limits.md has {flag}");
        }
    }
}
