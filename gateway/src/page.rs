//! The chat page: a template in the binary, filled in for a link.

mod accent;
mod assets;
mod config;
mod frame;
mod looks;
mod markup;
mod problem;

pub(crate) use assets::{asset, for_sites};
pub(crate) use config::Config;
pub(crate) use looks::logo;
pub(crate) use problem::show_problems;

use crate::{
    address::Visitor,
    compression::Uncompressed,
    document::is_open,
    gateway::Gateway,
    language::{Language, Wanted},
    link::{ConversationId, Link, Parameters},
    problem::Problem,
    schema::IdOrEmpty,
};
use arizuko_proto::v1::{self as pb, Author};
use assets::{INLINE_STYLE, LINKED_STYLE, script};
use axum::{
    Extension, Json,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
};
use config::away;
use frame::Frame;
use http::{HeaderValue, StatusCode, header};
use looks::Looks;
use markup::{HTML, Shown, escape, fill, messages, more, notice};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use std::{borrow::Cow, fmt::Write as _, sync::Arc};

const TEMPLATE: &str = include_str!("../web/page.html");
/// How many turns, and about how many bytes of messages, a page without JavaScript shows.
const PAGE_TURNS: u32 = 20;
const PAGE_BYTES: u32 = 256 * 1024;

/// `/chat/{token}`, any method: redirects to the page.
pub(crate) async fn with_slash(OriginalUri(uri): OriginalUri) -> Response {
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let location = format!("{}/{query}", uri.path());
    match HeaderValue::try_from(location) {
        Ok(location) => {
            (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response()
        }
        Err(_) => Problem::nothing_here().into_response(),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct PageQuery {
    /// Shows the conversation with this id, also without JavaScript. If empty, shows a new one.
    #[schemars(with = "Option<IdOrEmpty>")]
    conversation: Option<String>,
    /// Without JavaScript: shows the newest turns before this place in the history, which is the
    /// `previous` of another page.
    before: Option<u64>,
    /// The id of a turn. The answer is then the document of the iframe that a page without
    /// JavaScript has, with the replies from that turn on.
    replies: Option<String>,
}

/// GET `/chat/{token}/`
pub(crate) async fn page(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    wanted: Wanted,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Response, Problem> {
    // Without a conversation the page has no messages, so it is short.
    if query.conversation.as_ref().is_none_or(String::is_empty) {
        return show(&gateway, &link, wanted, query).await;
    }
    let room = gateway.room_for(visitor).await?;
    room.hold(show(&gateway, &link, wanted, query).await?).await
}

async fn show(
    gateway: &Gateway,
    link: &Link,
    wanted: Wanted,
    query: PageQuery,
) -> Result<Response, Problem> {
    let resolved = gateway.control.resolve(link.access()).await?;
    let language = language(wanted, &resolved);
    let conversation = query.conversation.filter(|id| !id.is_empty());
    let page = match &conversation {
        Some(id) => turns(gateway, link, id, query.before).await?,
        None => pb::GetConversationResponse::default(),
    };
    let conversation = conversation.as_deref().unwrap_or_default();
    if let Some(first) = &query.replies {
        return Ok(Frame { conversation, first, language }
            .document(gateway, &resolved, &page)
            .await);
    }
    let pb::GetConversationResponse { turns, previous, agent_attached, .. } = page;
    let away = away(&resolved, language).map(|away| away.text);
    let shown = Shown { name: &resolved.name, agent_attached, away, language };
    let waiting = turns.iter().find(|turn| query.before.is_none() && is_open(turn.status()));
    let waiting =
        waiting.map(|turn| Frame { conversation, first: &turn.turn_id, language }.element());
    // The greeting is a part of `config`, in which `<` is escaped: inside a script element it could
    // start the end tag.
    let greeting = gateway.renderer.render(Author::Assistant, &resolved.greeting).await.concat();
    let rendered = gateway.renderer.turns(&turns).await;
    let path = format!("{}{}", link.path(), wanted.query("?"));
    let config = json!(Config::new(link, &resolved, &greeting, language).at(path));
    let config = config.to_string().replace('<', r"\u003c");
    let looks = Looks::new(&resolved, language);
    let html = fill(TEMPLATE, |name| match name {
        "root" => language.attributes().into(),
        "theme" => looks.theme().into(),
        "scheme" => looks.scheme().into(),
        "title" => escape(&resolved.name),
        "description" => escape(&looks.description()).into_owned().into(),
        "icon" => looks.icon(),
        "accent" => looks.style_element().into(),
        "language" => looks.language().into(),
        "logo" => looks.logo().into(),
        "about" => looks.about().into(),
        "starters" => looks.starters(&wanted.query("?")).into(),
        "placeholder" => looks.placeholder(),
        "style" if conversation.is_empty() => Cow::Borrowed(&*INLINE_STYLE.element),
        "style" => Cow::Borrowed(&*LINKED_STYLE),
        "script" => Cow::Borrowed(script(language)),
        "config" => Cow::Borrowed(&*config),
        "greeting" => Cow::Borrowed(&*greeting),
        "messages" => messages(&turns, &rendered, shown, waiting.as_deref()).into(),
        "earlier" if previous > 0 => {
            let query = format!("&amp;before={previous}{}", wanted.query("&amp;"));
            more(conversation, &query, language.page("earlier_messages")).into()
        }
        "later" if query.before.is_some() => {
            let query = wanted.query("&amp;");
            more(conversation, &query, language.page("newest_messages")).into()
        }
        "notice" => notice(&resolved, shown).into(),
        "query" => wanted.query("?").into(),
        "language-field" => wanted.field().into(),
        "you" => language.scripts("you").into(),
        "conversation" => escape(conversation),
        name => language.page(name.strip_prefix("words.").unwrap_or_default()).into(),
    });
    let policy = content_security_policy(&looks.style_policy(), &resolved.allowed_origins);
    let headers = [(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, policy)];
    if !conversation.is_empty() {
        return Ok((Extension(Uncompressed), headers, html).into_response());
    }
    let has_style = INLINE_STYLE.place(&html).map(Extension);
    Ok((has_style, headers, html).into_response())
}

/// GET `/chat/{token}/config`
pub(crate) async fn config(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let resolved = gateway.control.resolve(link.access()).await?;
    let language = language(wanted, &resolved);
    let greeting = gateway.renderer.render(Author::Assistant, &resolved.greeting).await.concat();
    let looks = Looks::new(&resolved, language);
    Ok(Json(Config::new(&link, &resolved, &greeting, language).with(&looks)).into_response())
}

/// Returns the language of the link's page.
fn language(wanted: Wanted, resolved: &pb::ResolveTokenResponse) -> &'static Language {
    wanted.or(resolved.looks.as_ref().map_or("", |looks| &looks.language))
}

/// Lets the page load only what is our own, and lets only the link's allowed origins show the page
/// in a frame.
fn content_security_policy(style: &str, allowed_origins: &[String]) -> HeaderValue {
    let ancestors = match ancestors(allowed_origins) {
        none if none.is_empty() => " 'none'".to_owned(),
        ancestors => ancestors,
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; {style}; connect-src 'self'; \
         frame-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
         require-trusted-types-for 'script'; trusted-types arizuko; frame-ancestors{ancestors}"
    );
    let closed = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(closed)
}

/// Returns the origins that may frame the page, as a part of a policy.
fn ancestors(allowed_origins: &[String]) -> String {
    let mut ancestors = String::new();
    // Control has checked the origins. The filter only makes sure that none ends the directive.
    for origin in allowed_origins.iter().filter(|o| !o.contains([';', ',', ' '])) {
        let _ = write!(ancestors, " {origin}");
    }
    ancestors
}

/// Reads the newest turns, or the newest ones before a turn.
async fn turns(
    gateway: &Gateway,
    link: &Link,
    conversation: &str,
    before: Option<u64>,
) -> Result<pb::GetConversationResponse, Problem> {
    let ConversationId(conversation) = ConversationId::parse(conversation.to_owned())?;
    let request = pb::GetConversationRequest {
        access: Some(link.access()),
        conversation,
        before: before.unwrap_or(u64::MAX),
        page_size: PAGE_TURNS,
        page_bytes: PAGE_BYTES,
        ..pb::GetConversationRequest::default()
    };
    Ok(gateway.control.conversation(request).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Uri};

    #[test]
    fn the_template_has_only_known_placeholders() {
        let known = [
            "root",
            "query",
            "language-field",
            "you",
            "theme",
            "scheme",
            "title",
            "description",
            "icon",
            "accent",
            "language",
            "logo",
            "about",
            "starters",
            "placeholder",
            "style",
            "script",
            "config",
            "greeting",
            "earlier",
            "messages",
            "later",
            "notice",
            "conversation",
        ];
        let english = Wanted::of(&Uri::from_static("/"), &HeaderMap::new()).or("");
        fill(TEMPLATE, |name| {
            let is_word =
                name.strip_prefix("words.").is_some_and(|name| !english.page(name).is_empty());
            assert!(is_word || known.contains(&name), "{name}");
            "".into()
        });
    }

    #[test]
    fn an_origin_cannot_add_to_the_policy() {
        let policy = |origin: &str| content_security_policy("", &[origin.to_owned()]);
        let allowed = policy("https://acme.example");
        assert!(allowed.to_str().unwrap().ends_with("frame-ancestors https://acme.example"));
        for origin in ["x; script-src *", "x,y", "a b"] {
            let policy = policy(origin);
            assert!(policy.to_str().unwrap().ends_with("frame-ancestors 'none'"));
        }
    }
}
