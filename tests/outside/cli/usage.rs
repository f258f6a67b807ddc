//! Exit codes, JSON documents, errors and help.

use arizuko_tests::prelude::*;

fn keys(document: &Value) -> Vec<&str> {
    document.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[apply(every_stack)]
async fn json_prints_one_document_with_stable_names(stack: Stack) {
    let issued = stack.arizuko(&["--json", "token", "issue", "acme", "chat"]).await;
    // `--json` may be a flag of `arizuko` or of the command.
    let issued = if issued.code == Some(2) {
        stack.arizuko(&["token", "issue", "acme", "chat", "--json"]).await
    } else {
        issued
    };
    let issued = issued.expect(0).json();
    assert_eq!(keys(&issued), ["agent_attached", "jid", "token", "token_id", "url"]);
    assert_eq!((&issued["jid"], &issued["agent_attached"]), (&json!("web:acme"), &json!(false)));
    let created = stack.arizuko(&["key", "create", "acme", "--json"]).await.expect(0).json();
    assert_eq!(keys(&created), ["key", "key_id"]);
    let listed = stack.arizuko(&["token", "list", "--json"]).await.expect(0).json();
    assert_eq!(listed["tokens"][0]["token_id"], issued["token_id"]);
    assert_eq!(listed["tokens"][0]["kind"], "TOKEN_KIND_CHAT");
    let keys_listed = stack.arizuko(&["key", "list", "--json"]).await.expect(0).json();
    let newest = keys_listed["keys"].as_array().and_then(|keys| keys.last()).expect("keys");
    assert_eq!(newest["key_id"], created["key_id"]);
    for command in
        [&["status", "--json"][..], &["audit", "--json"], &["token", "list", "acme", "--json"]]
    {
        let outcome = stack.arizuko(command).await.expect(0);
        outcome.json();
        assert_eq!(outcome.err, "", "{command:?}");
    }
    let revoked = stack.arizuko(&["token", "revoke", "web:acme", "--json"]).await.expect(0).json();
    assert_eq!(revoked["revoked"][0]["token_id"], issued["token_id"]);
}

#[apply(every_stack)]
async fn usage_errors_exit_2_and_failures_exit_1_with_advice(stack: Stack) {
    for wrong in [
        &["nonsense"][..],
        &[],
        &["token"],
        &["token", "issue"],
        &["token", "issue", "acme"],
        &["token", "issue", "acme", "hook"],
        &["token", "revoke", "acme"],
        &["token", "issue", "acme", "chat", "--expires", "soon"],
        &["key", "create"],
        &["chat", "not a url"],
        &["up", "--listen", "nowhere"],
        &["audit", "--limit", "x"],
    ] {
        let outcome = stack.arizuko(wrong).await.expect(2);
        assert!(outcome.out.is_empty() && !outcome.err.is_empty(), "{wrong:?}: {outcome:?}");
    }
    for (wrong, told) in [
        (&["token", "issue", "a b", "chat"][..], "a b"),
        (&["token", "issue", "acme", "chat", "--suffix", "a/b"], "suffix"),
        (&["token", "issue", "acme", "chat", "--origin", "acme.com"], "https://acme.com"),
        (&["key", "revoke", "key_x"], "key_"),
        (&["token", "list", "--control", "http://127.0.0.1:1"], "is `arizuko up` running?"),
    ] {
        let outcome = stack.arizuko(wrong).await.expect(1);
        assert!(outcome.err.contains(told) && outcome.out.is_empty(), "{wrong:?}: {outcome:?}");
        assert!(!outcome.err.contains("Status") && outcome.err.lines().count() == 1, "{outcome:?}");
    }
}

#[apply(embedded)]
async fn a_control_that_hangs_is_given_up_after_the_control_timeout(mut stack: Stack) {
    let status = ["status", "--control-timeout", "200ms"];
    stack.process(Control(A)).signal(Signal::SIGSTOP);
    let late = stack.arizuko(&status).await.expect(1);
    stack.process(Control(A)).signal(Signal::SIGCONT);
    assert!(late.err.contains("did not answer in time") && late.out.is_empty(), "{late:?}");
    assert_eq!(late.err.lines().count(), 1, "{late:?}");
    for flag in ["--control-timeout", "--timeout"] {
        stack.arizuko(&["status", flag, "20s"]).await.expect(0);
    }
    let http = stack.arizuko(&["agent", "http", "--help"]).await.expect(0).out;
    assert_eq!(http.matches("--timeout").count(), 1, "the endpoint's: {http}");
}

/// Returns the lines of a help text below a heading, up to the next heading.
fn below(help: &str, heading: &str) -> String {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with(' '));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether an example in a help text runs the command with these names, even if arguments stand
/// between the names.
fn has_example(help: &str, names: &[&str]) -> bool {
    let runs = |line: &str| {
        let mut words = line.split_whitespace();
        names.iter().all(|name| words.any(|word| word == *name))
    };
    ["Example:", "Examples:"].iter().any(|heading| below(help, heading).lines().any(runs))
}

#[apply(embedded)]
async fn help_has_examples_and_the_connection_under_a_heading_of_its_own(stack: Stack) {
    let top = stack.arizuko(&["--help"]).await.expect(0).out;
    let commands = top.lines().skip_while(|line| *line != "Try it:");
    let commands = commands.take_while(|line| *line != "Options:");
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut left: Vec<_> = names.filter(|name| *name != "help").map(String::from).collect();
    let mut leaves = 0;
    while let Some(command) = left.pop() {
        let names: Vec<_> = command.split(' ').collect();
        let help = stack.arizuko(&[&names[..], &["--help"]].concat()).await.expect(0).out;
        assert!(has_example(&help, &[&["arizuko"], &names[..]].concat()), "{command}: {help}");
        let connection = below(&help, "Control:");
        assert!(!connection.contains("--json") && !connection.contains("--watch"), "{help}");
        let own = below(&help, "Options:");
        assert!(!own.contains("--key-file") && !own.contains("--quiet"), "{command}: {help}");
        let inner = below(&help, "Commands:");
        let inner = inner.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let inner = inner.filter(|name| !name.is_empty() && *name != "help");
        leaves += usize::from(!help.contains("\nCommands:"));
        left.extend(inner.map(|name| format!("{command} {name}")));
    }
    assert!(leaves > 50, "{leaves} commands");
    for program in ["arizuko-control", "arizuko-gateway"] {
        let help = run(stack.program(program).arg("--help"), "").await.expect(0).out;
        assert!(has_example(&help, &[program]) && help.starts_with(char::is_alphabetic), "{help}");
    }
}

#[apply(embedded)]
async fn the_flags_of_servers_are_in_groups(stack: Stack) {
    let groups = [
        ("Store:", &["--data-dir", "--redis ", "--durability", "--partitions", "--seal-key "][..]),
        ("TLS:", &["--tls-cert"]),
        ("Visitors:", &["--trusted-proxy", "--heartbeat"]),
        ("Metrics:", &["--metrics-listen"]),
    ];
    let up = stack.arizuko(&["up", "--help"]).await.expect(0).out;
    for (heading, flags) in groups {
        let group = below(&up, heading);
        assert!(flags.iter().all(|flag| group.contains(flag)), "{heading} {flags:?}: {up}");
    }
    assert!(below(&up, "Options:").lines().count() < 50, "{up}");
}

#[apply(embedded)]
async fn a_context_has_the_control_and_the_key_of_a_system(stack: Stack) {
    let key = stack.folder().join("operator.key");
    write_secret(&key, stack.operator_key());
    let arizuko = async |arguments: &[&str], context: &str| {
        let mut arizuko = stack.program("arizuko");
        arizuko.args(arguments).current_dir(stack.folder()).env("ARIZUKO_CONTEXT_NAME", context);
        // Variables that name another control are ignored.
        arizuko.env("ARIZUKO_CONTROL", "http://127.0.0.1:1").env("ARIZUKO_KEY", "another");
        run(&mut arizuko, "").await
    };
    let add = ["context", "add", "prod", "--key-file", "operator.key", "--control"];
    let added = arizuko(&[&add[..], &[&stack.control(A)]].concat(), "").await.expect(0);
    assert!(added.err.contains("--context prod status"), "{added:?}");
    let listed = arizuko(&["context", "list"], "").await.expect(0).out;
    assert!(listed.contains(&stack.control(A)) && listed.contains(key.to_str().expect("UTF-8")));
    arizuko(&["status"], "").await.expect(1);
    arizuko(&["status"], "prod").await.expect(0);
    arizuko(&["status", "--context", "prod"], "").await.expect(0);
    arizuko(&["token", "list", "--context", "prod"], "other").await.expect(0);
    let issue = ["--context", "prod", "token", "issue", "acme", "chat", "--context", "for agents"];
    let issued = arizuko(&issue, "").await.expect(0);
    assert!(issued.err.contains("--context prod token revoke tok_"), "{issued:?}");
    let both = ["--context", "prod", "status", "--control", "http://127.0.0.1:1"];
    assert!(arizuko(&both, "").await.expect(1).err.contains("not both"));
    arizuko(&["context", "remove", "prod"], "").await.expect(0);
    let gone = arizuko(&["--context", "prod", "status"], "").await.expect(1);
    assert!(gone.err.contains("there is no context prod"), "{gone:?}");
    let file = stack.folder().join("home/.config/arizuko/contexts.toml");
    fs::write(&file, "[prod\n").expect("`context add` has made the folder");
    let broken = arizuko(&["context", "list"], "").await.expect(1).err;
    let told = format!("error: cannot use {}: line 1: ", file.display());
    assert!(broken.starts_with(&told) && broken.lines().count() == 1, "{broken}");
}

#[apply(embedded)]
async fn quiet_leaves_out_notes_and_keeps_errors(stack: Stack) {
    let issue = ["token", "issue", "acme", "chat", "--quiet"];
    let issued = stack.arizuko(&issue).await.expect(0);
    assert!(issued.out.contains("/chat/") && issued.err.is_empty(), "{issued:?}");
    let failed = stack.arizuko(&["-q", "token", "issue", "a b", "chat"]).await.expect(1);
    assert!(failed.err.contains("a b"), "{failed:?}");
}

#[apply(embedded)]
async fn a_closed_standard_output_is_an_error(stack: Stack) {
    let arizuko = stack.program("arizuko");
    let arizuko = arizuko.as_std().get_args().last().expect("the program");
    let shell = async |line: &str| {
        let mut shell = command("sh");
        shell.envs(operators(&stack)).args(["-c", line]).arg(arizuko);
        run(&mut shell, "").await
    };
    for call in ["status", "--help", "token list --json", "mcp"] {
        let line = format!("\"$0\" {call} >&-");
        let failed = shell(&line).await.expect(1);
        assert!(failed.err.contains("cannot write to standard output: Bad file"), "{failed:?}");
    }
    let (link, mut agent) = (stack.issue("acme").await, stack.attach("acme", A).await);
    let chat = format!("echo hello | \"$0\" chat {}/chat/{}/ >&-", stack.gateway(A), link.token);
    let (failed, ()) = tokio::join!(shell(&chat), agent.answer_next("hello to you"));
    let failed = failed.expect(1);
    assert!(failed.err.contains("cannot write to standard output: Bad file"), "{failed:?}");
    shell("\"$0\" status > /dev/null").await.expect(0);
    shell("\"$0\" status <> /dev/null >&0").await.expect(0);
}

#[apply(embedded)]
async fn at_a_terminal_tables_have_ages(stack: Stack) {
    stack.arizuko(&["key", "create", "acme", "--expires", "90d"]).await.expect(0);
    let arizuko = stack.program("arizuko");
    let arizuko = arizuko.as_std().get_args().last().expect("the program");
    let mut told = Vec::new();
    for flags in ["", " --iso"] {
        // `script` runs it at a terminal of its own.
        let mut terminal = command("script");
        terminal.envs(operators(&stack)).args(["-qec"]);
        terminal.arg(format!("{} key list acme{flags}", arizuko.display())).arg("/dev/null");
        told.push(run(&mut terminal, "").await.expect(0).out);
    }
    let year = |told: &str| told.matches("-").count() > 6 && told.contains('T');
    assert!(told[0].contains(" s ago") && told[0].contains("in 89 d"), "{told:?}");
    assert!(!told[1].contains(" ago") && year(&told[1]), "{told:?}");
    let piped = stack.arizuko(&["key", "list", "acme"]).await.expect(0).out;
    assert!(!piped.contains(" ago") && year(&piped), "{piped}");
}

/// Returns the environment in which `arizuko` runs as an operator.
fn operators(stack: &Stack) -> Vec<(String, String)> {
    let command = stack.operators_command();
    let set = command.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
    let text = |text: &std::ffi::OsStr| text.to_str().expect("UTF-8").to_owned();
    set.map(|(name, value)| (text(name), text(value))).collect()
}

#[apply(embedded)]
async fn help_lists_every_command(stack: Stack) {
    let help = stack.arizuko(&["--help"]).await.expect(0);
    for command in [
        "up",
        "token",
        "key",
        "route",
        "inbox",
        "desk",
        "agent",
        "chat",
        "status",
        "audit",
        "tail",
        "completions",
    ] {
        assert!(help.out.contains(command), "{command} in {}", help.out);
        let own = stack.arizuko(&[command, "--help"]).await.expect(0);
        assert!(own.out.contains("Usage:") && own.err.is_empty(), "{own:?}");
    }
    assert!(stack.arizuko(&["--version"]).await.expect(0).out.starts_with("arizuko "));
}

#[apply(embedded_and_pair)]
async fn an_operator_sees_the_schemas_of_the_store_and_of_a_program(stack: Stack) {
    let version = run(stack.program("arizuko-control").arg("--version"), "").await.expect(0).out;
    let (_, schema) = version.trim().split_once(", schema ").expect("it has a schema");
    let status = stack.arizuko(&["status"]).await.expect(0).out;
    let store = status.lines().find(|line| line.starts_with("store ")).expect("a line");
    assert!(store.ends_with(&format!(" partitions, schema {schema}")), "{store}");
}
