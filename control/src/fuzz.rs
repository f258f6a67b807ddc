//! Fuzz targets: parsers of what strangers and agents send, and of stored log entries. `cargo test`
//! runs each over its corpus, in `__fuzz__`, and over a second of random inputs; `tests/fuzz`
//! searches for longer.

use crate::{
    frame::Frame,
    grpc::read_frame,
    hook_request::{Blob, Header},
    ids::{ConversationId, SessionId, TurnId},
    jid::{self, FolderName},
    signature::{Scheme, Signed, verify},
    time::Time,
    turn::reply::{AgentFrame, Attempt},
};
use arizuko_proto::v1::{AttachRequest, attach_request::Message};
use bolero::check;
use prost::Message as _;

#[test]
fn names() {
    check!().for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        if let Ok(folder) = FolderName::parse(text) {
            assert_eq!(folder.as_str(), text);
            assert!(folder.is_within(&folder) && text.starts_with(folder.root()));
            assert_eq!(jid::root(&jid::web(&folder, None)), Ok(folder.root()));
        }
        if let Ok(root) = jid::root(text) {
            assert_eq!(FolderName::parse(root).map(String::from).as_deref(), Ok(root));
        }
        if let Ok(id) = TurnId::parse(text) {
            assert_eq!(id.as_str(), text);
        }
        if let Ok(id) = ConversationId::parse(text) {
            assert_eq!(id.as_str(), text);
        }
    });
}

/// Text that a stranger puts into every signature header is never a valid signature.
#[test]
fn signatures() {
    let schemes = [Scheme::Github, Scheme::Stripe, Scheme::Slack, Scheme::Twilio, Scheme::Standard];
    let names = [
        "x-hub-signature-256",
        "stripe-signature",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "x-twilio-signature",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ];
    check!().for_each(|input: &[u8]| {
        let (value, body) = input.split_at(input.len() / 2);
        let header = |name: &str| Header { name: name.to_owned(), value: Blob::new(value) };
        let headers = names.map(header);
        let url = String::from_utf8_lossy(input);
        let (method, now) = ("POST", Time::default());
        let signed = Signed { headers: &[&headers], body, url: &url, method, now };
        for scheme in &schemes {
            assert!(verify(scheme, &[b"a secret of the sender".to_vec()], &signed).is_err());
        }
    });
}

#[test]
fn agent_messages() {
    check!().for_each(|input: &[u8]| {
        let Ok(AttachRequest { message: Some(message) }) = AttachRequest::decode(input) else {
            return;
        };
        let Message::Append(append) = message else {
            return;
        };
        let (turn, session) = (TurnId::new([1; 18]), SessionId::new([2; 16]));
        let attempt = Attempt { turn, session, number: 1 };
        for frame in append.frames {
            let size = frame.encoded_len();
            if let Ok(AgentFrame::Said(body)) = read_frame(frame, &attempt) {
                assert!(body.len() <= size);
                let (tag, turn, at) = (1, attempt.turn.clone(), Time::default());
                let frame = Frame { tag, turn, n: 1, at, body };
                let entry = frame.to_entry().expect("a frame can be written");
                assert_eq!(Frame::parse(&entry).ok(), Some(frame));
            }
        }
    });
}

#[test]
fn log_entries() {
    check!().for_each(|input: &[u8]| {
        let Ok(frame) = Frame::parse(input) else {
            return;
        };
        let entry = frame.to_entry().expect("a frame that was read can be written");
        assert_eq!(Frame::parse(&entry).ok(), Some(frame));
    });
}
