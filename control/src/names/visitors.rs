//! The names of records and sets about single visitors of a link.

use super::Set;
use crate::{
    ids::{ConversationId, TokenId},
    time::Day,
};

/// Names a [`Visit`](crate::turn::budget::Visit): that an address or network has sent messages to a
/// link in a day. `hash` is a hash in [`Visitor`](crate::visitor::Visitor). It lives for a day
/// after its last change. Written by `turn/budget.rs`.
pub(crate) fn visit(token: &TokenId, day: Day, hash: &str) -> String {
    format!("visit:{token}:{}:{hash}", day.number())
}

/// Names the conversations that a visitor for whom the site vouches has on a link, scored by the
/// time when the visitor last wrote. `hash` is [`Identity::hash`](crate::identity::Identity::hash).
/// Written by `conversation.rs`, removed from by `turn/retention.rs`.
pub(crate) fn conversations_of(token: &TokenId, hash: &str) -> Set<ConversationId> {
    Set::new(format!("visitor:{token}:{hash}"))
}
