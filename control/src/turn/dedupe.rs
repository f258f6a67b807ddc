//! Recognises repeats of a webhook's deliveries: a sender repeats a delivery until it is answered,
//! sometimes for days.

use super::{
    input::Post,
    repeat::{Kept, Key},
};
use crate::{
    hook_options::Dedupe,
    hook_request::{Header, HookRequest},
    secret::hash,
};

/// What a repeat must have in common with the first delivery, besides the header's value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Same {
    /// Nothing: the header alone names the delivery, and a retry may have another body.
    Id,
    /// The body. Another body under the same id is the sender's mistake and is refused.
    IdOrRefuse,
    /// The body. Another body under the same id is another delivery.
    IdAndBody,
    /// This other header, too.
    IdAndHeader(&'static str),
}

/// The headers in which known senders name a delivery, the most certain first. The first one that a
/// delivery has is used.
const KNOWN_HEADERS: [(&str, Same); 13] = [
    // A draft standard names this header. GitLab sends it from version 17.4 on.
    ("idempotency-key", Same::IdOrRefuse),
    // Standard Webhooks has the first of these two headers, its forerunner Svix the second.
    ("webhook-id", Same::Id),
    ("svix-id", Same::Id),
    ("x-github-delivery", Same::Id),
    ("x-gitea-delivery", Same::Id),
    ("linear-delivery", Same::Id),
    ("x-shopify-webhook-id", Same::Id),
    // If a webhook causes other webhooks, GitLab gives all of them the same UUID.
    ("x-gitlab-event-uuid", Same::IdAndBody),
    ("x-atlassian-webhook-identifier", Same::Id),
    ("twitch-eventsub-message-id", Same::Id),
    ("i-twilio-idempotency-token", Same::Id),
    ("x-discourse-event-id", Same::Id),
    // In CloudEvents an id is unique only within its source.
    ("ce-id", Same::IdAndHeader("ce-source")),
];

/// How many characters of a delivery's name are kept, at most.
const MAX_NAME: usize = 100;

/// Returns the key by which a repeat of this delivery is recognised; `None` if nothing names the
/// delivery.
pub(super) fn delivery(dedupe: &Dedupe, post: &Post) -> Option<Key> {
    match dedupe {
        Dedupe::KnownHeaders => {
            KNOWN_HEADERS.iter().find_map(|(name, same)| by_header(name, *same, post))
        }
        Dedupe::Header(name) => by_header(name, Same::Id, post),
        Dedupe::Body => Some(by_body(post)),
    }
}

fn by_header(name: &str, same: Same, post: &Post) -> Option<Key> {
    let id = hash_of(name, &post.headers)?;
    let more = match same {
        Same::Id | Same::IdOrRefuse => String::new(),
        Same::IdAndBody => hash(&post.content),
        Same::IdAndHeader(other) => hash_of(other, &post.headers).unwrap_or_default(),
    };
    let content = if same == Same::IdOrRefuse { post.content.clone() } else { Vec::new() };
    Some(Key { text: format!("{name} {id} {more}"), content, kept: Kept::Delivery })
}

fn by_body(post: &Post) -> Key {
    let whole = post.request.as_ref().map_or(String::new(), |request| {
        let HookRequest { method, path, query, .. } = request;
        format!("{method} {path}?{query}")
    });
    let text = format!("body {} {}", hash(whole), hash(&post.content));
    Key { text, content: Vec::new(), kept: Kept::Delivery }
}

/// Returns what the sender calls this delivery, for people; empty if nothing names it.
pub(super) fn name(dedupe: &Dedupe, post: &Post) -> String {
    let value = match dedupe {
        Dedupe::KnownHeaders => {
            KNOWN_HEADERS.iter().find_map(|(name, _)| value_of(name, &post.headers))
        }
        Dedupe::Header(name) => value_of(name, &post.headers),
        Dedupe::Body => None,
    };
    let name = String::from_utf8(value.unwrap_or_default()).unwrap_or_default();
    name.chars().take(MAX_NAME).collect()
}

fn hash_of(name: &str, headers: &[Header]) -> Option<String> {
    value_of(name, headers).map(hash)
}

/// Returns a header's value; `None` if the header is missing or empty.
fn value_of(name: &str, headers: &[Header]) -> Option<Vec<u8>> {
    let header = headers.iter().find(|header| header.name == name)?;
    Some(header.value.clone().into_bytes()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook_request::Blob;

    fn text(dedupe: &Dedupe, headers: &[(&str, &str)], body: &str) -> Option<String> {
        let header = |&(name, value): &(&str, &str)| Header {
            name: name.to_owned(),
            value: Blob::new(value.as_bytes()),
        };
        let post = Post {
            conversation: None,
            supersedes: None,
            content: body.into(),
            headers: headers.iter().map(header).collect(),
            credentials: Vec::new(),
            request: None,
            page: None,
            idempotency_key: String::new(),
            proof: String::new(),
            client_address: String::new(),
            traceparent: String::new(),
            is_replay: false,
        };
        delivery(dedupe, &post).map(|key| key.text)
    }

    #[test]
    fn a_delivery_is_named_by_its_senders_header() {
        let known = |headers: &[(&str, &str)], body| text(&Dedupe::KnownHeaders, headers, body);
        assert_eq!(known(&[("x-other", "1")], ""), None);
        assert_eq!(known(&[("svix-id", "")], ""), None);
        let named = |name, id, body| known(&[(name, id)], body).expect("it names itself");
        assert_eq!(named("svix-id", "1", "a"), named("svix-id", "1", "b"));
        assert_ne!(named("svix-id", "1", "a"), named("svix-id", "2", "a"));
        assert_ne!(named("svix-id", "1", "a"), named("webhook-id", "1", "a"));
        let caused = "x-gitlab-event-uuid";
        assert_ne!(named(caused, "1", "a"), named(caused, "1", "b"));
        let event = |source| known(&[("ce-id", "1"), ("ce-source", source)], "");
        assert_ne!(event("/a"), event("/b"));
        assert_eq!(event("/a"), event("/a"));
    }

    #[test]
    fn a_link_may_say_what_names_its_deliveries() {
        let own = Dedupe::Header("x-event".to_owned());
        assert_eq!(text(&own, &[("svix-id", "1")], ""), None);
        assert_eq!(text(&own, &[("x-event", "1")], "a"), text(&own, &[("x-event", "1")], "b"));
        assert_eq!(text(&Dedupe::Body, &[("svix-id", "1")], "a"), text(&Dedupe::Body, &[], "a"));
        assert_ne!(text(&Dedupe::Body, &[], "a"), text(&Dedupe::Body, &[], "b"));
    }
}
