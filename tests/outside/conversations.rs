//! Conversations as operators see them: `arizuko conversation` and `arizuko turn`.

mod delete;
mod export;
mod list;
mod reach;
mod show;

use arizuko_tests::prelude::*;

/// Lets one address send many messages.
const ROOM: [(&str, &str); 2] =
    [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_ADDRESS_TURNS", "1000")];

fn cnv(posted: &Posted) -> String {
    public_id::conversation(&posted.conversation)
}

/// Returns the ids of the conversations that `arizuko conversation list` shows with these
/// arguments.
async fn listed(stack: &Stack, arguments: &[&str]) -> Vec<String> {
    let list = [&["conversation", "list", "--json"], arguments].concat();
    let found = stack.arizuko(&list).await.expect(0).json();
    let conversations = found["conversations"].as_array().expect("a list").iter();
    let ids = conversations.map(|found| found["conversation_id"].as_str().expect("an id").into());
    ids.collect()
}
