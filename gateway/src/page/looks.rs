//! How the owner of a link wants its page to look.

use super::{
    accent::{self, Colour},
    assets::{ICON, INLINE_STYLE, policy_source},
    markup::escape,
};
use crate::{
    gateway::Gateway, language::Language, link::Link, markdown, problem::Problem, well_known,
};
use arizuko_proto::v1::{self as pb, LinkLooks, Theme};
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header};
use std::{borrow::Cow, fmt::Write as _, sync::Arc};

/// How many characters of the greeting a preview of the page shows.
const DESCRIPTION: usize = 200;
const SCHEMES: [(&str, &str); 2] = [("light", "#faf9f6"), ("dark", "#171614")];
/// Lets a logo run no script and load nothing. An SVG may have styles of its own.
const LOGO_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
);

/// A link's looks, as parts of the page.
pub(super) struct Looks<'a> {
    name: &'a str,
    greeting: &'a str,
    looks: Cow<'a, LinkLooks>,
    accent: Option<Colour>,
    /// The language of the page.
    page: &'static Language,
}

impl<'a> Looks<'a> {
    pub(super) fn new(resolved: &'a pb::ResolveTokenResponse, page: &'static Language) -> Self {
        let looks = resolved.looks.as_ref().map_or_else(Cow::default, Cow::Borrowed);
        let accent = Colour::parse(&looks.accent);
        Self { name: &resolved.name, greeting: &resolved.greeting, looks, accent, page }
    }

    /// The page's attribute that sets its theme; empty if the page follows the visitor's theme.
    pub(super) fn theme(&self) -> &'static str {
        match self.looks.theme() {
            Theme::Unspecified => "",
            Theme::Light => r#" data-theme="light""#,
            Theme::Dark => r#" data-theme="dark""#,
        }
    }

    /// The attribute with the language of the owner's texts.
    pub(super) fn language(&self) -> String {
        match escape(&self.looks.language) {
            none if none.is_empty() => String::new(),
            language => format!(r#" lang="{language}""#),
        }
    }

    /// The colours of the browser's own parts of the page.
    pub(super) fn scheme(&self) -> String {
        let only = match self.looks.theme() {
            Theme::Unspecified => None,
            Theme::Light => Some("light"),
            Theme::Dark => Some("dark"),
        };
        let content = only.unwrap_or("light dark");
        let mut metas = format!(r#"<meta name="color-scheme" content="{content}">"#);
        for (scheme, colour) in SCHEMES {
            let media = match only {
                None => format!(r#" media="(prefers-color-scheme: {scheme})""#),
                Some(only) if only == scheme => String::new(),
                Some(_) => continue,
            };
            let _ = write!(metas, "\n  <meta name=\"theme-color\" content=\"{colour}\"{media}>");
        }
        metas
    }

    /// The style element with the colours of the accent.
    pub(super) fn style_element(&self) -> String {
        self.style().map_or_else(String::new, |style| format!("<style>{style}</style>"))
    }

    /// What a content security policy says about styles: our file, and the style elements by their
    /// hashes.
    pub(super) fn style_policy(&self) -> String {
        let accent = self.style().map_or_else(String::new, |style| policy_source(style.as_bytes()));
        format!("style-src 'self' {} {accent}", INLINE_STYLE.policy)
    }

    fn style(&self) -> Option<String> {
        self.accent.map(accent::style)
    }

    /// The address of the page's icon: the logo, or ours in the accent's colour.
    pub(super) fn icon(&self) -> Cow<'static, str> {
        match self.accent {
            _ if self.has_logo() => "logo".into(),
            Some(accent) => well_known::icon_url(&accent::icon(accent).to_string()).into(),
            None => Cow::Borrowed(&ICON),
        }
    }

    pub(super) fn logo(&self) -> &'static str {
        if self.has_logo() { r#"<img class="logo" src="logo" alt="">"# } else { "" }
    }

    pub(super) fn has_logo(&self) -> bool {
        !self.looks.logo_type.is_empty()
    }

    /// The description in previews of the page, such as those in messengers.
    pub(super) fn description(&self) -> String {
        let words = markdown::text(self.greeting);
        if words.is_empty() {
            return self.page.page("write_to").replace("{name}", self.name);
        }
        match words.char_indices().nth(DESCRIPTION) {
            None => words,
            Some((end, _)) => format!("{}…", words[..end].trim_end()),
        }
    }

    /// The line below the title: when to expect an answer, and who is responsible.
    pub(super) fn about(&self) -> String {
        let LinkLooks { presence, legal_url, .. } = &*self.looks;
        let mut parts = Vec::new();
        if !presence.is_empty() {
            parts.push(format!(r#"<span dir="auto">{}</span>"#, escape(presence)));
        }
        if !legal_url.is_empty() {
            let (url, words, tag) = (escape(legal_url), self.page.page("legal"), self.page.tag);
            parts.push(format!(
                r#"<a href="{url}" target="_blank" rel="noopener noreferrer" lang="{tag}">{words}</a>"#
            ));
        }
        if parts.is_empty() {
            return String::new();
        }
        format!(r#"<p class="about">{}</p>"#, parts.join(" "))
    }

    /// Buttons that send a first message, also without JavaScript.
    pub(super) fn starters(&self, query: &str) -> String {
        let mut buttons = String::new();
        for starter in &self.looks.starters {
            let text = escape(starter);
            let _ = write!(
                buttons,
                r#"<button name="content" value="{text}" dir="auto">{text}</button>"#
            );
        }
        if buttons.is_empty() {
            return buttons;
        }
        format!(
            r#"<form class="starters" id="starters" method="post" action="./{query}">{buttons}</form>"#
        )
    }

    pub(super) fn placeholder(&self) -> Cow<'_, str> {
        match self.looks.placeholder.as_str() {
            "" => self.page.page("placeholder").into(),
            placeholder => escape(placeholder),
        }
    }

    /// The looks as the owner has set them.
    pub(super) fn set(&self) -> &LinkLooks {
        &self.looks
    }
}

/// GET `/chat/{token}/logo`
pub(crate) async fn logo(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
) -> Result<Response, Problem> {
    let pb::GetLogoResponse { media_type, content } = gateway.control.logo(link.access()).await?;
    if content.is_empty() {
        return Err(Problem::nothing_here());
    }
    let media_type = HeaderValue::try_from(media_type).map_err(|_| Problem::nothing_here())?;
    let headers =
        [(header::CONTENT_TYPE, media_type), (header::CONTENT_SECURITY_POLICY, LOGO_POLICY)];
    Ok((headers, content).into_response())
}
