//! Takes a webhook's delivery again, for operators.

use super::{
    Turn,
    input::{Input, Post},
    post,
};
use crate::{
    audit::{self, Change},
    ids::TurnId,
    refusal::Refusal,
    token::{Kind, Token},
    transaction::{Decision, Tx},
};
use arizuko_proto::public_id;

/// Takes the delivery of a turn again, as it came, and returns the new turn.
///
/// # Errors
/// [`Refusal::NotFound`] if the turn is not a webhook's, if its link has ended, or if the request
/// is not kept, for example because a route dropped it.
pub(crate) fn replay(
    tx: &mut Tx<'_>,
    actor: &str,
    id: &TurnId,
    traceparent: &str,
) -> Decision<Turn> {
    let turn = tx.get::<Turn>(id)?.filter(|turn| turn.origin.kind == Kind::Hook);
    let kept = turn.zip(tx.get::<Input>(id)?);
    let kept = kept.and_then(|(turn, mut input)| Some((turn, input.request.take()?, input)));
    let (turn, request, input) = kept.ok_or(Refusal::NotFound("delivery"))?;
    let token = tx.get::<Token>(&turn.origin.token)?.filter(|token| token.is_live(tx.now));
    let token = token.ok_or(Refusal::NotFound("live webhook"))?;
    let post = Post {
        conversation: None,
        supersedes: None,
        content: input.content.into_bytes(),
        headers: input.headers,
        credentials: Vec::new(),
        request: Some(request),
        page: None,
        idempotency_key: String::new(),
        proof: String::new(),
        client_address: String::new(),
        traceparent: traceparent.to_owned(),
        is_replay: true,
    };
    let new = post::post(tx, &token, &post, None)?.turn;
    let change = Change {
        actor,
        action: "delivery.replay",
        folder: token.folder.as_str(),
        subject: &public_id::turn(id.as_str()),
        detail: &public_id::turn(new.id.as_str()),
    };
    audit::note(tx, &change)?;
    Ok(new)
}
