//! Who may read which conversations, and what the audit log says about it.

use super::cnv;
use arizuko_proto::v1::{
    CreateKeyRequest, ListConversationsRequest, ShowConversationRequest, ShowTurnRequest,
    conversation_service_client::ConversationServiceClient, key_service_client::KeyServiceClient,
};
use arizuko_tests::prelude::*;

/// Lists the conversations of a folder, shows a conversation and shows its turn, all with this key.
/// Returns what each call answers: how many conversations are listed, then `OK` for the conversation
/// and `OK` for the turn. If a call is refused, its answer is the reason.
async fn told(stack: &Stack, key: &str, folder: &str, posted: &Posted) -> [String; 3] {
    let mut conversations =
        ConversationServiceClient::new(connect(&stack.control(B), Some(key)).await);
    let request = ListConversationsRequest { folder: folder.into(), ..Default::default() };
    let listed = conversations.list_conversations(request).await;
    let listed = listed.map(|page| page.into_inner().conversations.len());
    let request = ShowConversationRequest { conversation_id: cnv(posted), ..Default::default() };
    let shown = conversations.show_conversation(request).await.map(drop);
    let turn_id = public_id::turn(&posted.turn);
    let turn = conversations.show_turn(ShowTurnRequest { turn_id }).await.map(drop);
    let word = |told: Result<(), tonic::Status>| {
        told.map_or_else(|status| reason(&status).word().to_owned(), |()| "OK".to_owned())
    };
    let listed = listed.map_or_else(|status| reason(&status).word().to_owned(), |n| n.to_string());
    [listed, word(shown), word(turn)]
}

#[apply(every_stack)]
async fn an_agents_key_reads_the_conversations_of_its_reach_and_no_others(stack: Stack) {
    let acme = stack.visit("acme").await.say("acme's").await;
    let eng = stack.visit("acme/eng").await.say("engineering's").await;
    let other = stack.visit("other").await.say("another tenant's").await;
    let own = stack.agent_key("acme").await;
    let below = stack.agent_key("acme/eng").await;
    let subtree = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, true).await.key;
    let (found, unknown) = ("OK", "NOT_FOUND");
    for (key, folder, posted, expected) in [
        (&own, "", &acme, ["1", found, found]),
        (&own, "acme", &eng, ["1", unknown, unknown]),
        (&own, "other", &other, ["NOT_ALLOWED", unknown, unknown]),
        (&own, "acme/eng", &eng, ["NOT_ALLOWED", unknown, unknown]),
        (&below, "", &eng, ["1", found, found]),
        (&below, "acme", &acme, ["NOT_ALLOWED", unknown, unknown]),
        (&subtree, "", &eng, ["2", found, found]),
        (&subtree, "acme/eng", &eng, ["1", found, found]),
        (&subtree, "", &other, ["2", unknown, unknown]),
    ] {
        assert_eq!(told(&stack, key, folder, posted).await, expected, "{folder}");
    }
    let mut keys = KeyServiceClient::new(stack.operator(A).await);
    let kind = KeyKind::Agent.into();
    let request = CreateKeyRequest { kind, folder: "acme".into(), ..Default::default() };
    let blind = keys.create_key(request).await.expect("operators create keys").into_inner().key;
    assert_eq!(told(&stack, &blind, "acme", &acme).await, ["NOT_ALLOWED"; 3]);
}

#[apply(embedded_and_one_redis)]
async fn an_agents_key_sees_no_folder_beyond_its_reach(stack: Stack) {
    let visitor = stack.visit("acme").await;
    let mut bot = stack.attach("acme", A).await;
    let posted = visitor.say("hello").await;
    let mut held = bot.turn().await;
    bot.push(&mut held, vec![handoff("acme/secret", "look", true)]).await;
    bot.lost(&posted.turn).await;
    let mut hidden = stack.attach("acme/secret", A).await;
    hidden.answer_next("hi").await;
    let key = stack.agent_key("acme").await;
    let mut show = stack.operators_command();
    show.env("ARIZUKO_KEY", key).args(["conversation", "show", &cnv(&posted), "--json"]);
    let shown = run(&mut show, "").await.expect(0).json();
    assert!(!shown.to_string().contains("secret"), "{shown}");
    assert_eq!(shown["turns"][0]["events"][0]["note"], "look", "its own note");
}

#[apply(embedded_and_one_redis)]
async fn operators_reads_are_in_the_audit_log_and_agents_are_not(stack: Stack) {
    let posted = stack.visit("acme").await.say("hello").await;
    let key = stack.agent_key("acme").await;
    told(&stack, &key, "acme", &posted).await;
    let (id, turn) = (cnv(&posted), public_id::turn(&posted.turn));
    stack.arizuko(&["conversation", "list", "acme", "--search", "hello"]).await.expect(0);
    stack.arizuko(&["conversation", "show", &id]).await.expect(0);
    stack.arizuko(&["turn", "show", &turn]).await.expect(0);
    let audit = stack.arizuko(&["audit", "acme", "--json"]).await.expect(0).json();
    let entries = audit["entries"].as_array().expect("a list").iter();
    let reads = entries
        .filter(|entry| entry["action"].as_str().is_some_and(|a| a.starts_with("conversation.")));
    let reads: Vec<_> =
        reads.map(|e| json!([e["actor"], e["action"], e["subject"], e["detail"]])).collect();
    let actor = stack.key_from_settings(KeyKind::Operator).await;
    assert_eq!(
        reads,
        [
            json!([actor, "conversation.list", "acme", "with \"hello\""]),
            json!([actor, "conversation.read", id, ""]),
            json!([actor, "conversation.read", id, turn]),
        ]
    );
}
