//! A chat link in the protocols of others, read by their own libraries.

mod ai;
mod openai;

use arizuko_tests::prelude::*;

/// Returns the order to send `text` to a link at gateway A, and to read the reply as it is made.
fn order(library: Library, stack: &Stack, link: &Link, text: &str) -> Value {
    let link = format!("{}/chat/{}", stack.gateway(A), link.token);
    match library {
        Library::OpenAiPython | Library::OpenAiNode => {
            let messages = json!([{"role": "user", "content": text}]);
            json!({"url": format!("{link}/v1"), "body": {"stream": true, "messages": messages}})
        }
        Library::Ai => json!({"url": format!("{link}/ai"), "send": text}),
    }
}

const ALL: [Library; 3] = [Library::OpenAiPython, Library::OpenAiNode, Library::Ai];

#[apply(embedded_and_pair)]
async fn every_library_reads_the_same_reply(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let mut clients =
        ALL.map(|library| library.start(&stack, &[order(library, &stack, &link, "hello")]));
    for _ in ALL {
        let mut held = agent.turn().await;
        assert_eq!(held.turn.content, "hello".as_bytes());
        agent.append(&mut held, status("thinking")).await;
        for piece in ["é", "\n", "😀 \u{2028}", ""] {
            agent.append(&mut held, delta("m1", piece)).await;
        }
        // The finished form has more than the deltas.
        agent.append(&mut held, message("m1", "é\n😀 \u{2028}and more")).await;
        agent.append(&mut held, message("m2", "Another one.")).await;
        agent.finish(&held).await;
    }
    for (client, library) in clients.iter_mut().zip(ALL) {
        let (text, end) = client.rest().await;
        assert_eq!(text, "é\n😀 \u{2028}and more\n\nAnother one.", "{library:?}");
        assert!(end["done"] == "stop" || end["done"] == "ready", "{library:?}: {end}");
        let turn = end["metadata"]["turn_id"].as_str().expect("it is named");
        let read = stack.visitor(&link, B).json(turn).await;
        assert_eq!(read["conversation"], end["metadata"]["conversation"]);
        let messages = read["assistant"].as_array().expect("messages").iter();
        let whole: Vec<_> = messages.filter_map(|message| message["content"].as_str()).collect();
        assert_eq!(text, whole.join("\n\n"), "{library:?}");
    }
}

#[apply(embedded_and_pair)]
async fn revoking_the_link_ends_each_in_its_own_words(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    let mut clients =
        ALL.map(|library| library.start(&stack, &[order(library, &stack, &link, "hello")]));
    for _ in ALL {
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "so far")).await;
    }
    for client in &mut clients {
        while client.told().await["text"] != "so far" {}
    }
    stack.revoke(&link.token_id).await;
    for (client, library) in clients.iter_mut().zip(ALL) {
        let (_, end) = client.rest().await;
        match library {
            Library::OpenAiPython | Library::OpenAiNode => {
                assert_fields(
                    &end,
                    json!({"error": "TOKEN_INVALID", "type": "authentication_error"}),
                );
            }
            Library::Ai => {
                let error = end["error"].as_str().unwrap_or_default();
                assert!(error.starts_with("This link is unknown or has ended."), "{end}");
            }
        }
        let mut later = library.start(&stack, &[order(library, &stack, &link, "hello")]);
        let (text, end) = later.rest().await;
        assert_eq!(text, "");
        assert!(end["error"].as_str().is_some_and(|e| e.contains("TOKEN_INVALID")), "{end}");
    }
}
