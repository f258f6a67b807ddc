//! How a chat page looks, and what it says besides its name and greeting.

use crate::{
    hook_request::Blob,
    hours::Hours,
    ids::TokenId,
    names,
    refusal::Refusal,
    time::Time,
    transaction::{Record, Tx},
};
use serde::{Deserialize, Serialize};

const MAX_STARTERS: usize = 6;
const MAX_STARTER_CHARS: usize = 100;
const MAX_PLACEHOLDER_CHARS: usize = 100;
const MAX_PRESENCE_CHARS: usize = 100;
const MAX_AWAY_CHARS: usize = 300;
/// RFC 5646 asks programs to take tags of this length at least.
const MAX_LANGUAGE_BYTES: usize = 35;
const MAX_URL_BYTES: usize = 500;
const MAX_LOGO_BYTES: u32 = 64 << 10;

/// A link's looks. An empty field means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Looks {
    /// `#rrggbb`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) accent: String,
    /// `None`: as the visitor's system is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) theme: Option<Theme>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) starters: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) placeholder: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) language: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) legal_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) presence: String,
    /// The text of [`Hours`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) hours: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) away: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logo: Option<LogoInfo>,
}

/// What a token's record says about its [`Logo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogoInfo {
    pub(crate) picture: Picture,
    bytes: u32,
}

/// Whether a page is light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Theme {
    Light,
    Dark,
}

/// The format of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Picture {
    Png,
    Jpeg,
    Webp,
    Svg,
}

impl Looks {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the form and the length of each field.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a field that doesn't fit.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let invalid = |why: String| Err(Refusal::Invalid(why));
        let Self { accent, starters, placeholder, language, legal_url, presence, away, .. } = self;
        if !accent.is_empty() && !is_colour(accent) {
            return invalid(format!("an accent is a colour like #17614f, not {accent:?}"));
        }
        if starters.len() > MAX_STARTERS {
            return invalid(format!("a link has at most {MAX_STARTERS} starters"));
        }
        if starters.iter().any(|starter| starter.trim().is_empty()) {
            return invalid("a starter must not be empty".to_owned());
        }
        let starters = starters.iter().map(|text| ("starter", text, MAX_STARTER_CHARS));
        let texts = [
            ("placeholder", placeholder, MAX_PLACEHOLDER_CHARS),
            ("presence", presence, MAX_PRESENCE_CHARS),
            ("text for outside of the hours", away, MAX_AWAY_CHARS),
        ];
        for (what, text, most) in texts.into_iter().chain(starters) {
            if text.chars().count() > most {
                return invalid(format!("a {what} has at most {most} characters"));
            }
        }
        if !language.is_empty() && !is_language(language) {
            return invalid(format!("a language is a tag like de or pt-BR, not {language:?}"));
        }
        if !legal_url.is_empty() && !is_url(legal_url) {
            return invalid(format!(
                "a legal URL begins with https:// and has at most {MAX_URL_BYTES} bytes and no spaces"
            ));
        }
        if self.hours.is_empty() {
            return Ok(());
        }
        Hours::parse(&self.hours).map(drop)
    }

    /// Returns when the hours begin next; `None` if they are now, or there are none.
    pub(crate) fn away_until(&self, now: Time) -> Option<Time> {
        // The hours were checked when they were stored, but their zone may be unknown by now.
        Hours::parse(&self.hours).ok()?.begin_after(now)
    }

    /// Returns what to say when nobody has answered, if the owner has words for this time.
    pub(crate) fn away_now(&self, now: Time) -> Option<&str> {
        let away = Some(self.away.as_str()).filter(|away| !away.is_empty());
        away.filter(|_| self.away_until(now).is_some())
    }
}

fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#');
    digits.is_some_and(|d| d.len() == 6 && d.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a text has the form of a BCP 47 tag.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    tag.len() <= MAX_LANGUAGE_BYTES
        && (2..=8).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(is_part)
}

fn is_url(text: &str) -> bool {
    let host = text.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    host.is_some_and(|host| !host.is_empty())
        && text.len() <= MAX_URL_BYTES
        && text.chars().all(is_plain)
}

/// A link's logo. It is a record of its own, since only the request for the picture needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Logo {
    pub(crate) info: LogoInfo,
    pub(crate) content: Blob,
}

impl Record for Logo {
    type Id = TokenId;

    fn name(id: &TokenId) -> String {
        names::logo(id)
    }
}

