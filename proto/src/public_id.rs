//! Own ids and public ids of conversations and turns.
//!
//! A conversation's or a turn's own id, together with the link, gives access. Its public id, which
//! is in logs, traces and the audit log, names the conversation or turn and gives no access: it is
//! made from a hash of the own id.
//!
//! Own ids and public ids begin with the time, so that the store writes new records beside those
//! that were written last. Ids that older controls made are random throughout, and so are their
//! public ids.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sha2::{Digest as _, Sha256};

/// The prefix of the public ids of conversations.
pub const CONVERSATION: &str = "cnv_";
/// The prefix of the public ids of turns.
pub const TURN: &str = "trn_";
/// How many bytes of an id are the time: seconds since 1970, the highest byte first.
pub const TIME_BYTES: usize = 4;
/// How many random bytes the secret in a link's URL has, after two that name its partition.
const SECRET_BYTES: usize = 32;
/// How many bytes an own id has if it is a session's, or if an older control made it. All are
/// random.
const RANDOM_BYTES: usize = 16;
/// How many bytes a public id has: enough that no two public ids are equal.
const PUBLIC_BYTES: usize = 12;

/// The own id of a conversation or a turn: the time, and 112 random bits.
pub type Timed = [u8; 18];

/// Returns a turn's public id, `trn_…`; empty if `id` is empty.
pub fn turn(id: &str) -> String {
    public(TURN, id)
}

/// Returns a conversation's public id, `cnv_…`; empty if `id` is empty.
pub fn conversation(id: &str) -> String {
    public(CONVERSATION, id)
}

/// Returns a session's public id, `ses_…`; empty if `id` is empty.
pub fn session(id: &str) -> String {
    public("ses_", id)
}

fn public(prefix: &str, id: &str) -> String {
    match id {
        "" => String::new(),
        id => format!("{prefix}{}", short(id)),
    }
}

/// Returns the id of a link's token, `tok_…`, from the secret in the link's URL; `None` for text
/// that can't be a secret.
pub fn token(secret: &str) -> Option<String> {
    let bytes = BASE64.decode(secret).ok()?;
    let (partition, random) = bytes.split_first_chunk()?;
    (random.len() == SECRET_BYTES)
        .then(|| of_secret("tok_", u16::from_be_bytes(*partition), secret))
}

/// Returns the id of the record that a secret opens: the prefix, the partition of the record, and a
/// part of the secret's hash.
pub fn of_secret(prefix: &str, partition: u16, secret: &str) -> String {
    let hash = Sha256::digest(secret);
    let bytes = [&partition.to_be_bytes(), &hash[..RANDOM_BYTES]].concat();
    format!("{prefix}{}", BASE64.encode(bytes))
}

/// Returns what a public id has after its prefix.
pub fn short(own: &str) -> String {
    let hash = Sha256::digest(own);
    let mut bytes = [0; PUBLIC_BYTES];
    bytes.copy_from_slice(&hash[..PUBLIC_BYTES]);
    if let Some(Own::Timed(own)) = decode(own) {
        bytes[..TIME_BYTES].copy_from_slice(&own[..TIME_BYTES]);
        bytes[TIME_BYTES..].copy_from_slice(&hash[..PUBLIC_BYTES - TIME_BYTES]);
    }
    BASE64.encode(bytes)
}

/// Whether a text looks like an own id.
pub fn is_own(text: &str) -> bool {
    decode(text).is_some()
}

enum Own {
    Timed(Timed),
    Random,
}

fn decode(text: &str) -> Option<Own> {
    let mut bytes = [0; size_of::<Timed>()];
    match BASE64.decode_slice(text, &mut bytes) {
        Ok(RANDOM_BYTES) => Some(Own::Random),
        Ok(length) if length == bytes.len() => Some(Own::Timed(bytes)),
        _ => None,
    }
}

/// What a public id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A conversation.
    Conversation,
    /// A turn.
    Turn,
}

/// Returns what a public id names, and the part after its prefix; `None` if the text is no public
/// id of a conversation or turn.
pub fn parse(public: &str) -> Option<(Of, &str)> {
    let conversation = public.strip_prefix(CONVERSATION).map(|short| (Of::Conversation, short));
    let found = conversation.or_else(|| Some((Of::Turn, public.strip_prefix(TURN)?)));
    found.filter(|(_, short)| BASE64.decode(short).is_ok_and(|bytes| bytes.len() == PUBLIC_BYTES))
}

/// Replaces every own id in a text (such as a record's name) with its public id. The word before an
/// id, as in `turn:…` and `held:…`, tells what the id names.
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

    const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    const NEW: &str = "aSkvAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_public_id_differs_from_its_own_and_stays_the_same() {
        for own in [OLD, NEW] {
            assert_eq!(turn(own), format!("trn_{}", &conversation(own)[4..]));
            assert_eq!(turn(own).len(), 20);
            assert!(!own.contains(&turn(own)[12..]));
        }
        assert_eq!((turn(""), turn(OLD)), (String::new(), "trn_ilvbTMFRZBJsbvJm".to_owned()));
    }

    #[test]
    fn ids_of_one_time_begin_alike() {
        assert_eq!(&turn(NEW)[4..9], &NEW[..5]);
        assert_ne!(turn(NEW)[10..], turn("aSkvAAAAAAAAAAAAAAAAAAAB")[10..]);
    }

    #[test]
    fn public_ids_are_recognised() {
        assert_eq!(parse(&turn(NEW)), Some((Of::Turn, &*short(NEW))));
        assert_eq!(parse(&conversation(OLD)), Some((Of::Conversation, &*short(OLD))));
        for other in [
            "",
            "cnv_",
            OLD,
            NEW,
            &session(OLD),
            &format!("{}A", turn(OLD)),
            "trn_*BCDEFGHIJKLMNOP",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn own_ids_in_texts_are_replaced() {
        for own in [OLD, NEW] {
            let text = format!(
                "put {own}#input, append 3 to log:{own}, held:{own} journal:{own} tok_x acme/é"
            );
            let (turn, conversation, session) = (turn(own), conversation(own), session(own));
            let expected = format!(
                "put {conversation}#input, append 3 to log:{conversation}, held:{session} \
                 journal:{turn} tok_x acme/é"
            );
            assert_eq!(redact(&text), expected);
        }
        assert_eq!(redact(&"A".repeat(21)), "A".repeat(21));
    }
}
