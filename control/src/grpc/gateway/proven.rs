//! Gives a challenge to senders whose messages have no valid proof of work.

use crate::{
    control::Control,
    grpc::status,
    ledger::{self, Error},
    proof::ProofKey,
    refusal::Refusal,
};
use tonic::Status;

impl Control {
    /// Returns the status of a message that was not taken. `key` signs the link's challenges.
    pub(super) fn explain(&self, error: Error, key: Option<&ProofKey>) -> Status {
        let (Error::Refused(Refusal::NotProven(fault)), Some(key)) = (&error, key) else {
            return error.into();
        };
        let random = match ledger::random() {
            Ok(random) => random,
            Err(error) => return error.into(),
        };
        let challenge = key.challenge(&random, self.ledger.now());
        status::unproven(*fault, serde_json::to_string(&challenge).unwrap_or_default())
    }
}
