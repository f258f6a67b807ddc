//! Completions: real shells complete the names that control knows.

use arizuko_tests::prelude::*;
use std::env;
use tokio::{net::TcpListener, process::Command};

/// Returns the path of a file that the package installs.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/completions").join(path)
}

/// Returns a shell that finds `arizuko` in its path, with the operator's settings.
fn shell(stack: &Stack, shell: &str) -> Command {
    let operators = stack.operators_command();
    let arizuko = operators.as_std().get_args().last().map(Path::new);
    let folder = arizuko.and_then(Path::parent).expect("it is in a folder").to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path)));
    let mut shell = command(found(shell));
    let set = operators.as_std().get_envs();
    shell.envs(set.filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", path.expect("no folder has a colon")).env("TERM", "dumb");
    shell
}

#[apply(embedded)]
async fn completions_are_printed_for_each_shell(stack: Stack) {
    for name in ["bash", "zsh", "fish"] {
        let script = stack.arizuko(&["completions", name]).await.expect(0).out;
        let file = stack.folder().join(name);
        fs::write(&file, script).expect("the folder is ours");
        let checked = run(command(found(name)).arg("-n").arg(&file), "").await.expect(0);
        assert_eq!(checked.err, "", "{name}");
    }
}

/// Returns lines as typed, with the beginning of a name, and as the shell should complete them.
async fn names(stack: &Stack) -> Vec<(String, String)> {
    let link = stack.issue_with("acme/eng", "support", LinkOptions::default()).await;
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, true).await;
    stack.visitor(&link, A).say("hello").await;
    let listed = ["conversation", "list", "acme", "--json"];
    let listed = stack.arizuko(&listed).await.expect(0).json();
    let conversation = listed["conversations"][0]["conversation_id"].as_str().expect("an id");
    let turn = listed["conversations"][0]["turn_id"].as_str().expect("an id");
    let url = format!("http://127.0.0.1:{}/", free_port());
    let subscribe = ["event", "subscribe", "acme", "--url", &url, "--json"];
    let subscribed = stack.arizuko(&subscribe).await.expect(0).json();
    let subscription = subscribed["subscription"]["subscription_id"].as_str().expect("an id");
    stack.attach("acme/eng", A).await.answer_next("hi").await;
    let parked = ["event", "list", subscription, "--parked", "--json"];
    let mut event = String::new();
    until("an event to be parked", async || {
        let listed = stack.arizuko(&parked).await.expect(0).json();
        event = listed["events"][0]["event_id"].as_str().unwrap_or_default().to_owned();
        !event.is_empty()
    })
    .await;
    let mut context = stack.program("arizuko");
    context.args(["context", "add", "production", "--control", &stack.control(A)]);
    run(&mut context, "").await.expect(0);
    let cut = |command: &str, name: &str| {
        (format!("{command} {}", &name[..name.len() - 3]), format!("{command} {name}"))
    };
    vec![
        cut("token list", "acme/eng"),
        cut("token show", &link.jid),
        cut("token revoke", &link.token_id),
        cut("key revoke", &key.key_id),
        cut("conversation show", conversation),
        cut("turn show", turn),
        cut("delivery replay", turn),
        cut(&format!("event replay {subscription}"), &event),
        cut("--context", "production"),
        cut("context remove", "production"),
        cut("conversation list --jid", &link.jid),
        cut("conversation list", &format!("--jid={}", link.jid)),
        cut("route", "explain"),
    ]
}

