//! Why a call to control did not succeed.

use arizuko_proto::v1::ErrorReason;
use std::time::Duration;
use tonic::Status;
use tonic_types::StatusExt as _;

/// Control's refusal of a call: `UNAVAILABLE` if no control carried the call out, `OUTCOME_UNKNOWN`
/// if one may have done so without confirming it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: ErrorReason,
    /// A sentence for people. It names what is wrong with the request, if the request is at fault.
    pub(crate) message: String,
    /// How long control says to wait before a retry.
    pub(crate) retry_after: Option<Duration>,
    /// A challenge, in JSON, to solve before the call is repeated.
    pub(crate) challenge: Option<String>,
}

impl Refusal {
    pub(crate) fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry_after: None, challenge: None }
    }

    /// Makes a refusal from control's status, which has this reason.
    pub(super) fn from_status(reason: ErrorReason, status: &Status) -> Self {
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let challenge = ErrorReason::challenge_of(status);
        Self { retry_after, challenge, ..Self::new(reason, status.message()) }
    }

    /// Makes the refusal for a call that had no effect at any control.
    pub(super) fn unavailable() -> Self {
        Self::new(ErrorReason::Unavailable, "no control can serve")
    }
}
