//! `arizuko token`: issue, list, show, edit, revoke, and a link's own limits.

use arizuko_tests::prelude::*;

#[apply(every_stack)]
async fn a_list_of_all_tokens_has_those_that_have_ended(stack: Stack) {
    let issue = async |flags: &[&str]| {
        let issue = [&["token", "issue", "acme", "chat", "--json"], flags].concat();
        let issued = stack.arizuko(&issue).await.expect(0).json();
        issued["token_id"].as_str().expect("an id").to_owned()
    };
    let [live, revoked, expired] = [
        issue(&["--suffix", "live"]).await,
        issue(&["--suffix", "revoked"]).await,
        issue(&["--suffix", "expired", "--expires", "1s"]).await,
    ];
    stack.arizuko(&["token", "revoke", &revoked]).await.expect(0);
    let all = ["token", "list", "acme", "--all"];
    let state = async |id: &str| {
        let listed = stack.arizuko(&all).await.expect(0).out;
        let row = listed.lines().find(|line| line.contains(id));
        row.and_then(|row| row.split_whitespace().nth(2)).unwrap_or_default().to_owned()
    };
    until("the expiry to be in the audit log", async || state(&expired).await == "expired").await;
    assert_eq!((&*state(&revoked).await, &*state(&live).await), ("revoked", "-"));
    let some = [&all[..], &["--jid-prefix", "web:acme/rev"]].concat();
    let listed = stack.arizuko(&some).await.expect(0).out;
    assert!(listed.contains(&revoked) && listed.lines().count() == 2, "{listed}");
    let live_alone = stack.arizuko(&["token", "list", "acme"]).await.expect(0).out;
    assert!(live_alone.contains(&live) && live_alone.lines().count() == 2, "{live_alone}");
}

#[apply(every_stack)]
async fn issue_prints_the_url_to_stdout_and_the_rest_to_stderr(stack: Stack) {
    let issued =
        stack.arizuko(&["token", "issue", "acme", "chat", "--suffix", "support"]).await.expect(0);
    let url = issued.out.strip_suffix('\n').expect("one line");
    let token =
        url.strip_prefix("https://acme.example/chat/").and_then(|rest| rest.strip_suffix('/'));
    let token = token.unwrap_or_else(|| panic!("{issued:?}"));
    stack.at(A, &format!("/chat/{token}/")).get("").await.expect(200);
    assert!(issued.err.contains("web:acme/support") && issued.err.contains("tok_"), "{issued:?}");
    assert!(!issued.err.contains(token), "{issued:?}");
    assert!(issued.err.contains("note: no agent is attached to acme. Attach one:"), "{issued:?}");
    assert!(issued.err.contains("agent exec --folder acme"), "{issued:?}");
    let _agent = stack.attach("acme", B).await;
    let issued = stack.arizuko(&["token", "issue", "acme", "hook", "github"]).await.expect(0);
    assert!(
        issued.out.starts_with("https://acme.example/hook/") && !issued.out.ends_with("/\n"),
        "{issued:?}"
    );
    assert!(
        issued.err.contains("hook:acme/github") && !issued.err.contains("no agent"),
        "{issued:?}"
    );
}

#[apply(every_stack)]
async fn list_takes_a_folder_and_revoke_any_names_of_links(stack: Stack) {
    let none = stack.arizuko(&["token", "list"]).await.expect(0);
    assert_eq!(none.out, "", "{none:?}");
    let one = stack.issue("acme").await;
    let two = stack.issue_with("acme", "support", Default::default()).await;
    let other = stack.issue("other").await;
    let all = stack.arizuko(&["token", "list"]).await.expect(0).out;
    assert!(
        [&one, &two, &other]
            .iter()
            .all(|link| all.contains(&link.token_id) && all.contains(&link.jid)),
        "{all}"
    );
    assert!(!all.contains(&one.token), "{all}");
    let below = stack.arizuko(&["token", "list", "acme"]).await.expect(0).out;
    assert!(below.contains(&one.token_id) && !below.contains(&other.token_id), "{below}");
    let prefixed =
        stack.arizuko(&["token", "list", "--jid-prefix", "web:acme/"]).await.expect(0).out;
    assert!(prefixed.contains(&two.token_id) && !prefixed.contains(&one.token_id), "{prefixed}");
    let targets = ["web:acme/support", &one.url, &two.url, "web:none"];
    let would = ["token", "revoke", "--dry-run"];
    let would = stack.arizuko(&[&would[..], &targets].concat()).await.expect(0).out;
    assert!(would.starts_with("would revoke 2 tokens:\n"), "{would}");
    stack.visitor(&two, A).get("").await.expect(200);
    let revoked = stack.arizuko(&[&["token", "revoke"], &targets[..]].concat()).await.expect(0);
    assert_eq!(revoked.out, would.replace("would revoke", "revoked"));
    stack.visitor(&two, A).get("").await.expect(401);
    stack.visitor(&one, B).get("").await.expect(401);
    let again = stack.arizuko(&["token", "revoke", &one.token_id]).await.expect(0);
    assert!(again.err.contains("no live token") && again.err.contains("token list"), "{again:?}");
    stack.visitor(&other, A).get("").await.expect(200);
}