impl LogoInfo {
    /// Counts the logo's bytes as kept for its tenant. The commit is refused if there is no room.
    pub(crate) fn charge(self, tx: &mut Tx<'_>, root: &str) {
        let (counter, most) = (names::kept_of_tenant(root), tx.limits.tenant_bytes);
        let why = format!("{root} has {most} bytes of messages and texts");
        tx.limit_count(counter.clone(), self.bytes.into(), most, Refusal::LimitReached(why));
        tx.count(counter, self.bytes.into());
    }

    /// Stops counting the logo's bytes.
    pub(crate) fn give_back(self, tx: &mut Tx<'_>, root: &str) {
        tx.count(names::kept_of_tenant(root), -i64::from(self.bytes));
    }
}

impl Logo {
    /// Recognises the format of a picture by its first bytes.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if it has another format or is too large.
    pub(crate) fn parse(content: &[u8]) -> Result<Self, Refusal> {
        let bytes = u32::try_from(content.len()).ok().filter(|bytes| *bytes <= MAX_LOGO_BYTES);
        let too_large =
            || Refusal::invalid(format!("a logo has at most {} KiB", MAX_LOGO_BYTES >> 10));
        let bytes = bytes.ok_or_else(too_large)?;
        let picture = match content {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Picture::Png,
            [0xff, 0xd8, 0xff, ..] => Picture::Jpeg,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Picture::Webp,
            _ if is_svg(content) => Picture::Svg,
            _ => return Err(Refusal::invalid("a logo is a PNG, JPEG, WebP or SVG picture")),
        };
        Ok(Self { info: LogoInfo { picture, bytes }, content: Blob::new(content) })
    }
}

/// Whether a file looks like SVG. What is in it doesn't matter: browsers show it as a picture,
/// which runs no scripts and makes no requests.
fn is_svg(content: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(content) else { return false };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = ["<svg", "<?xml", "<!--", "<!DOCTYPE svg"];
    begins.iter().any(|begin| text.starts_with(begin)) && text.contains("<svg")
}

impl Picture {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Svg => "image/svg+xml",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_a_form_and_a_bound() {
        let fits = |change: &dyn Fn(&mut Looks)| {
            let mut looks = Looks::default();
            change(&mut looks);
            looks.check().is_ok()
        };
        assert!(fits(&|_| {}));
        for (accent, expected) in
            [("#Ff00a9", true), ("#fff", false), ("red", false), ("#00000é", false)]
        {
            assert_eq!(fits(&|looks| looks.accent = accent.into()), expected, "{accent}");
        }
        for (tag, expected) in [
            ("de", true),
            ("pt-BR", true),
            ("zh-Hant-TW", true),
            ("d", false),
            ("de\"", false),
            ("de-", false),
        ] {
            assert_eq!(fits(&|looks| looks.language = tag.into()), expected, "{tag}");
        }
        for (url, expected) in [
            ("https://acme.com/legal?x=1", true),
            ("http://acme.com", false),
            ("https://", false),
            ("https:///x", false),
            ("javascript:alert(1)", false),
            ("https://acme.com/a b", false),
        ] {
            assert_eq!(fits(&|looks| looks.legal_url = url.into()), expected, "{url}");
        }
        assert!(!fits(&|looks| looks.starters = vec!["x".into(); MAX_STARTERS + 1]));
        assert!(!fits(&|looks| looks.starters = vec![" ".into()]));
        assert!(!fits(&|looks| looks.presence = "é".repeat(MAX_PRESENCE_CHARS + 1)));
        assert!(fits(&|looks| looks.presence = "é".repeat(MAX_PRESENCE_CHARS)));
    }

    #[test]
    fn a_logo_is_recognised_by_its_content() {
        let picture = |content: &[u8]| Logo::parse(content).map(|logo| logo.info.picture).ok();
        assert_eq!(picture(b"\x89PNG\r\n\x1a\n..."), Some(Picture::Png));
        assert_eq!(picture(b"\xff\xd8\xff\xe0"), Some(Picture::Jpeg));
        assert_eq!(picture(b"RIFF\0\0\0\0WEBPVP8 "), Some(Picture::Webp));
        assert_eq!(picture("\u{feff}<?xml version='1.0'?>\n<svg/>".as_bytes()), Some(Picture::Svg));
        assert_eq!(picture(b"<html><svg/></html>"), None);
        assert_eq!(picture(b"GIF89a"), None);
        assert_eq!(picture(b""), None);
        assert_eq!(
            picture(&[b"<svg>".as_slice(), &[b' '; MAX_LOGO_BYTES as usize]].concat()),
            None
        );
    }
}
