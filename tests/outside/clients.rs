//! Third-party clients: curl, and Python's libraries for gRPC, HTTP and SSE.

use arizuko_tests::prelude::*;

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
        ];
        assert_eq!(told["methods"], json!(methods));
    }
}

#[apply(every_stack)]
async fn a_gateway_serves_its_health_and_openapi_json(stack: Stack) {
    for gateway in BOTH {
        let gateway = stack.at(gateway, "");
        gateway.get("/healthz").await.expect(200);
        gateway.get("/readyz").await.expect(200);
        let contract = gateway.json("/openapi.json").await;
        assert!(
            contract["openapi"].as_str().is_some_and(|version| version.starts_with("3.")),
            "{contract}"
        );
        let paths = contract["paths"].as_object().expect("paths");
        for path in [
            "/chat/{token}/",
            "/chat/{token}/config",
            "/chat/{token}/logo",
            "/chat/{token}/{turn_id}",
            "/chat/{token}/{turn_id}/status",
            "/chat/{token}/{turn_id}/sse",
            "/chat/{token}/{turn_id}/cancel",
            "/chat/{token}/c/{conversation}",
            "/chat/{token}/c/{conversation}/sse",
            "/chat/{token}/v1/chat/completions",
            "/chat/{token}/v1/models",
            "/chat/{token}/ai",
            "/chat/{token}/ai/{conversation}/stream",
            "/chat/{token}/mcp",
            "/hook/{token}",
            "/hook/{token}/{turn_id}",
            "/hook/{token}/{turn_id}/status",
            "/hook/{token}/{turn_id}/sse",
        ] {
            let placeholders = |path: &str| {
                path.split('/')
                    .map(|part| if part.starts_with('{') { "{}" } else { part }.to_owned())
                    .collect::<Vec<_>>()
            };
            assert!(
                paths.keys().any(|known| placeholders(known) == placeholders(path)),
                "{path} in {:?}",
                paths.keys()
            );
        }
    }
}
