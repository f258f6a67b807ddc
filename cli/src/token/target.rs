//! The names of a token: its JID, its id or its URL.

use arizuko_proto::{
    public_id,
    v1::{revoke_token_request, token_target::Target},
};
use reqwest::Url;

/// The names that [`parse`] takes, for help texts.
pub(super) const NAMES: &str = "JID|tok_…|URL";

/// Tells a JID from a token's id and a URL. Control checks the rest.
pub(super) fn parse(text: &str) -> Result<Target, String> {
    if text.starts_with("web:") || text.starts_with("hook:") {
        return Ok(Target::Jid(text.to_owned()));
    }
    id(text).map(Target::TokenId).map_err(|_| {
        "name a JID, such as web:acme/support, a token's id, tok_…, or a link's URL".to_owned()
    })
}

/// Reads the name of one token, and returns its id.
pub(super) fn id(text: &str) -> Result<String, String> {
    if text.starts_with("tok_") {
        return Ok(text.to_owned());
    }
    of_url(text).ok_or_else(|| "name a token's id, tok_…, or a link's URL".to_owned())
}

/// Returns the id of the token in a URL. The URL stays here: it is a credential.
fn of_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let mut path = url.path_segments()?;
    path.find(|segment| matches!(*segment, "chat" | "hook"))?;
    public_id::token(path.next()?)
}

/// Returns the same target for a revocation.
pub(super) fn to_revoke(target: Target) -> revoke_token_request::Target {
    match target {
        Target::Jid(jid) => revoke_token_request::Target::Jid(jid),
        Target::TokenId(id) => revoke_token_request::Target::TokenId(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_token() {
        let secret = "AAcDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";
        let id = public_id::token(secret).expect("a secret");
        for url in ["chat/S", "chat/S/", "hook/S/orders?x=/chat/T", "at/chat/S/#f"] {
            let url = format!("https://acme.example/{}", url.replace('S', secret));
            assert_eq!(parse(&url), Ok(Target::TokenId(id.clone())), "{url}");
        }
        for wrong in
            ["acme", "https://acme.example/chat/", "https://acme.example/chat/short", secret]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