#[apply(embedded)]
async fn a_links_own_limits_apply_to_each_visitor_and_are_listed(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_TRUSTED_PROXY", "127.0.0.0/8")]).await;
    let issue = ["token", "issue", "acme", "chat"];
    let flags = ["--rate", "20/m", "--burst", "4", "--max-open-turns", "3", "--proof-of-work=auto"];
    let budgets =
        ["--max-turns-per-day=200", "--max-visitor-turns-per-day=20", "--budget-tokens=1M/day"];
    let issued = stack.arizuko(&[&issue[..], &flags, &budgets].concat()).await.expect(0);
    let token = issued.out.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let visitor = stack.at(A, &format!("/chat/{token}/"));
    let say = async |address: &str| {
        let request = visitor.request(Method::POST, "").header("x-forwarded-for", address);
        send(request.json(&json!({"content": "x"}))).await
    };
    let mut agent = stack.attach("acme", A).await;
    for address in ["192.0.2.1", "192.0.2.2"] {
        for _ in 0..3 {
            say(address).await.posted();
        }
        say(address).await.refused(429, "TOO_MANY_TURNS");
        agent.answer_next("one is over").await;
        say(address).await.posted();
        for _ in 0..3 {
            agent.answer_next("another is over").await;
        }
        say(address).await.refused(429, "RATE_LIMITED");
    }
    let listed = stack.arizuko(&["token", "list", "--json"]).await.expect(0).out;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let limits = json!({
        "rate": {"count": 20, "per": "60s"},
        "burst": 4,
        "max_open_turns": 3,
        "proof_of_work": "PROOF_OF_WORK_AUTO",
        "turns_per_day": 200,
        "visitor_turns_per_day": 20,
        "tokens_per_day": 1000000,
    });
    assert_eq!(listed["tokens"][0]["options"]["limits"], limits, "{listed}");

    for (flags, told) in [
        (["--rate", "20"], "20/m"),
        (["--rate", "0/m"], "at least 1"),
        (["--rate", "2000/s"], "1000 a second"),
        (["--burst", "0"], "1..=100000"),
        (["--max-open-turns", "20000"], "1..=10000"),
        (["--budget-tokens", "1X"], "1M/day"),
    ] {
        let refused = stack.arizuko(&[&issue[..], &flags].concat()).await.expect(2);
        assert!(refused.err.contains(told), "{refused:?}");
    }
}

#[apply(every_stack)]
async fn show_and_edit_take_a_jid_or_an_id(stack: Stack) {
    let expiring = async |within: &str| {
        stack.arizuko(&["token", "list", "--expiring", within]).await.expect(0).out
    };
    let logo = stack.folder().join("logo.svg");
    fs::write(&logo, "<svg xmlns='http://www.w3.org/2000/svg'/>").expect("our folder");
    let logo = logo.to_str().expect("plain text");
    let issue = ["token", "issue", "acme", "chat", "--suffix", "support", "--expires", "1h"];
    let looks = ["--title", "Acme", "--logo-file", logo, "--ask", "One?", "--ask", "Two?"];
    stack
        .arizuko(&[&issue[..], &looks, &["--rate", "20/m", "--theme", "dark"]].concat())
        .await
        .expect(0);
    let show = async |target: &str| stack.arizuko(&["token", "show", target]).await.expect(0).out;
    let has = |shown: &str, property: &str, value: &str| {
        shown
            .lines()
            .any(|line| line.split_once(' ').map(|(p, v)| (p, v.trim())) == Some((property, value)))
    };
    let shown = show("web:acme/support").await;
    for (property, value) in [
        ("jid", "web:acme/support"),
        ("name", "Acme"),
        ("rate", "20/m"),
        ("logo", "image/svg+xml"),
        ("theme", "dark"),
        ("ask", "One?"),
        ("ask", "Two?"),
    ] {
        assert!(has(&shown, property, value), "{property} in {shown}");
    }
    let id =
        shown.split_whitespace().find(|word| word.starts_with("tok_")).expect("an id").to_owned();
    assert!(expiring("2h").await.contains(&id) && !expiring("30m").await.contains(&id));
    let change =
        ["--title", "", "--burst", "9", "--accent", "#2563eb", "--clear", "ask,expires,rate,logo"];
    let edited = stack.arizuko(&[&["token", "edit", &id][..], &change].concat()).await.expect(0);
    assert!(edited.out.contains(&id) && edited.out.contains("web:acme/support"), "{edited:?}");
    let shown = show(&id).await;
    assert!(has(&shown, "expires", "never") && has(&shown, "burst", "9"), "{shown}");
    assert!(has(&shown, "accent", "#2563eb") && has(&shown, "theme", "dark"), "{shown}");
    for gone in ["name", "ask", "rate", "logo"] {
        assert!(!shown.lines().any(|line| line.starts_with(gone)), "{gone} in {shown}");
    }
    let json = stack.arizuko(&["token", "show", &id, "--json"]).await.expect(0).json();
    assert_eq!(json["tokens"][0]["options"]["looks"]["accent"], "#2563eb");

    let large = stack.folder().join("large.png");
    fs::write(&large, vec![0; (64 << 10) + 1]).expect("our folder");
    let large = large.to_str().expect("plain text");
    for (code, flags, told) in [
        (2, &["edit", &id][..], "say what to change"),
        (2, &["edit", &id, "--title", "x", "--clear", "name"], "not both"),
        (2, &["edit", &id, "--clear", "jid"], "possible values"),
        (1, &["edit", &id, "--accent", "red"], "#17614f"),
        (1, &["edit", &id, "--legal-url", "http://acme.example"], "https://"),
        (1, &["edit", &id, "--logo-file", large], "64 KiB"),
        (1, &["edit", "web:acme/none", "--title", "x"], "no live token"),
        (1, &["show", "web:acme/none"], "no live token"),
    ] {
        let refused = stack.arizuko(&[&["token"], flags].concat()).await.expect(code);
        assert!(refused.err.contains(told), "{refused:?}");
    }
}
