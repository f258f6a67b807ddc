//! The chat page: baked into the binary, and filled in for one link.

mod markup;

use crate::{
    Gateway,
    document::is_open,
    link::{ConversationId, Link, Parameters},
    markdown,
    problem::Problem,
};
use arizuko_proto::v1 as pb;
use axum::{
    Json,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use markup::{escape, fill, messages};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::{borrow::Cow, fmt::Write as _, sync::Arc};

pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

const TEMPLATE: &str = include_str!("../web/page.html");
const STYLE: &str = include_str!("../web/page.css");
/// One file, so that its parts are always of one version.
const SCRIPT: &str = concat!(
    include_str!("../web/page/words.js"),
    include_str!("../web/page/request.js"),
    include_str!("../web/page/reply.js"),
    include_str!("../web/page/turn.js"),
    include_str!("../web/page/stream.js"),
    include_str!("../web/page/outbox.js"),
    include_str!("../web/page/thread.js"),
    include_str!("../web/page/view.js"),
);
/// Its name changes with what is in it.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Without JavaScript, a page that waits for a reply asks again.
const REFRESH: &str = r#"<noscript><meta http-equiv="refresh" content="3"></noscript>"#;
const TURNS_A_CALL: u32 = 200;

/// Where the page's files are.
pub(crate) struct Page {
    style: String,
    script: String,
}

impl Page {
    pub(crate) fn new() -> Self {
        Self {
            style: format!("/assets/page.{}.css", hash(STYLE)),
            script: format!("/assets/page.{}.js", hash(SCRIPT)),
        }
    }

    /// A page that says what is wrong, and nothing else.
    pub(crate) fn problem(&self, title: &str, detail: &str) -> String {
        let (title, detail) = (escape(title), escape(detail));
        let style = &self.style;
        format!(
            r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="stylesheet" href="{style}">
</head>
<body>
  <main>
    <div class="log"><div class="column"><div class="hello">
      <h1>{title}</h1>
      <div class="greeting"><p>{detail}</p></div>
    </div></div></div>
  </main>
</body>
</html>
"#
        )
    }
}

fn hash(file: &str) -> String {
    let digest = Sha256::digest(file);
    digest[..8].iter().fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// GET `/assets/{name}`
pub(crate) async fn asset(
    State(gateway): State<Arc<Gateway>>,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let (kind, file) = match uri.path() {
        path if path == gateway.page.style => ("text/css; charset=utf-8", STYLE),
        path if path == gateway.page.script => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return Err(nothing_here()),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)];
    Ok((headers, file).into_response())
}

/// What is said of a path that leads nowhere.
pub(crate) fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing here.")
}

/// GET `/chat/{token}`, whatever the method: to the page.
pub(crate) async fn with_slash(OriginalUri(uri): OriginalUri) -> Response {
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let location = format!("{}/{query}", uri.path());
    match HeaderValue::try_from(location) {
        Ok(location) => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response()
        }
        Err(_) => nothing_here().into_response(),
    }
}

#[derive(Deserialize)]
pub(crate) struct Shown {
    conversation: Option<String>,
}

/// GET `/chat/{token}/`
pub(crate) async fn page(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    Parameters(shown): Parameters<Shown>,
) -> Result<Response, Problem> {
    let resolved = gateway.control.resolve(link.access()).await?;
    let conversation = shown.conversation.filter(|id| !id.is_empty());
    let turns = match &conversation {
        Some(id) => all_turns(&gateway, &link, id).await?,
        None => Vec::new(),
    };
    let is_waiting = turns.iter().any(|turn| is_open(turn.status()));
    // In a script element `<` could begin the end tag.
    let config = config_of(&link, &resolved).to_string().replace('<', r"\u003c");
    let html = fill(TEMPLATE, |name| match name {
        "title" => escape(&resolved.name),
        "style" => Cow::Borrowed(&*gateway.page.style),
        "script" => Cow::Borrowed(&*gateway.page.script),
        "config" => Cow::Borrowed(&*config),
        "greeting" => markdown::render(&resolved.greeting).into(),
        "messages" => messages(&turns, &resolved.name).into(),
        "conversation" => escape(conversation.as_deref().unwrap_or_default()),
        "refresh" if is_waiting => Cow::Borrowed(REFRESH),
        _ => Cow::Borrowed(""),
    });
    let policy = content_security_policy(&resolved.allowed_origins);
    let headers = [(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, html).into_response())
}

/// GET `/chat/{token}/config`
pub(crate) async fn config(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
) -> Result<Response, Problem> {
    let resolved = gateway.control.resolve(link.access()).await?;
    Ok(Json(config_of(&link, &resolved)).into_response())
}

fn config_of(link: &Link, resolved: &pb::ResolveTokenResponse) -> serde_json::Value {
    json!({
        "name": resolved.name,
        "greeting": resolved.greeting,
        "greeting_html": markdown::render(&resolved.greeting),
        "agent_attached": resolved.agent_attached,
        "limits": { "content_bytes": resolved.max_content_bytes },
        "paths": { "base": link.path() },
    })
}

/// Scripts, styles and calls of our own only; frames where the link allows them.
fn content_security_policy(allowed_origins: &[String]) -> HeaderValue {
    let mut ancestors = String::new();
    // Control has checked them; this only keeps one from ending the directive.
    for origin in allowed_origins.iter().filter(|o| !o.contains([';', ',', ' '])) {
        let _ = write!(ancestors, " {origin}");
    }
    if ancestors.is_empty() {
        ancestors.push_str(" 'none'");
    }
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors{ancestors}"
    );
    let closed = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(closed)
}

async fn all_turns(
    gateway: &Gateway,
    link: &Link,
    conversation: &str,
) -> Result<Vec<pb::ConversationTurn>, Problem> {
    let ConversationId(conversation) = ConversationId::parse(conversation.to_owned())?;
    let mut turns = Vec::new();
    let mut after = 0;
    loop {
        let request = pb::GetConversationRequest {
            access: Some(link.access()),
            conversation: conversation.clone(),
            after,
            page_size: TURNS_A_CALL,
        };
        let page = gateway.control.conversation(request).await?;
        turns.extend(page.turns);
        after = page.next;
        if after == 0 {
            return Ok(turns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_of_the_page_is_known() {
        let known = [
            "title",
            "style",
            "script",
            "config",
            "greeting",
            "messages",
            "conversation",
            "refresh",
        ];
        fill(TEMPLATE, |name| {
            assert!(known.contains(&name), "{name}");
            "".into()
        });
    }

    #[test]
    fn an_origin_cannot_add_to_the_policy() {
        let policy = |origin: &str| content_security_policy(&[origin.to_owned()]);
        let allowed = policy("https://acme.example");
        assert!(allowed.to_str().unwrap().ends_with("frame-ancestors https://acme.example"));
        for origin in ["x; script-src *", "x,y", "a b"] {
            let policy = policy(origin);
            assert!(policy.to_str().unwrap().ends_with("frame-ancestors 'none'"));
        }
    }
}
