//! Attempts with wrong credentials are logged. Refused calls and operators' reads are recorded in
//! the audit log.

use arizuko_proto::v1::{
    IssueChatLinkRequest, ListTokensRequest, token_service_client::TokenServiceClient,
};
use arizuko_tests::prelude::*;
use tonic::Request;

/// Searches all logs for lines that contain these words, and returns them.
fn lines(stack: &Stack, words: &str) -> Vec<String> {
    let files = fs::read_dir(stack.logs()).expect("the stack has logs");
    let files = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let text = files.collect::<Vec<_>>().join("\n");
    text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

#[apply(embedded)]
async fn wrong_keys_and_tokens_leave_a_bounded_trace(kind: Kind) {
    // Lets one address make many requests, since all attempts come from one address.
    let stack = Stack::with(kind, &[("ARIZUKO_ADDRESS_REQUESTS", "1000000")]).await;
    for (attempts, kept) in [(1, 1..=1), (300, 2..=100)] {
        for _ in 0..attempts {
            let channel = connect(&stack.control(A), Some("azk_nobody-has-this")).await;
            let mut tokens = TokenServiceClient::new(channel);
            let refused = tokens.list_tokens(ListTokensRequest::default()).await;
            assert_eq!(
                refused.map_err(|status| reason(&status)).err(),
                Some(ErrorReason::KeyInvalid)
            );
            stack.at(A, "/chat/nobody-has-this/").get("config").await.expect(401);
        }
        for words in ["wrong key", "wrong token"] {
            let told = lines(&stack, words);
            assert!(kept.contains(&told.len()), "{}: {told:?}", told.len());
            assert!(told.iter().all(|line| line.contains("WARN") && line.contains("127.0.0.1")));
            assert!(!told.iter().any(|line| line.contains("nobody-has-this")), "{told:?}");
        }
    }
}

#[apply(embedded)]
async fn the_scheme_of_a_key_is_written_in_any_case(stack: Stack) {
    let mut tokens = TokenServiceClient::new(connect(&stack.control(A), None).await);
    let mut list = async |scheme: &str| {
        let mut request = Request::new(ListTokensRequest::default());
        let header = format!("{scheme} {}", stack.operator_key()).parse().expect("plain text");
        request.metadata_mut().insert("authorization", header);
        tokens.list_tokens(request).await.map(drop).map_err(|status| reason(&status))
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(list(scheme).await, Ok(()), "{scheme}");
    }
    for scheme in ["Basic", "Bearers", "Bear"] {
        assert_eq!(list(scheme).await, Err(ErrorReason::KeyInvalid), "{scheme}");
    }
}

#[apply(embedded)]
async fn refusals_and_reads_by_operators_are_in_the_audit_log(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, false).await;
    let mut tokens = TokenServiceClient::new(connect(&stack.control(A), Some(&key.key)).await);
    let request = IssueChatLinkRequest::default();
    let refused = tokens.issue_chat_link(request).await.map_err(|status| reason(&status));
    assert_eq!(refused.err(), Some(ErrorReason::NotAllowed));
    let hello = hello("acme/eng", 1);
    let refused = Session::try_open(connect(&stack.control(A), Some(&key.key)).await, hello).await;
    assert_eq!(refused.map_err(|status| reason(&status)).err(), Some(ErrorReason::NotAllowed));

    let posted = stack.visit("acme").await.say("hello").await;
    assert_eq!(stack.read("acme", &posted.conversation).await.len(), 1);
    let entry = |action: &str, subject: &str, actor: &str| json!({"action": action, "subject": subject, "actor": actor, "folder": "acme"});
    let wanted = [
        entry("call.refuse", "TokenService/IssueChatLink", &key.key_id),
        entry("call.refuse", "AgentService/Attach", &key.key_id),
        entry(
            "conversation.read",
            &public_id::conversation(&posted.conversation),
            &stack.key_from_settings(KeyKind::Operator).await,
        ),
    ];
    until("the audit log", async || {
        let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
        let entries = audit["entries"].as_array().expect("a list").clone();
        wanted.iter().all(|wanted| {
            let fields = wanted.as_object().expect("an object");
            entries.iter().any(|entry| fields.iter().all(|(name, value)| entry[name] == *value))
        })
    })
    .await;
}

#[apply(embedded_and_pair)]
async fn an_operator_that_attaches_is_in_the_audit_log(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Self_, false).await;
    let _agent = stack.attach_with(&key.key, hello("acme", 0), A).await;
    let by_name = Hello { name: "ann".into(), ..hello("acme/eng", 0) };
    let session = stack.attach_with(stack.operator_key(), by_name, B).await;
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
    let entries = audit["entries"].as_array().expect("a list").iter();
    let attached: Vec<_> =
        entries.filter(|entry| entry["action"] == "conversation.attach").collect();
    assert_eq!(attached.len(), 1, "{audit}");
    let id = public_id::session(&session.welcome.session_id);
    assert_eq!(attached[0]["actor"], *stack.key_from_settings(KeyKind::Operator).await);
    assert_eq!(attached[0]["folder"], "acme/eng");
    assert_eq!(attached[0]["detail"], format!("{id} ann"));
}
