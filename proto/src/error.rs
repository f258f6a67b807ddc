//! The reason of a refusal, as control's gRPC statuses carry it.

use crate::v1::ErrorReason;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of the `google.rpc.ErrorInfo` in control's statuses.
const DOMAIN: &str = "arizuko";
const PREFIX: &str = "ERROR_REASON_";
/// The name of the challenge in the metadata of an `ErrorInfo`.
const CHALLENGE: &str = "challenge";

impl ErrorReason {
    /// Returns the reason that a status carries. `None`: the status is not one of control's own,
    /// for example because the connection failed.
    pub fn of(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        (info.domain == DOMAIN).then(|| Self::from_word(&info.reason))
    }

    /// Reads a reason's word. An unknown word, such as one of a newer control, is `Unspecified`.
    pub fn from_word(word: &str) -> Self {
        Self::from_str_name(&format!("{PREFIX}{word}")).unwrap_or(Self::Unspecified)
    }

    /// Returns the word that a status carries: the name in the contract without its prefix.
    pub fn word(self) -> &'static str {
        self.as_str_name().trim_start_matches(PREFIX)
    }

    /// Returns the details of a status with this reason.
    pub fn details(self) -> ErrorDetails {
        ErrorDetails::with_error_info(self.word(), DOMAIN, [])
    }

    /// Returns the details of a status with this reason and a challenge to solve, in JSON.
    pub fn details_with_challenge(self, challenge: String) -> ErrorDetails {
        let metadata = [(CHALLENGE.to_owned(), challenge)];
        ErrorDetails::with_error_info(self.word(), DOMAIN, metadata)
    }

    /// Returns the challenge that a status carries, in JSON.
    pub fn challenge_of(status: &Status) -> Option<String> {
        status.get_details_error_info()?.metadata.remove(CHALLENGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn a_reason_travels_in_a_status() {
        let with = |details| Status::with_error_details(Code::Unknown, "message", details);
        let status = with(ErrorReason::TooManyTurns.details());
        assert_eq!(ErrorReason::of(&status), Some(ErrorReason::TooManyTurns));
        assert_eq!(ErrorReason::TooManyTurns.word(), "TOO_MANY_TURNS");
        let newer = with(ErrorDetails::with_error_info("NEWER", DOMAIN, []));
        assert_eq!(ErrorReason::of(&newer), Some(ErrorReason::Unspecified));
        let foreign = with(ErrorDetails::with_error_info("INVALID", "example", []));
        assert_eq!(ErrorReason::of(&foreign), None);
        assert_eq!(ErrorReason::of(&Status::unavailable("connection refused")), None);
    }
}
