//! Checks that a webhook's sender has signed a delivery, before anything else is done with it, and
//! answers deliveries that make no turn.

use crate::{
    control::Control,
    hook_filter,
    refusal::Refusal,
    secret::Secret,
    signature::{self, Scheme, Signed},
    time::Time,
    token::Token,
    turn::{input::Post, post::Posted},
};
use arizuko_proto::v1;
use std::slice;

/// What becomes of a message.
pub(super) enum Delivery {
    Posted(Box<Posted>),
    /// It makes no turn, and this is the answer.
    Ignored(Box<v1::PostMessageResponse>),
}

impl Control {
    /// Returns the answer to a delivery that makes no turn: a handshake, or one that the link's
    /// filters leave out.
    ///
    /// # Errors
    /// See [`Self::check_signature`].
    pub(super) fn without_turn(
        &self,
        token: &Token,
        secret: &Secret,
        post: &Post,
        now: Time,
    ) -> Result<Option<v1::PostMessageResponse>, Refusal> {
        let handshake = self.check_signature(token, secret, post, now)?.unwrap_or_default();
        let filtered = handshake.is_empty()
            && !hook_filter::pass(&token.options.hook.only, &post.headers, &post.content);
        let answer = v1::PostMessageResponse { filtered, handshake, ..Default::default() };
        Ok((answer != v1::PostMessageResponse::default()).then_some(answer))
    }

    /// Checks a delivery's signature, if its link says how the sender signs. Returns what to answer
    /// if the delivery is a handshake for which the secret is needed.
    ///
    /// # Errors
    /// [`Refusal::SignatureInvalid`] for a signature that is missing or wrong;
    /// [`Refusal::CannotVerify`] if no secret can be unsealed, so that no signature can be checked.
    fn check_signature(
        &self,
        token: &Token,
        secret: &Secret,
        post: &Post,
        now: Time,
    ) -> Result<Option<String>, Refusal> {
        let Some(signature) = &token.options.hook.signature else {
            return Ok(None);
        };
        let open = |sealed: &String| self.sealer.as_ref()?.open(sealed, token.id.as_str());
        let secrets: Vec<_> = signature.sealed_secrets.iter().filter_map(open).collect();
        if secrets.is_empty() {
            tracing::error!(token = %token.id, "cannot open a webhook's secrets: --seal-key is missing or wrong");
            return Err(Refusal::CannotVerify);
        }
        let request = post.request.clone().unwrap_or_default();
        let encoded = request.encoded_content.into_bytes();
        let mark = if request.query.is_empty() { "" } else { "?" };
        let base = self.url_of_tenant(token.folder.root());
        let secret = secret.as_str();
        let signed = Signed {
            headers: &[&post.headers, &post.credentials],
            body: if encoded.is_empty() { &post.content } else { &encoded },
            url: &format!("{base}/hook/{secret}{}{mark}{}", request.path, request.query),
            method: &request.method,
            now,
        };
        let mut refused = None;
        for secret in &secrets {
            let checked = signature::verify(&signature.scheme, slice::from_ref(secret), &signed);
            match checked {
                Ok(()) if matches!(signature.scheme, Scheme::Hmac(_)) => {
                    return Ok(signature::answer(signed.body, secret));
                }
                Ok(()) => return Ok(None),
                Err(why) => refused = Some(why),
            }
        }
        Err(Refusal::SignatureInvalid(refused.unwrap_or_default()))
    }
}
