//! What operators see of what was said: `arizuko conversation` and `arizuko turn`.

mod delete;
mod export;
mod list;
mod reach;
mod show;

use arizuko_tests::prelude::*;

/// Room for many messages of one address.
const ROOM: [(&str, &str); 2] =
    [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_ADDRESS_TURNS", "1000")];

fn cnv(posted: &Posted) -> String {
    public_id::conversation(&posted.conversation)
}

/// The ids of the conversations that `arizuko conversation list` shows with these arguments.
async fn listed(stack: &Stack, arguments: &[&str]) -> Vec<String> {
    let list = [&["conversation", "list", "--json"], arguments].concat();
    let found = stack.arizuko(&list).await.expect(0).json();
    let conversations = found["conversations"].as_array().expect("a list").iter();
    let ids = conversations.map(|found| found["conversation_id"].as_str().expect("an id").into());
    ids.collect()
}
