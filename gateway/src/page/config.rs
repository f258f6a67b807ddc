//! GET `/chat/{token}/config`: a link's settings, for the page and for programs.

use super::looks::Looks;
use crate::{document, language::Language, link::Link};
use arizuko_proto::v1::{self as pb, Theme};
use schemars::JsonSchema;
use serde::Serialize;

/// A link's settings.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Config<'a> {
    /// The language of the page's own sentences, as chosen by `lang`, by the owner or by
    /// `Accept-Language`.
    language: &'static str,
    name: &'a str,
    greeting: &'a str,
    greeting_html: &'a str,
    agent_attached: bool,
    /// Whether the link takes no messages for now.
    paused: bool,
    /// What to say outside of the link's hours. `null` during the hours, or if the link has none.
    away: Option<Away<'a>>,
    #[schemars(with = "ConfiguredLooks<'a>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    looks: Option<ConfiguredLooks<'a>>,
    limits: ConfiguredLimits,
    /// The sites that may show the page in a frame and call the link.
    origins: &'a [String],
    paths: Paths,
}

/// What to say until a link's hours begin.
#[derive(JsonSchema, Serialize)]
pub(super) struct Away<'a> {
    pub(super) text: &'a str,
    /// When the hours begin.
    #[schemars(extend("format" = "date-time"))]
    pub(super) until: String,
}

/// How the owner wants the page to look. Texts are empty where the owner has set none.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Looks")]
struct ConfiguredLooks<'a> {
    #[schemars(extend("examples" = ["#2563eb"]))]
    accent: &'a str,
    #[schemars(extend("enum" = ["auto", "light", "dark"]))]
    theme: &'static str,
    /// First messages to offer.
    starters: &'a [String],
    placeholder: &'a str,
    /// The language of the owner's texts, as a BCP 47 tag.
    language: &'a str,
    legal_url: &'a str,
    presence: &'a str,
    #[schemars(extend("examples" = ["Mo-Fr 9-17 Europe/Berlin"]))]
    hours: &'a str,
    /// What the owner says outside of the hours.
    away: &'a str,
    /// The logo's path under `base`.
    logo: &'static str,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Limits")]
struct ConfiguredLimits {
    content_bytes: u32,
}

#[derive(JsonSchema, Serialize)]
struct Paths {
    base: String,
    /// The page's own address, with its language. Only the settings inside the page have it.
    #[schemars(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

impl<'a> Config<'a> {
    pub(super) fn new(
        link: &Link,
        resolved: &'a pb::ResolveTokenResponse,
        greeting_html: &'a str,
        language: &'static Language,
    ) -> Self {
        Self {
            language: language.tag,
            name: &resolved.name,
            greeting: &resolved.greeting,
            greeting_html,
            agent_attached: resolved.agent_attached,
            paused: resolved.paused,
            away: away(resolved, language),
            looks: None,
            limits: ConfiguredLimits { content_bytes: resolved.max_content_bytes },
            origins: &resolved.allowed_origins,
            paths: Paths { base: link.path(), page: None },
        }
    }

    /// Adds the owner's looks, which the page itself has as HTML.
    pub(super) fn with(self, looks: &'a Looks<'a>) -> Self {
        Self { looks: Some(ConfiguredLooks::new(looks)), ..self }
    }

    /// Says where the page itself is.
    pub(super) fn at(mut self, page: String) -> Self {
        self.paths.page = Some(page);
        self
    }
}

impl<'a> ConfiguredLooks<'a> {
    fn new(shown: &'a Looks<'a>) -> Self {
        let looks = shown.set();
        Self {
            accent: &looks.accent,
            theme: match looks.theme() {
                Theme::Unspecified => "auto",
                Theme::Light => "light",
                Theme::Dark => "dark",
            },
            starters: &looks.starters,
            placeholder: &looks.placeholder,
            language: &looks.language,
            legal_url: &looks.legal_url,
            presence: &looks.presence,
            hours: &looks.hours,
            away: &looks.away,
            logo: if shown.has_logo() { "logo" } else { "" },
        }
    }
}

/// Returns what the page says outside the link's hours; `None` within them.
pub(super) fn away<'a>(
    resolved: &'a pb::ResolveTokenResponse,
    language: &'static Language,
) -> Option<Away<'a>> {
    let until = resolved.away_until.as_ref()?;
    let text = match resolved.looks.as_ref().map_or("", |looks| &looks.away) {
        "" => language.page("away"),
        text => text,
    };
    Some(Away { text, until: document::time(until)? })
}
