//! Public ids of conversations and turns, for logs, traces, the audit log and operators.
//!
//! Whoever has a conversation's or a turn's own id, and the link, is let in. A public id names it as
//! well and gives no access: it is made from a hash, and the own id has 128 random bits.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};

/// The length of an own id: 128 bits in base64url.
const OWN: usize = 22;
/// How many bytes of the hash are in a public id: enough that no two meet.
const HASH_BYTES: usize = 12;

/// Returns a turn's public id, `trn_…`; empty for no id.
pub fn turn(id: &str) -> String {
    public("trn_", id)
}

/// Returns a conversation's public id, `cnv_…`; empty for no id.
pub fn conversation(id: &str) -> String {
    public("cnv_", id)
}

/// Returns a session's public id, `ses_…`; empty for no id.
pub fn session(id: &str) -> String {
    public("ses_", id)
}

fn public(prefix: &str, id: &str) -> String {
    match id {
        "" => String::new(),
        id => format!("{prefix}{}", BASE64.encode(&Sha256::digest(id)[..HASH_BYTES])),
    }
}

/// Replaces every own id in a text, such as the name of a record, with the public one. The word
/// before it says what it is the id of.
pub fn redact(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let (mut redacted, mut word) = (String::with_capacity(text.len()), "");
    for piece in text.split_inclusive(|c| !is_part(c)) {
        let end = piece.trim_end_matches(|c| !is_part(c)).len();
        let (part, rest) = piece.split_at(end);
        let is_own = part.len() == OWN && BASE64.decode(part).is_ok_and(|bytes| bytes.len() == 16);
        redacted += &match (is_own, word) {
            (false, _) => part.to_owned(),
            (true, "turn") => turn(part),
            (true, "session" | "held") => session(part),
            (true, _) => conversation(part),
        };
        redacted += rest;
        word = part;
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_public_id_differs_from_its_own_and_stays_the_same() {
        assert_eq!(turn(ID), format!("trn_{}", &conversation(ID)[4..]));
        assert_eq!((turn(ID).len(), turn("")), (20, String::new()));
    }

    #[test]
    fn own_ids_in_texts_are_replaced() {
        let text =
            format!("put turn:{ID}#input, append 3 to log:{ID}, held:{ID} {ID} tok_x acme/é");
        let (turn, conversation, session) = (turn(ID), conversation(ID), session(ID));
        let expected = format!(
            "put {0}:{turn}#input, append 3 to log:{conversation}, held:{session} {conversation} \
             tok_x acme/é",
            "turn"
        );
        assert_eq!(redact(&text), expected);
        assert_eq!(redact(&"A".repeat(21)), "A".repeat(21));
    }
}
