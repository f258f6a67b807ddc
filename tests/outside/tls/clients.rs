//! Every kind of client calls control with certificates on both sides.

use arizuko_tests::prelude::*;

#[apply(on_redis)]
async fn operators_agents_and_gateways_reach_control(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    assert!(stack.control(A).starts_with("https://127.0.0.1:"));
    let issue = ["token", "issue", "acme", "chat", "--json"];
    let issued = stack.arizuko(&issue).await.expect(0).json();
    let token = issued["token"].as_str().expect("a token");
    let mut agent = stack.agent("acme", &[]).await;
    let posted = stack.at(B, &format!("/chat/{token}/")).say("hello").await;
    let program = agent.turn().await;
    program.reply("over TLS all the way").await;
    let reply = stack.at(A, &format!("/chat/{token}/"));
    assert_eq!(reply.end_of(&posted.turn).await["status"], "done");
    let read = reply.get(&posted.turn).await.expect(200).text();
    assert!(read.contains("over TLS all the way"), "{read}");
}

#[apply(on_redis)]
async fn a_python_client_reaches_control(kind: Kind) {
    let stack = Stack::with_tls(kind, &[]).await;
    let tls = stack.tls();
    let control = stack.control(B).replace("https://127.0.0.1", "localhost");
    let files = [&tls.authority.file(), &tls.client.key, &tls.client.cert];
    let files = files.map(|file| file.display().to_string());
    let [ca, key, cert] = files.each_ref().map(String::as_str);
    let told = python("secure.py", &[&control, ca, key, cert]).await.expect(0);
    let told: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(told["health"], "SERVING", "{told}");
    assert_eq!(told["stranger"], "UNAVAILABLE", "{told}");
}
