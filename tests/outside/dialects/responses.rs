//! `/chat/{token}/v1/responses`, read by OpenAI's libraries.

use super::order;
use arizuko_tests::prelude::*;

const BOTH_LIBRARIES: [Library; 2] = [Library::ResponsesPython, Library::ResponsesNode];

/// Returns the client's argument for a response to this request.
fn whole(stack: &Stack, link: &Link, response: Value) -> Value {
    let mut order = order(Library::ResponsesNode, stack, link, "");
    order["response"] = response;
    order
}

/// Returns the client's argument to `retrieve` or to `cancel` a response.
fn of(stack: &Stack, link: &Link, what: &str, id: &str) -> Value {
    json!({"url": format!("{}/chat/{}/v1", stack.gateway(A), link.token), what: id})
}

#[apply(pair)]
async fn a_response_goes_on_where_the_previous_one_ended(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", B).await;
    for library in BOTH_LIBRARIES {
        let begin = json!({"instructions": "Be brief.", "input": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I am."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        ]});
        let mut client = library.start(&stack, &[whole(&stack, &link, begin)]);
        let held = agent.turn().await;
        assert_eq!(
            String::from_utf8_lossy(&held.turn.content),
            "Earlier messages, as my program reports them:\n\nsystem: Be brief.\n\n\
             assistant: I am.\n\nMy message now:\n\none"
        );
        let conversation = held.turn.conversation.clone();
        agent.answer(held, "1").await;
        let (text, first) = client.rest().await;
        assert_eq!((&*text, &first["done"]), ("1", &json!("completed")));
        assert_eq!(first["metadata"]["conversation"], conversation);
        let by_previous = json!({"input": "two", "previous_response_id": first["id"]});
        let by_name = json!({"input": "two", "conversation": {"id": conversation}, "stream": true});
        let orders = [by_previous, by_name].map(|response| whole(&stack, &link, response));
        let mut client = library.start(&stack, &orders);
        for _ in &orders {
            let held = agent.turn().await;
            let (content, said_in) = (&*held.turn.content, &held.turn.conversation);
            assert_eq!((content, said_in), (&b"two"[..], &conversation));
            agent.answer(held, "2").await;
            assert_eq!(client.rest().await.0, "2");
        }
    }
}

#[apply(embedded)]
async fn a_response_in_the_background_is_retrieved_and_cancelled(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = stack.attach("acme", A).await;
    for library in BOTH_LIBRARIES {
        let background = whole(&stack, &link, json!({"input": "a", "background": true}));
        let mut client =
            library.start(&stack, &[background.clone(), background.clone(), background]);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (_, begun) = client.rest().await;
            assert!(begun["done"] == "queued" || begun["done"] == "in_progress", "{begun}");
            ids.push(begun["id"].as_str().expect("an id").to_owned());
        }
        let mut turns = [agent.turn().await, agent.turn().await, agent.turn().await];
        turns.sort_by_key(|held| ids.iter().position(|id| id.ends_with(&held.turn.turn_id)));
        let [mut running, done, failed] = turns;
        agent.append(&mut running, delta("m1", "so far")).await;
        agent.answer(done, "whole").await;
        agent.say(failed.fail("The model is tired.")).await;
        let retrieve = |id| of(&stack, &link, "retrieve", id);
        let cancel = of(&stack, &link, "cancel", &ids[0]);
        let foreign = retrieve("resp_AAAAAAAAAAAAAAAAAAAAAA");
        let orders = [retrieve(&ids[0]), cancel, retrieve(&ids[1]), retrieve(&ids[2]), foreign];
        stack.visitor(&link, A).end_of(ids[2].trim_start_matches("resp_")).await;
        let mut client = library.start(&stack, &orders);
        for (text, status) in
            [("so far", "in_progress"), ("so far", "cancelled"), ("whole", "completed")]
        {
            let (said, told) = client.rest().await;
            assert_eq!((&*said, &told["done"]), (text, &json!(status)));
        }
        assert_fields(&client.rest().await.1, json!({"done": "failed", "failed": "TURN_FAILED"}));
        assert_fields(&client.rest().await.1, json!({"status": 404, "error": "NOT_FOUND"}));
    }
}

#[apply(embedded)]
async fn what_the_link_does_not_take_is_refused(stack: Stack) {
    let link = stack.issue("acme").await;
    let image = json!([{"type": "input_image", "image_url": "data:,"}]);
    let call = json!({"type": "function_call_output", "call_id": "a", "output": "a"});
    let unknown = "resp_AAAAAAAAAAAAAAAAAAAAAA";
    let all = [
        (json!({"input": [{"role": "user", "content": image}]}), 400),
        (json!({"input": [call]}), 400),
        (json!({"input": []}), 400),
        (json!({"input": "a", "tools": [{"type": "web_search"}]}), 400),
        (json!({"input": "a", "text": {"format": {"type": "json_object"}}}), 400),
        (json!({"input": "a", "previous_response_id": "tok_1"}), 400),
        (json!({"input": "a", "previous_response_id": unknown, "conversation": "a"}), 400),
        (json!({"input": "a", "previous_response_id": unknown}), 404),
    ];
    let orders = all.clone().map(|(response, _)| whole(&stack, &link, response));
    let mut client = Library::ResponsesPython.start(&stack, &orders);
    for (response, status) in all {
        assert_eq!(client.rest().await.1["status"], status, "{response}");
    }
}

#[apply(embedded)]
async fn a_response_that_fails_or_is_taken_back_is_an_error(stack: Stack) {
    let link = stack.issue("acme").await;
    for library in BOTH_LIBRARIES {
        let mut agent = stack.attach("acme", A).await;
        let mut whole = whole(&stack, &link, json!({"input": "a"}));
        let mut stream = order(library, &stack, &link, "a");
        for order in [&mut whole, &mut stream] {
            order["retries"] = 3.into();
        }
        let mut client = library.start(&stack, &[whole, stream.clone(), stream]);
        for status in [json!(502), json!(null)] {
            let mut held = agent.turn().await;
            agent.append(&mut held, delta("m1", "half")).await;
            agent.say(held.fail("The model is tired.")).await;
            assert_fields(
                &client.rest().await.1,
                json!({"error": "TURN_FAILED", "status": status}),
            );
        }
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "half")).await;
        assert_eq!(client.told().await["text"], "half");
        agent.leave().await;
        let mut agent = stack.attach("acme", A).await;
        let mut held = agent.turn().await;
        agent.append(&mut held, delta("m1", "anew")).await;
        assert_eq!(client.rest().await.1["error"], "TAKEN_BACK");
        agent.finish(&held).await;
    }
}
