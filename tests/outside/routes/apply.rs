//! `arizuko route apply` and `export`: all routes as a file.

use arizuko_tests::prelude::*;

const TABLE: &str = r#"# Ours
[[route]]
prefix = "web:acme"
persona = """
Be kind.
Say "hello"."""
escalate = []

[[route]]
prefix = "web:acme/support"
persona = ""
target = "acme/bot"
topic = "help"
mode = "trigger"
give_up_after = "1d 90m"
give_up_say = "We'll write."

[[route.escalate]]
after = "2m"
to = "acme/people"
say = "One moment."

[[route.escalate]]
after = "1h 1.5s"
unfinished_after = "3h"
to = "acme/boss"

[[route]]
prefix = "hook:beta/github"
mode = "drop"
"#;

/// Runs `arizuko route …` as an operator, with this standard input.
async fn route(stack: &Stack, arguments: &[&str], input: &str) -> Outcome {
    let mut command = stack.operators_command();
    run(command.arg("route").args(arguments), input).await
}

async fn apply(stack: &Stack, table: &str) -> Outcome {
    route(stack, &["apply", "-", "--all"], table).await.expect(0)
}

async fn export(stack: &Stack) -> String {
    route(stack, &["export"], "").await.expect(0).out
}

#[apply(every_stack)]
async fn applying_an_export_changes_nothing(stack: Stack) {
    assert_eq!(export(&stack).await, "route = []\n");
    let told = apply(&stack, "route = []").await;
    assert!(told.out.is_empty() && told.err.contains("already"), "{told:?}");
    apply(&stack, TABLE).await;
    let exported = export(&stack).await;
    let file = stack.folder().join("routes.toml");
    fs::write(&file, &exported).expect("a file of our own");
    let file = file.to_str().expect("the test's folder is UTF-8");
    for table in [TABLE, &exported] {
        let told = apply(&stack, table).await;
        assert!(told.out.is_empty() && told.err.contains("already"), "{told:?}");
    }
    let told = route(&stack, &["apply", file, "--all", "--json"], "").await.expect(0);
    let nothing = json!({"changes": [], "unattended": []});
    assert_eq!(told.json(), nothing);
    // The export holds everything: it restores the deleted routes.
    apply(&stack, "route = []").await;
    assert_eq!(export(&stack).await, "route = []\n");
    route(&stack, &["apply", file], "").await.expect(0);
    assert_eq!(export(&stack).await, exported);
    let one = route(&stack, &["export", "beta"], "").await.expect(0).out;
    assert_eq!(
        one,
        "scope = \"beta\"\n\n[[route]]\nprefix = \"hook:beta/github\"\nmode = \"drop\"\n"
    );
    let document = route(&stack, &["export", "--json"], "").await.expect(0).json();
    assert_eq!(document["routes"][1]["persona"], "Be kind.\nSay \"hello\".");
}

#[apply(every_stack)]
async fn apply_shows_the_difference_that_it_makes(stack: Stack) {
    let told = apply(&stack, TABLE).await;
    let new = [
        "+ web:acme\n",
        "+   persona     \"Be kind.\\nSay \\\"hello\\\".\"\n",
        "+   escalation  nowhere\n",
        "+ web:acme/support\n",
        "+   target      acme/bot\n",
        "+   persona     \"\"\n",
        "+   topic       \"help\"\n",
        "+   mode        trigger\n",
        "+   escalation  acme/people after 2m, saying \"One moment.\"\n",
        "+   escalation  acme/boss after 1h1s500ms or unfinished after 3h\n",
        "+   give_up     after 1d1h30m, saying \"We'll write.\"\n",
        "+ hook:beta/github\n",
        "+   mode        drop\n",
    ];
    assert_eq!(told.out, new.concat());
    assert!(told.err.starts_with("3 routes changed\n"), "{told:?}");
    for folder in ["acme/boss", "acme/bot", "acme/people"] {
        let note = format!("agent exec --folder {folder} ");
        assert!(told.err.contains(&note), "{told:?}");
    }
    let table = TABLE.replace("help", "sales").replace("drop", "observe");
    let table = table.replace("unfinished_after = \"3h\"\n", "");
    let told = apply(&stack, &table).await;
    let changed = [
        "  web:acme/support\n",
        "-   topic       \"help\"\n",
        "-   escalation  acme/boss after 1h1s500ms or unfinished after 3h\n",
        "+   topic       \"sales\"\n",
        "+   escalation  acme/boss after 1h1s500ms\n",
        "  hook:beta/github\n",
        "-   mode        drop\n",
        "+   mode        observe\n",
    ];
    assert_eq!(told.out, changed.concat());
    assert!(told.err.starts_with("2 routes changed\n"), "{told:?}");
    let (acme, _) = table.split_once("[[route]]\nprefix = \"hook:").expect("it is there");
    let told = apply(&stack, acme).await;
    let gone = "- hook:beta/github\n-   mode        observe\n";
    assert_eq!((&*told.out, &*told.err), (gone, "1 route changed\n"));
}

