//! Public ids of conversations and turns, for logs, traces, the audit log and operators.
//!
//! A conversation's or a turn's own id, together with the link, gives access. Its public id names
//! it without giving access: it is a part of the own id's hash, and the own id has 128 random bits.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};

/// The prefix of the public ids of conversations.
pub const CONVERSATION: &str = "cnv_";
/// The prefix of the public ids of turns.
pub const TURN: &str = "trn_";
/// The length of an own id in characters: 128 bits in base64url.
const OWN: usize = 22;
/// How many bytes of the hash are in a public id: enough that no two public ids are equal.
const HASH_BYTES: usize = 12;

/// Returns a turn's public id, `trn_…`; empty for no id.
pub fn turn(id: &str) -> String {
    public(TURN, id)
}

/// Returns a conversation's public id, `cnv_…`; empty for no id.
pub fn conversation(id: &str) -> String {
    public(CONVERSATION, id)
}

/// Returns a session's public id, `ses_…`; empty for no id.
pub fn session(id: &str) -> String {
    public("ses_", id)
}

/// Returns the score of an own id in the sorted set of public ids: the first 52 bits of its hash,
/// which a score holds exactly. Ids with the same score differ in the rest of their public ids.
pub fn place(id: &str) -> u64 {
    first_bits(&Sha256::digest(id))
}

/// Returns the [`place`] of the own id behind a public id of a conversation or turn; `None` if the
/// text is no such public id.
pub fn place_behind(public: &str) -> Option<u64> {
    let hash = public.strip_prefix(CONVERSATION).or_else(|| public.strip_prefix(TURN))?;
    let hash = BASE64.decode(hash).ok().filter(|hash| hash.len() == HASH_BYTES)?;
    Some(first_bits(&hash))
}

fn first_bits(hash: &[u8]) -> u64 {
    let first = hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    first >> 12
}

fn public(prefix: &str, id: &str) -> String {
    match id {
        "" => String::new(),
        id => format!("{prefix}{}", BASE64.encode(&Sha256::digest(id)[..HASH_BYTES])),
    }
}

/// Whether a text looks like an own id.
pub fn is_own(text: &str) -> bool {
    text.len() == OWN && BASE64.decode(text).is_ok_and(|bytes| bytes.len() == 16)
}

/// Replaces every own id in a text, such as the name of a record, with its public id. The word
/// before an id, as in `turn:…` and `held:…`, tells what the id names.
pub fn redact(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let (mut redacted, mut word) = (String::with_capacity(text.len()), "");
    for piece in text.split_inclusive(|c| !is_part(c)) {
        let end = piece.trim_end_matches(|c| !is_part(c)).len();
        let (part, rest) = piece.split_at(end);
        redacted += &match (is_own(part), word) {
            (false, _) => part.to_owned(),
            (true, "turn" | "journal") => turn(part),
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
    fn a_public_id_leads_to_the_place_of_its_own() {
        for public in [turn(ID), conversation(ID)] {
            assert_eq!(place_behind(&public), Some(place(ID)));
        }
        assert!(place(ID) > 0 && place(ID) < 1 << 52);
        for other in
            ["", "cnv_", ID, &session(ID), &format!("{}A", turn(ID)), "trn_*BCDEFGHIJKLMNOP"]
        {
            assert_eq!(place_behind(other), None, "{other}");
        }
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
