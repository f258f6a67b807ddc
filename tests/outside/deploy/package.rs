//! What the Debian package says about the libraries in its programs.

use super::shipped;
use arizuko_tests::prelude::*;
use std::{collections::BTreeMap, env};
use tokio::process::Command;

/// Returns a command that finds cargo's registry.
fn with_cargo(program: PathBuf) -> Command {
    let mut command = command(program);
    let homes = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    command.envs(env::vars().filter(|(name, _)| homes.contains(&name.as_str())));
    command.current_dir(shipped("."));
    command
}

#[apply(embedded)]
async fn every_library_is_named_with_its_licence() {
    let folder = Folder::new();
    let made = folder.path().join("third-party");
    run(with_cargo(shipped("deploy/third-party")).arg(&made), "").await.expect(0);
    let notices = fs::read_to_string(made.join("NOTICES")).expect("it was written");
    let sbom = fs::read_to_string(made.join("sbom.cdx.json")).expect("it was written");
    let sbom: Value = serde_json::from_str(&sbom).expect("JSON");
    assert_fields(&sbom, json!({"bomFormat": "CycloneDX", "specVersion": "1.6"}));
    let components = sbom["components"].as_array().expect("the libraries");
    let name = |component: &Value| {
        let text = |field: &str| component[field].as_str().expect("text").to_owned();
        format!("{} {}", text("name"), text("version"))
    };
    let listed: BTreeMap<_, _> = components.iter().map(|found| (name(found), found)).collect();
    assert_eq!(listed.len(), components.len(), "each is listed once");

    let mut tree = with_cargo(found("cargo"));
    tree.args(["tree", "--locked", "--target=x86_64-unknown-linux-gnu"]);
    tree.args(["--edges=normal", "--prefix=none", "--format={p}"]);
    for program in ["arizuko", "arizuko-control", "arizuko-gateway"] {
        tree.args(["--package", program]);
    }
    let tree = run(&mut tree, "").await.expect(0).out;
    let lines = tree.lines().filter(|line| !line.is_empty() && !line.starts_with("arizuko"));
    let names = lines.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    let names: Vec<_> = names.map(|words| words.join(" ").replacen(" v", " ", 1)).collect();
    assert!(names.len() > 200, "{tree}");
    for name in names {
        let component = listed.get(&name).unwrap_or_else(|| panic!("{name} is not listed"));
        let hash = component["hashes"][0]["content"].as_str().expect("a hash");
        assert_eq!(hash.len(), 64, "{component}");
        let licence = component["licenses"][0]["expression"].as_str().expect("a licence");
        assert!(notices.contains(&format!("{name} ({licence})")), "{name} is in NOTICES");
    }
    for unused in ["tempfile", "bolero", "arizuko-tests"] {
        assert!(!listed.keys().any(|name| name.starts_with(unused)), "{unused} is for tests");
    }
    // Few libraries are published without the text of their licence.
    let bare = notices.split("-----").find(|block| block.contains("without a text"));
    assert!(bare.map_or(0, |block| block.lines().count()) < 20, "{bare:?}");
    // Code in other languages has its licence in a folder below the folder of its library.
    for part in ["Redistribution and use in source", "BoringSSL", "Permission is hereby granted"] {
        assert!(notices.contains(part), "{part}");
    }
}

#[apply(embedded)]
async fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    let pages = folder.path().join("man");
    run(folder.program("arizuko").arg("man").arg(&pages), "").await.expect(0);
    let files: Vec<_> = fs::read_dir(&pages).expect("it was made").flatten().collect();
    assert!(files.len() > 50, "{files:?}");
    for file in files {
        let mut mandoc = command(found("mandoc"));
        let checked = run(mandoc.args(["-T", "lint", "-W", "error"]).arg(file.path()), "").await;
        assert_eq!(checked.out, "", "{file:?}");
    }
    for (page, told) in [
        ("arizuko", "arizuko token issue acme chat"),
        ("arizuko-token-issue-chat", "--greeting"),
        ("arizuko-token-issue-chat", "arizuko token issue acme chat --expires 30d"),
        ("arizuko-control", "--redis"),
        ("arizuko-gateway", "--trusted-proxy"),
    ] {
        let mut mandoc = command(found("mandoc"));
        let page = pages.join(format!("{page}.1"));
        let text = run(mandoc.args(["-T", "ascii"]).arg(page), "").await.expect(0).out;
        // Prints each bold character once. mandoc prints it twice, with a backspace between.
        let mut plain = String::new();
        for c in text.chars() {
            if c == '\u{8}' {
                plain.pop();
            } else {
                plain.push(c);
            }
        }
        assert!(plain.contains(told), "{told}: {plain}");
    }
}
