//! Long tables at a terminal go through a pager.

use arizuko_tests::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

#[apply(embedded)]
async fn a_table_that_is_longer_than_the_terminal_goes_through_the_pager(stack: Stack) {
    for number in 0..8 {
        stack.issue_with("acme", &number.to_string(), LinkOptions::default()).await;
    }
    let operators = stack.operators_command();
    let set = operators.as_std().get_envs();
    let set: Vec<_> = set.filter_map(|(name, value)| Some((name, value?))).collect();
    let arizuko = operators.as_std().get_args().last().expect("the program").display().to_string();
    // Returns what a terminal with this many lines shows.
    let shown = async |lines: u32, flags: &str, pager: &str| {
        let mut terminal = command("script");
        terminal.envs(set.iter().copied()).args(["-qec"]);
        let list = format!("stty rows {lines} cols 200; {pager} {arizuko} token list {flags}");
        run(terminal.args([&list, "/dev/null"]), "").await.expect(0).out
    };
    let marks = "PAGER='sed s/^/paged:/'";
    let paged = shown(9, "acme", marks).await;
    assert_eq!(paged.matches("paged:").count(), 9, "{paged}");
    for (lines, flags) in [(10, "acme"), (5, "acme --no-pager"), (5, "acme --json")] {
        let whole = shown(lines, flags, marks).await;
        assert!(!whole.contains("paged:") && whole.contains("web:acme/7"), "{flags}: {whole}");
    }
    let less = stack.folder().join("less");
    fs::write(&less, "#!/bin/sh\necho less \"$@\"; cat\n").expect("the folder is ours");
    fs::set_permissions(&less, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let found = format!("PATH={}:$PATH", stack.folder().display());
    let paged = shown(5, "acme", &found).await;
    assert!(paged.contains("less -FRX") && paged.contains("web:acme/7"), "{paged}");
    let none = shown(5, "acme", "PATH=/nowhere").await;
    assert!(none.contains("web:acme/7"), "{none}");
    let piped = stack.arizuko(&["token", "list"]).await.expect(0).out;
    assert!(piped.contains("web:acme/7"), "{piped}");
}
