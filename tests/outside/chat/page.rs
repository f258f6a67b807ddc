//! GET `/chat/{token}/`: the page and its configuration.

use arizuko_tests::prelude::*;

#[apply(embedded)]
async fn the_page_is_html_and_loads_only_our_assets(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let page = visitor.get("").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    for directive in [
        "script-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    let html = page.text();
    assert!(!html.contains("{{"), "a placeholder is left: {html}");
    let assets: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 1, "the style is in the page: {assets:?}");
    let problem = stack.at(A, "/chat/nonsense/").request(Method::GET, "");
    let problem = send(problem.header("accept", "text/html")).await.expect(401).text();
    let linked: Vec<_> = problem.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(linked.len(), 1, "a problem is in the same style: {linked:?}");
    let kinds = ["text/javascript", "text/css"];
    for (asset, kind) in assets.iter().chain(&linked).zip(kinds) {
        for gateway in BOTH {
            let file = stack.at(gateway, asset).get("").await.expect(200);
            assert!(file.header("content-type").starts_with(kind), "{asset}");
            assert!(file.header("cache-control").contains("immutable"), "{asset}");
            assert!(!file.body.is_empty());
        }
    }
    // Anything loaded from elsewhere would tell others who visits.
    for foreign in ["http://", "https://"] {
        let loads = html.split(foreign).skip(1).filter(|rest| !rest.starts_with("www.w3.org"));
        assert_eq!(loads.count(), 0, "{html}");
    }
    stack.at(A, "/assets/page.0000000000000000.js").get("").await.expect(404);
}

#[apply(embedded)]
async fn the_page_escapes_the_links_name_and_greeting_and_hides_its_context(stack: Stack) {
    let options = LinkOptions {
        name: "Tom & \"Jerry\" </script><script>alert(1)</script>".into(),
        greeting: "Hello **you** <img src=x onerror=alert(2)>".into(),
        context: "top-secret-context".into(),
        ..LinkOptions::default()
    };
    let visitor = stack.visitor(&stack.issue_with("acme", "", options).await, A);
    let html = visitor.get("").await.expect(200).text();
    assert!(html.contains("<title>Tom &amp; &quot;Jerry&quot; &lt;/script&gt;"), "{html}");
    assert!(html.contains("Hello <strong>you</strong>"), "{html}");
    for must_not in ["<script>alert", "<img src=x", "top-secret-context"] {
        assert!(!html.contains(must_not), "{must_not} in {html}");
    }
    let plain = stack.visit("acme/eng").await;
    assert!(plain.get("").await.expect(200).text().contains("<title>eng</title>"));
}

#[apply(embedded)]
async fn config_has_everything_that_the_page_needs(stack: Stack) {
    let options =
        LinkOptions { name: "Acme".into(), greeting: "*Hi*".into(), ..LinkOptions::default() };
    let link = stack.issue_with("acme", "", options).await;
    let visitor = stack.visitor(&link, B);
    let config = visitor.json("config").await;
    assert_eq!(config["name"], "Acme");
    assert_eq!(config["greeting"], "*Hi*");
    assert_eq!(config["greeting_html"].as_str().map(str::trim), Some("<p><em>Hi</em></p>"));
    assert_eq!(config["agent_attached"], false);
    assert_eq!(config["limits"], json!({"content_bytes": 65_536}));
    assert_eq!(config["paths"]["base"], format!("/chat/{}/", link.token));
    let _agent = stack.attach("acme", A).await;
    assert_eq!(visitor.json("config").await["agent_attached"], true);

    let html = visitor.get("?lang=de").await.expect(200).text();
    let begin = "<script type=\"application/json\" id=\"config\">";
    let inline = html.split_once(begin).and_then(|(_, rest)| rest.split_once("</script>"));
    let inline: Value =
        serde_json::from_str(inline.expect("the page has its config").0).expect("JSON");
    let base = &config["paths"]["base"];
    assert_eq!(
        inline["paths"],
        json!({"base": base, "page": format!("/chat/{}/?lang=de", link.token)})
    );
    assert_eq!((&inline["language"], &config["language"]), (&json!("de"), &json!("en")));
}

#[apply(embedded)]
async fn a_url_without_the_last_slash_redirects_to_the_page(stack: Stack) {
    let link = stack.issue("acme").await;
    let path = format!("/chat/{}", link.token);
    let answer = stack.at(A, &path).get("").await.expect(308);
    assert_eq!(answer.header("location"), format!("{path}/"));
    let answer = stack.at(B, &path).get("?conversation=x&y=1").await.expect(308);
    assert_eq!(answer.header("location"), format!("{path}/?conversation=x&y=1"));
}

#[apply(embedded)]
async fn browsers_get_errors_as_html(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let unknown = stack.at(A, "/chat/nonsense/");
    for (status, request) in [
        (401, unknown.request(Method::GET, "")),
        (404, visitor.request(Method::GET, "AAAAAAAAAAAAAAAAAAAAAA")),
        (400, visitor.request(Method::GET, "?conversation=x")),
        (404, visitor.request(Method::GET, "?conversation=AAAAAAAAAAAAAAAAAAAAAA")),
        (
            400,
            visitor.request(Method::POST, "").header("content-type", "application/json").body("{"),
        ),
    ] {
        let answer = send(request.header("accept", "text/html")).await.expect(status);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let html = answer.text();
        assert!(html.contains("<h1>") && html.contains("</html>"), "{html}");
        if status == 401 {
            assert!(answer.header("www-authenticate").starts_with("Bearer error="));
        }
    }
}

#[apply(embedded)]
async fn a_page_that_says_to_wait_tries_again_by_itself(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "40")]).await;
    let visitor = stack.visit("acme").await;
    let refresh = r#"<meta http-equiv="refresh" content=""#;
    let html = |method| visitor.request(method, "").header("accept", "text/html");
    let unknown = stack.at(A, "/chat/nonsense/").request(Method::GET, "");
    let refused = send(unknown.header("accept", "text/html")).await.expect(401).text();
    assert!(!refused.contains(refresh), "it will not pass by itself: {refused}");
    while send(html(Method::GET)).await.status == 200 {}
    let busy = send(html(Method::GET)).await.expect(429).text();
    assert!(busy.contains(refresh) && busy.contains("tries again by itself"), "{busy}");
    let sent = html(Method::POST).body("content=hello");
    let sent = send(sent.header("content-type", "application/x-www-form-urlencoded")).await;
    assert!(!sent.expect(429).text().contains(refresh), "a message is not sent again");
}

#[apply(embedded)]
async fn unknown_paths_are_refused(stack: Stack) {
    let link = stack.issue("acme").await;
    for path in
        ["/", "/chat", "/chat/", "/hook/", "/admin", "/metrics", "/assets/", "/chat/a/b/c/d/e"]
    {
        let answer = stack.at(A, path).get("").await;
        assert!([404, 401].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
    }
    let visitor = stack.visitor(&link, A);
    for path in ["x", "c/x", "c/x/sse", "x/sse", "x/status", "..%2f..%2fetc", "%00"] {
        visitor.get(path).await.refused(400, "INVALID");
    }
    for path in ["c", "c/", "x/y", "mcp/x", "%ff"] {
        let answer = visitor.get(path).await;
        assert!([400, 401, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
    }
}