#[apply(every_stack)]
async fn a_dry_run_changes_nothing(stack: Stack) {
    apply(&stack, TABLE).await;
    let before = export(&stack).await;
    let file = stack.folder().join("new routes.toml");
    let table = "[[route]]\nprefix = \"web:acme\"\ntarget = \"acme/x\"\n";
    fs::write(&file, table).expect("a file of our own");
    let file = file.to_str().expect("the test's folder is UTF-8");
    let dry = route(&stack, &["apply", "--dry-run", file, "acme"], "").await;
    let dry = dry.expect(0);
    assert!(dry.out.contains("\n+   target      acme/x\n"), "{dry:?}");
    assert!(dry.out.contains("- web:acme/support\n"), "{dry:?}");
    let command = format!("route apply '{file}' acme\n");
    assert!(dry.err.contains("nothing was changed yet"), "{dry:?}");
    assert!(dry.err.contains(&command), "it can be pasted: {dry:?}");
    let document = ["apply", "--dry-run", file, "acme", "--json"];
    let document = route(&stack, &document, "").await.expect(0).json();
    assert_eq!(document["changes"][0]["after"]["target"], "acme/x");
    assert_eq!(document["changes"][1]["after"], json!(null));
    assert_eq!(document["changes"][1]["before"]["topic"], "help");
    assert_eq!(document["unattended"], json!(["acme/x"]));
    assert_eq!(export(&stack).await, before);
    let done = route(&stack, &["apply", file, "acme"], "").await.expect(0);
    assert_eq!(done.out, dry.out, "apply does what the dry run showed");
    assert_ne!(export(&stack).await, before);
}

/// Returns the steps of an escalation. Each has a folder, what it waits for, and a time.
fn steps(steps: &[(&str, &str, &str)]) -> String {
    let steps = steps.iter().map(|(to, waits, time)| {
        format!("[[route.escalate]]\nto = \"{to}\"\n{waits} = \"{time}\"\n")
    });
    steps.collect()
}

#[apply(every_stack)]
async fn a_bad_file_changes_nothing_anywhere(stack: Stack) {
    apply(&stack, TABLE).await;
    let before = export(&stack).await;
    let route_of = |prefix: &str, says: &str| format!("[[route]]\nprefix = \"{prefix}\"\n{says}\n");
    // The route before the error is valid, and belongs to another tenant.
    let good = route_of("web:acme", "topic = \"new\"");
    for (wrong, told) in [
        (route_of("web:beta", "personna = \"x\""), "line 6: "),
        (route_of("web:beta", "mode = \"sleep\""), "line 6: "),
        (route_of("web:beta", "give_up_after = \"0s\""), "line 6: "),
        (route_of("beta", "topic = \"x\""), "line 5: "),
        (route_of("web:beta", "only_folder = \"beta\""), "line 6: "),
        (route_of("web:beta", "[[route.escalate]]\nto = 7"), "line 7: "),
        ("[[rout]]".into(), "line 4: "),
        (route_of("web:beta", "target = \"acme\""), "root folder"),
        (route_of("web:beta", "give_up_after = \"8d\""), "web:beta: a time must be"),
        (route_of("web:beta", "give_up_say = \"x\""), "how long"),
        (route_of("web:beta", "[[route.escalate]]\nto = \"beta/x\""), "needs after"),
        (
            route_of("web:beta", &steps(&[("beta/a", "after", "1m"), ("beta/b", "after", "1m")])),
            "web:beta: step 2 of its escalation, to beta/b after 1m, can't happen: \
             the step before it is taken after 1m",
        ),
        (
            // The earlier of the first step's two times counts, so only the second step is too
            // late.
            route_of(
                "web:beta",
                "give_up_after = \"1h\"\n[[route.escalate]]\nto = \"beta/a\"\n\
                after = \"2m\"\nunfinished_after = \"2h\"\n[[route.escalate]]\nto = \"beta/b\"\n\
                unfinished_after = \"1h\"",
            ),
            "step 2 of its escalation, to beta/b after 1h, can't happen: web:beta gives up after 1h",
        ),
        (
            route_of("web:beta", "give_up_after = \"1h\"")
                + &route_of("web:beta/x", &steps(&[("beta/a", "unfinished_after", "2h")])),
            "web:beta/x: step 1 of its escalation, to beta/a after 2h, can't happen: \
             web:beta gives up after 1h",
        ),
        (route_of("web:be ta", "topic = \"x\""), "be ta"),
        (route_of("web:beta", ""), "say what the route of web:beta"),
        (route_of("web:beta", "topic = \"x\"") + &route_of("web:beta", "topic = \"x\""), "twice"),
    ] {
        let table = format!("{good}{wrong}");
        let refused = route(&stack, &["apply", "-"], &table).await.expect(1);
        assert!(refused.err.contains("standard input was not applied: "), "{refused:?}");
        assert!(refused.err.contains(told) && refused.out.is_empty(), "{refused:?}");
        assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    }
    let refused = route(&stack, &["apply", "-"], " \n").await.expect(1);
    assert!(refused.err.contains("route = []"), "{refused:?}");
    let missing = stack.folder().join("missing.toml");
    let missing = missing.to_str().expect("the test's folder is UTF-8");
    let refused = route(&stack, &["apply", missing], "").await.expect(1);
    assert!(refused.err.contains("missing.toml"), "{refused:?}");
    let refused = route(&stack, &["apply", "-", "beta"], &good).await.expect(1);
    assert!(refused.err.contains("web:acme does not belong to beta"), "{refused:?}");
    assert_eq!(export(&stack).await, before);
}

