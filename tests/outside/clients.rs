//! Third-party clients: curl, and Python's libraries for gRPC, HTTP and SSE.

use arizuko_tests::{prelude::*, tools::interpreter};

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[apply(every_stack)]
async fn curl_posts_in_each_content_type_and_reads_the_stream(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for body in [
        &["--json", r#"{"content": "hello & you"}"#][..],
        &["--data-urlencode", "content=hello & you"],
        &["-H", "content-type: text/plain", "--data-binary", "hello & you"],
    ] {
        let posted = parse(&curl(&[body, &[&link.url]].concat()).await.expect(0).out);
        let stream = format!("{}{}/sse", link.url, posted["turn_id"].as_str().unwrap_or_default());
        let answering = async {
            let mut held = agent.turn().await;
            assert_eq!(held.turn.content, "hello & you".as_bytes());
            agent.append(&mut held, delta("m1", "hello\nto you")).await;
            agent.finish(&held).await;
        };
        let arguments = ["--no-buffer", "--include", stream.as_str()];
        let (read, ()) = tokio::join!(curl(&arguments), answering);
        let read = read.expect(0).out;
        assert!(read.contains("content-type: text/event-stream"), "{read}");
        assert!(
            read.contains("event: delta\ndata: {") && read.contains("\"text\":\"hello\\nto you\""),
            "{read}"
        );
        assert!(
            read.contains("event: turn_done\n") && !read.to_lowercase().contains("set-cookie"),
            "{read}"
        );
    }
    // One command posts and reads the reply.
    let answering = async {
        agent.answer_next("at once").await;
    };
    let inline = ["-H", "accept: text/event-stream", "--data", "content=hello", &link.url];
    let (read, ()) = tokio::join!(curl(&inline), answering);
    assert!(read.expect(0).out.contains("\"content\":\"at once\""));
}

#[apply(every_stack)]
async fn a_python_client_reconnects_with_last_event_id_and_reads_a_whole_reply(kind: Kind) {
    let stack = Stack::with_real_links(kind, &[]).await;
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for cut in [1, 2, 1000] {
        let cut = cut.to_string();
        let arguments = [link.url.as_str(), "hello", &cut];
        let answering = async {
            let mut held = agent.turn().await;
            for text in ["é", "\n\n", "😀", "\u{2028}"] {
                agent.append(&mut held, delta("m1", text)).await;
            }
            agent.finish(&held).await;
        };
        let (talked, ()) = tokio::join!(python("converse.py", &arguments), answering);
        let talked = parse(&talked.expect(0).out);
        let turn = talked["posted"]["turn_id"].as_str().unwrap_or_default();
        let uncut = stack.visitor(&link, B).read(turn).await;
        let uncut: Vec<_> = uncut
            .into_iter()
            .map(|e| json!({"id": e.id, "event": e.name, "data": e.data}))
            .collect();
        assert_eq!(talked["events"], json!(uncut));
        assert_eq!(talked["cookies"], 0);
        let connections = talked["connections"].as_u64().unwrap_or_default();
        let fewest = match cut.as_str() {
            "1" => 5,
            "2" => 3,
            _ => 1,
        };
        assert!(connections >= fewest, "{connections}");
    }
}

#[apply(every_stack)]
async fn a_python_agent_issues_links_with_its_key(stack: Stack) {
    let key = stack.agent_key("acme/eng").await;
    let control = stack.control(B);
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto").display().to_string();
    let control = control.trim_start_matches("http://");
    let orders = ["", "", "", "support", "acme", "", "acme/eng/x", ""];
    let minted =
        python("mint.py", &[&[control, &protos, &key][..], &orders].concat()).await.expect(0);
    let minted: Vec<_> = minted.out.lines().map(parse).collect();
    assert_eq!(minted.len(), 4);
    for (link, jid) in minted.iter().zip(["web:acme/eng", "web:acme/eng/support"]) {
        let token = link["token"].as_str().expect("a token");
        assert_fields(
            link,
            json!({"jid": jid, "url": format!("https://acme.example/chat/{token}/")}),
        );
        assert!(link["token_id"].as_str().is_some_and(|id| id.starts_with("tok_")));
        stack.at(A, &format!("/chat/{token}/")).get("").await.expect(200);
    }
    for refused in &minted[2..] {
        assert_eq!(refused["code"], "PERMISSION_DENIED", "{refused}");
    }
    let refused = python("mint.py", &[control, &protos, "azk_nonsense", "", ""]).await.expect(0);
    assert_eq!(parse(&refused.out)["code"], "UNAUTHENTICATED");
}

#[apply(embedded)]
async fn control_takes_gzip_and_says_which_messages_it_cannot_read(mut stack: Stack) {
    let key = stack.agent_key("acme").await;
    let control = stack.control(A);
    let control = control.trim_start_matches("http://");
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto").display().to_string();
    let before = stack.process(Gateway(A)).peak_memory();
    let told = python("compress.py", &[control, &protos, &key]).await.expect(0).out;
    let told: Vec<_> = told.lines().map(parse).collect();
    assert_eq!(told[0]["answer"], "web:acme");
    assert_eq!(told[1]["code"], "RESOURCE_EXHAUSTED", "{told:?}");
    assert_eq!(told[2]["answer"], "welcome");
    assert_eq!(told[3]["code"], "INVALID_ARGUMENT", "{told:?}");
    assert_eq!(
        (&told[4]["answer"], &told[5]["code"]),
        (&json!("welcome"), &json!("INVALID_ARGUMENT"))
    );
    let logs = fs::read_dir(stack.logs()).expect("it is there").filter_map(Result::ok);
    let logs: String = logs.filter_map(|log| fs::read_to_string(log.path()).ok()).collect();
    assert_eq!(logs.matches("an agent broke the contract").count(), 2);
    let grown = stack.process(Gateway(A)).peak_memory() - before;
    assert!(grown < 32 << 20, "control held {grown} bytes more");
}

#[apply(every_stack)]
async fn control_serves_grpc_health_and_reflection(stack: Stack) {
    for control in BOTH {
        let control = stack.control(control);
        let told = python("health.py", &[control.trim_start_matches("http://")]).await.expect(0);
        let told = parse(&told.out);
        for service in ["", "arizuko.v1.GatewayService", "arizuko.v1.AgentService"] {
            assert_eq!(told["health"][service], "SERVING", "{told}");
        }
        let services = told["services"].to_string();
        for service in ["Token", "Key", "Agent", "Gateway", "Admin"] {
            assert!(services.contains(&format!("arizuko.v1.{service}Service")), "{services}");
        }
        assert!(services.contains("grpc.health.v1.Health"), "{services}");
        let methods = [
            "IssueChatLink",
            "IssueWebhook",
            "ListTokens",
            "GetTokenStats",
            "EditToken",
            "RevokeToken",
            "SetWebhookSecrets",
            "SetVisitorKeys",
        ];
        assert_eq!(told["methods"], json!(methods));
    }
}

#[apply(every_stack)]
async fn a_gateway_serves_its_health_and_its_contract(stack: Stack) {
    for gateway in BOTH {
        let gateway = stack.at(gateway, "");
        gateway.get("/healthz").await.expect(200);
        gateway.get("/readyz").await.expect(200);
        assert_eq!(gateway.json("/openapi.json").await["openapi"], "3.1.0");
    }
}

#[apply(embedded)]
async fn what_the_api_answers_is_what_its_contract_says(stack: Stack) {
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, A);
    let mut agent = stack.attach("acme", A).await;
    let answer = visitor.post_json(&json!({"content": "hello"})).await.expect(202).json();
    let (turn, conversation) = (text_of(&answer["turn_id"]), text_of(&answer["conversation"]));
    let mut answers = vec![("Posted", answer)];
    let mut held = agent.turn().await;
    agent.append(&mut held, status("thinking")).await;
    agent.append(&mut held, delta("m1", "so")).await;
    answers.push(("Standing", visitor.json(&format!("{turn}/status")).await));
    answers.push(("Snapshot", visitor.json(&turn).await));
    agent.leave().await;
    let mut agent = stack.attach("acme", A).await;
    let mut held = agent.turn().await;
    agent.append(&mut held, message("m1", "so far")).await;
    agent.say(held.fail("The model is tired.")).await;
    visitor.end_of(&turn).await;
    let rating = visitor.request(Method::PUT, &format!("{turn}/rating"));
    send(rating.json(&json!({"rating": "up"}))).await.expect(200);
    let history = visitor.json(&format!("c/{conversation}")).await;
    let mut stream = visitor.follow(&conversation).await;
    let events = stream.through("rated").await;
    assert_eq!(names(&events)[..2], ["user", "status"]);
    assert!(names(&events).contains(&"restart"));
    for event in events {
        let event = json!({"id": event.id, "event": event.name, "data": event.data});
        answers.push(("Event", event));
    }
    answers.push(("Snapshot", visitor.json(&format!("{turn}?after=0")).await));
    answers.push(("Snapshot", visitor.json(&format!("{turn}?html=1")).await));
    for told in [&history["turns"][0], &visitor.json(&turn).await] {
        answers.push(("Message", told["user"].clone()));
        answers.push(("Message", told["assistant"][0].clone()));
    }
    answers.push(("Turn", history["turns"][0].clone()));
    answers.push(("History", history));
    let config = visitor.json("config").await;
    answers.push(("Config", config));
    answers.push(("Problem", visitor.get("AAAAAAAAAAAAAAAAAAAAAA").await.expect(404).json()));
    let (gateway, told) = (stack.gateway(A), json!(answers).to_string());
    let wrong = python("contract.py", &[&gateway, &told]).await.expect(0).out;
    assert_eq!(wrong, "", "{answers:?}");
}

