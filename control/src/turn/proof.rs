//! Asks for a proof of work where the link says so, and takes each solution only once.

use crate::{
    limits::Limits,
    link_limits::ProofOfWork,
    names,
    proof::{Fault, LIFETIME},
    refusal::Refusal,
    token::Token,
    transaction::{Decision, Record, Tx},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether a message still needs a proof of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The message has one, or the link never asks for one.
    Settled,
    /// The message needs one if the link is near its limits.
    IfBusy,
}

/// A challenge whose solution has bought a message.
#[derive(Serialize, Deserialize)]
pub(crate) struct Solved {}

impl Record for Solved {
    /// The challenge's nonce.
    type Id = str;

    fn name(nonce: &str) -> String {
        names::solved(nonce)
    }

    fn lifetime(&self, _: &Limits) -> Option<Duration> {
        Some(LIFETIME)
    }
}

/// Checks the proof of a message to `token`, and uses up its challenge.
///
/// # Errors
/// [`Refusal::NotProven`] if the proof is not valid, or is missing although the link always asks
/// for one.
pub(super) fn check(tx: &mut Tx<'_>, token: &Token, proof: &str) -> Decision<Proof> {
    let (Some(asked), Some(key)) = (token.options.limits.proof_of_work, &token.proof_key) else {
        return Ok(Proof::Settled);
    };
    let refuse = |fault| Refusal::NotProven(fault).into();
    match (proof, asked) {
        ("", ProofOfWork::On) => Err(refuse(Fault::Missing)),
        ("", ProofOfWork::Auto) => Ok(Proof::IfBusy),
        _ => {
            let nonce = key.solved(proof, tx.now).map_err(refuse)?;
            if tx.get_unlikely::<Solved>(nonce.as_str())?.is_some() {
                return Err(refuse(Fault::Used));
            }
            tx.put(nonce.as_str(), &Solved {})?;
            Ok(Proof::Settled)
        }
    }
}
