//! The replies that are being written, for a page whose script does not run: a frame that reloads
//! itself, so that what the visitor types beside it stays.

use super::{
    assets::LINKED_STYLE,
    config::away,
    looks::Looks,
    markup::{HTML, Shown, escape, messages},
};
use crate::{compression::Uncompressed, document::is_open, gateway::Gateway, language::Language};
use arizuko_proto::v1 as pb;
use axum::{
    Extension,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};

const REFRESH: &str = r#"<meta http-equiv="refresh" content="3">"#;

/// What a frame shows.
pub(super) struct Frame<'a> {
    pub(super) conversation: &'a str,
    /// The id of the first turn whose replies it shows. The page itself shows that turn's question.
    pub(super) first: &'a str,
    pub(super) language: &'static Language,
}

impl Frame<'_> {
    /// The frame's element on the page, which the page's script replaces. It is not in a
    /// `noscript`, because the script may also fail to load, for example if the gateway was updated
    /// and no longer serves the page's version of it.
    pub(super) fn element(&self) -> String {
        let [conversation, first] = [self.conversation, self.first].map(escape);
        let (replies, language) = (self.language.page("replies"), self.language.tag);
        format!(
            r#"<iframe class="replies" title="{replies}" src="./?conversation={conversation}&amp;replies={first}&amp;lang={language}"></iframe>"#
        )
    }

    /// The frame's document.
    pub(super) async fn document(
        &self,
        gateway: &Gateway,
        resolved: &pb::ResolveTokenResponse,
        page: &pb::GetConversationResponse,
    ) -> Response {
        let turns = &page.turns;
        let from = turns.iter().position(|turn| turn.turn_id == self.first);
        let mut turns = turns[from.unwrap_or_default()..].to_vec();
        if let Some(turn) = turns.first_mut() {
            turn.user = None;
        }
        let rendered = gateway.renderer.turns(&turns).await;
        let language = self.language;
        let away = away(resolved, language).map(|away| away.text);
        let shown =
            Shown { name: &resolved.name, agent_attached: page.agent_attached, away, language };
        let messages = messages(&turns, &rendered, shown, None);
        let is_waiting = turns.iter().any(|turn| is_open(turn.status()));
        let (refresh, style) = (if is_waiting { REFRESH } else { "" }, &*LINKED_STYLE);
        let looks = Looks::new(resolved, language);
        let (theme, accent) = (looks.theme(), looks.style_element());
        let (root, replies) = (language.attributes(), language.page("replies"));
        let html = format!(
            r#"<!doctype html>
<html {root}{theme}>
<head>
  <meta charset="utf-8">
  <title>{replies}</title>
  {style}
  {accent}{refresh}
</head>
<body class="frame"><main>{messages}</main></body>
</html>
"#
        );
        let ancestors = super::ancestors(&resolved.allowed_origins);
        let policy = HeaderValue::try_from(format!(
            "default-src 'none'; {}; frame-ancestors 'self'{ancestors}",
            looks.style_policy()
        ));
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let headers = [(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, policy)];
        (Extension(Uncompressed), headers, html).into_response()
    }
}