/// Schemathesis makes requests from the contract, valid ones and others, and compares each answer.
#[apply(embedded)]
async fn schemathesis_finds_nothing_that_the_contract_does_not_say(kind: Kind) {
    let many = ["ADDRESS_REQUESTS", "ADDRESS_RATE", "ADDRESS_BURST", "LINK_RATE", "HOOK_RATE"];
    let many = many.map(|limit| format!("ARIZUKO_{limit}"));
    let limits = many.each_ref().map(|limit| (limit.as_str(), "60000"));
    let stack = Stack::with(kind, &limits).await;
    let mut echo = stack.operators_command();
    echo.args(["agent", "exec", "--folder", "acme", "--concurrency", "8", "--", "cat"]);
    let _agent = Process::start("agent", echo, &stack.logs());
    stack.attended("acme").await;
    let (link, webhook) = (stack.issue("acme").await, stack.issue_hook("acme", "any", "any").await);
    let (visitor, caller) = (stack.visitor(&link, A), stack.caller(&webhook, A));
    let [read, deleted] = [visitor.say("hello").await, visitor.say("hello").await];
    let delivery = caller.post("text/plain", "hello").await.posted();
    for turn in [&read.turn, &deleted.turn] {
        visitor.end_of(turn).await;
    }
    let mut schemathesis = command(interpreter());
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/schemathesis.toml");
    schemathesis.args(["-m", "schemathesis.cli", "--config-file"]).arg(settings);
    schemathesis.args(["run", &format!("{}/openapi.json", stack.gateway(A)), "--no-color"]);
    schemathesis.args(["--phases", "examples,coverage,fuzzing"]);
    schemathesis.args(["--max-examples", "5", "--seed", "1", "--generation-database", "none"]);
    schemathesis.envs([
        ("CHAT", &link.token),
        ("TURN", &read.turn),
        ("CONVERSATION", &read.conversation),
        ("DELETED", &deleted.conversation),
        ("HOOK", &webhook.token),
        ("DELIVERY", &delivery.turn),
    ]);
    // Waits without `within`: Schemathesis takes longer than a test waits for one event.
    let ended = schemathesis.current_dir(stack.folder()).output().await.expect("it starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}

#[apply(embedded)]
async fn clients_that_are_generated_from_the_contract_work(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    let (gateway, folder) = (stack.gateway(A), stack.folder().join("generated"));
    fs::create_dir_all(&folder).expect("the stack's folder is ours");
    let contract = format!("{gateway}/openapi.json");
    let in_python = async {
        fs::write(folder.join("settings.yaml"), "post_hooks: []").expect("the folder is ours");
        let mut generator = command(interpreter());
        generator.args(["-m", "openapi_python_client", "generate", "--url", &contract]);
        generator.args(["--config", "settings.yaml", "--output-path", "python"]);
        run(generator.current_dir(&folder), "").await.expect(0);
    };
    let in_typescript = async {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let modules = clients.join("node_modules");
        std::os::unix::fs::symlink(&modules, folder.join("node_modules")).expect("it is ours");
        fs::copy(clients.join("generated.ts"), folder.join("client.mts")).expect("it is there");
        let tool = |name: &str, arguments: &[&str]| {
            let mut tool = command(found("node"));
            tool.arg(modules.join(name)).args(arguments).current_dir(&folder);
            tool
        };
        let generate = [&*contract, "--output", "contract.ts"];
        run(&mut tool("openapi-typescript/bin/cli.js", &generate), "").await.expect(0);
        let strict = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"];
        run(&mut tool("typescript/bin/tsc", &[&strict[..], &["client.mts"]].concat()), "")
            .await
            .expect(0);
    };
    tokio::join!(in_python, in_typescript);
    let talking = async {
        let client = folder.join("python").display().to_string();
        let told = python("generated.py", &[&gateway, &link.token, &client]).await.expect(0).out;
        let mut client = command(found("node"));
        client.args(["client.mjs", &gateway, &link.token]).current_dir(&folder);
        (told, run(&mut client, "").await.expect(0).out)
    };
    let answering = async {
        for _ in 0..2 {
            let held = agent.turn().await;
            assert_eq!(held.turn.content, "hello & you".as_bytes());
            agent.answer(held, "hello to you").await;
        }
    };
    let ((told, typed), ()) = tokio::join!(talking, answering);
    let told: Vec<_> = told.lines().map(parse).collect();
    let types: Vec<_> = told.iter().map(|told| told["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(types, ["Posted", "Snapshot", "Standing", "History", "Config", "Problem"]);
    assert_eq!(told[0]["answer"]["assistant"][0]["content"], "hello to you");
    assert_eq!(told[3]["answer"]["turns"][0]["user"]["content"], "hello & you");
    let typed: Vec<_> = typed.lines().map(parse).collect();
    let expected =
        [json!(["hello to you"]), json!("done"), json!(["hello & you"]), json!("NOT_FOUND")];
    assert_eq!(typed, expected);
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
