//! `arizuko open`.

use arizuko_tests::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

#[apply(embedded)]
async fn a_link_is_opened_in_the_browser_or_printed(stack: Stack) {
    let link = "https://acme.example/chat/TOKEN/";
    let (browser, opened) = (stack.folder().join("browser"), stack.folder().join("opened"));
    let script = format!("#!/bin/sh\necho \"$@\" > {}\n", opened.display());
    fs::write(&browser, script).expect("the folder is ours");
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let open = async |browser: &str| {
        let mut arizuko = stack.program("arizuko");
        arizuko.env("BROWSER", browser).args(["open", link]);
        run(&mut arizuko, "").await.expect(0).out
    };
    assert_eq!(open(&format!("{} --new-tab", browser.display())).await, "");
    let said = fs::read_to_string(opened).expect("the browser was started");
    assert_eq!(said, format!("--new-tab {link}\n"));
    assert_eq!(open("/nowhere/browser").await, format!("{link}\n"));
    assert_eq!(open("false").await, format!("{link}\n"), "the browser fails");
    stack.arizuko(&["open", "https://acme.example/"]).await.expect(2);
}