#[apply(every_stack)]
async fn with_all_apply_replaces_all_routes(stack: Stack) {
    apply(&stack, TABLE).await;
    let gamma = "[[route]]\nprefix = \"web:gamma/eng\"\ntopic = \"x\"\n";
    let told = route(&stack, &["apply", "-", "gamma"], gamma).await.expect(0);
    assert!(told.out.starts_with("+ web:gamma/eng\n"), "{told:?}");
    assert!(!told.out.contains("acme"), "only that folder's routes change: {told:?}");
    let listed = route(&stack, &["list"], "").await.expect(0).out;
    assert_eq!(listed.lines().count(), 5, "{listed}");
    let told = apply(&stack, gamma).await;
    for gone in ["- web:acme\n", "- web:acme/support\n", "- hook:beta/github\n"] {
        assert!(told.out.contains(gone), "{told:?}");
    }
    assert_eq!(export(&stack).await, gamma);
}

#[apply(every_stack)]
async fn apply_leaves_other_tenants_alone(stack: Stack) {
    apply(&stack, TABLE).await;
    let before = export(&stack).await;
    // A file without a scope replaces the routes of the tenants that it names.
    let gamma = "[[route]]\nprefix = \"web:gamma\"\ntopic = \"x\"\n";
    let told = route(&stack, &["apply", "-"], gamma).await.expect(0);
    assert_eq!(told.out.matches("- ").count(), 0, "{told:?}");
    assert!(told.err.contains("keep their routes (acme, beta)"), "{told:?}");
    let told = route(&stack, &["apply", "-"], "route = []").await.expect(0);
    assert!(told.err.contains("nothing to change"), "{told:?}");

    // An export of one tenant replaces the routes of that tenant, and is refused for another one.
    let empty = "scope = \"gamma\"\nroute = []\n";
    assert_eq!(
        route(&stack, &["export", "gamma"], "").await.expect(0).out,
        format!("scope = \"gamma\"\n\n{gamma}")
    );
    for wrong in [&["apply", "-", "acme"][..], &["apply", "-", "--all"]] {
        let refused = route(&stack, wrong, empty).await.expect(1);
        assert!(refused.err.contains("its scope is gamma"), "{refused:?}");
    }
    let told = route(&stack, &["apply", "-"], empty).await.expect(0);
    assert!(
        told.out.starts_with("- web:gamma\n") && told.err.contains("1 route changed"),
        "{told:?}"
    );
    assert_eq!(export(&stack).await, before);
}

#[apply(every_stack)]
async fn an_agents_key_applies_the_routes_of_its_folder(stack: Stack) {
    apply(&stack, TABLE).await;
    let subtree = ["key", "create", "beta", "--subtree", "--routes"];
    let key = stack.arizuko(&subtree).await.expect(0).out;
    let table = "[[route]]\nprefix = \"web:beta/eng\"\ntopic = \"x\"\n";
    let mut command = stack.operators_command();
    command.env("ARIZUKO_KEY", key.trim());
    command.args(["route", "apply", "-"]);
    let told = run(&mut command, table).await.expect(0);
    assert!(told.out.contains("- hook:beta/github\n"), "{told:?}");
    assert!(told.out.contains("+ web:beta/eng\n"), "{told:?}");
    assert!(!told.out.contains("acme"), "{told:?}");
    let refused = run(&mut command, TABLE).await.expect(1);
    assert!(refused.err.contains("does not belong to beta"), "{refused:?}");
    let left = export(&stack).await;
    assert!(left.contains("web:acme/support") && left.contains("web:beta/eng"), "{left}");
    assert!(!left.contains("hook:beta"), "{left}");
}