#[apply(embedded)]
async fn a_shell_completes_names_that_control_knows(kind: Kind) {
    let settings = [
        crate::hooks::signatures::SEAL,
        ("ARIZUKO_PRIVATE_EVENT_TARGETS", "true"),
        ("ARIZUKO_EVENT_RETRY_FOR", "1s"),
    ];
    let stack = Stack::with(kind, &settings).await;
    let mut names = names(&stack).await;
    let file = stack.folder().join("bashrc");
    let program = format!("agent exec -- {}", file.display());
    names.push((program.trim_end_matches("rc").to_owned(), program));
    let setup = format!("PS1='$ '\n. {}\n", shipped("arizuko.bash").display());
    fs::write(&file, setup).expect("the folder is ours");
    // Each line is completed, and then becomes the arguments of `echo`.
    let typed = names.iter().map(|(typed, _)| format!("arizuko {typed}\t\u{1}echo \n"));
    let typed = typed.collect::<String>() + "exit\n";
    let mut terminal = shell(&stack, "script");
    let interactive = format!("bash --noprofile --rcfile {} -i", file.display());
    terminal.args(["-qec", &interactive, "/dev/null"]);
    let bash = run(&mut terminal, &typed).await.expect(0).out;
    let lines: Vec<_> = bash.lines().map(str::trim_end).collect();
    for (_, whole) in &names {
        assert!(lines.contains(&format!("arizuko {whole}").as_str()), "{whole}: {bash}");
    }

    let setup = format!(
        "PS1='$ '; autoload -Uz compinit; compinit -u -D\nzstyle ':completion:*' insert-tab no\n\
         bindkey -e; fpath=({} $fpath); autoload -Uz _arizuko; compdef _arizuko arizuko\n",
        shipped("").display()
    );
    fs::write(stack.folder().join(".zshrc"), setup).expect("the folder is ours");
    let mut terminal = shell(&stack, "script");
    terminal.env("ZDOTDIR", stack.folder()).args(["-qec", "zsh -d -i", "/dev/null"]);
    let zsh = run(&mut terminal, &typed).await.expect(0).out;
    let lines: Vec<_> = zsh.lines().map(str::trim_end).collect();
    for (_, whole) in &names {
        assert!(lines.contains(&format!("arizuko {whole}").as_str()), "{whole}: {zsh}");
    }

    let mut script = format!(". {}\n", shipped("arizuko.fish").display());
    for (typed, _) in &names {
        script += &format!("complete --do-complete 'arizuko {typed}'\n");
    }
    let fish = run(shell(&stack, "fish").args(["--no-config", "-c", &script]), "").await.expect(0);
    let words: Vec<_> = fish.out.lines().filter_map(|line| line.split('\t').next()).collect();
    for (_, whole) in &names {
        let word = whole.rsplit(' ').next().unwrap_or_default();
        assert!(words.contains(&word), "{whole}: {fish:?}");
    }
}

#[apply(embedded)]
async fn completions_use_the_connection_on_the_line_and_say_nothing_of_failures(stack: Stack) {
    let link = stack.issue_with("acme", "support", LinkOptions::default()).await;
    let key = stack.folder().join("operator.key");
    write_secret(&key, stack.operator_key());
    let asked = async |words: &[&str]| {
        let mut arizuko = stack.program("arizuko");
        arizuko.env("ARIZUKO_COMPLETE", "bash").args(["--", "arizuko"]);
        let asked = run(arizuko.args(words).arg("web:"), "").await.expect(0);
        assert_eq!(asked.err, "", "{asked:?}");
        asked.out
    };
    let (control, file) = (stack.control(A), key.to_str().expect("UTF-8"));
    let connection = ["--control", &control, "--key-file", file];
    let jids = format!("{}\n", link.jid);
    assert_eq!(asked(&[&["token", "show"], &connection[..]].concat()).await, jids);
    let mut context = stack.program("arizuko");
    context.args(["context", "add", "prod"]).args(connection);
    run(&mut context, "").await.expect(0);
    assert_eq!(asked(&["--context", "prod", "token", "show"]).await, jids);

    assert_eq!(asked(&["--context", "other", "token", "show"]).await, "");
    write_secret(&key, "another-key-of-at-least-32-characters");
    assert_eq!(asked(&[&["token", "show"], &connection[..]].concat()).await, "", "a wrong key");
    assert_eq!(asked(&["token", "show", "--control", "http://127.0.0.1:1"]).await, "");
    // This server accepts connections, and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let silent = format!("http://{}", silent.local_addr().expect("it is bound"));
    let begun = Instant::now();
    assert_eq!(asked(&["token", "show", "--control", &silent]).await, "");
    assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
}
