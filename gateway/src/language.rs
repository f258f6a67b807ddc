//! The languages of the chat page and of problems shown as pages: one file of words for each.

use crate::operation::{Argument, Description};
use axum::extract::FromRequestParts;
use http::{HeaderMap, Uri, header::ACCEPT_LANGUAGE, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashMap, convert::Infallible, sync::LazyLock};

/// All languages. Visitors who want none of them get the first one.
pub(crate) static LANGUAGES: LazyLock<[Language; 9]> = LazyLock::new(|| {
    [
        language("en", include_str!("../web/languages/en.json")),
        language("de", include_str!("../web/languages/de.json")),
        language("es", include_str!("../web/languages/es.json")),
        language("fr", include_str!("../web/languages/fr.json")),
        language("pt", include_str!("../web/languages/pt.json")),
        language("pl", include_str!("../web/languages/pl.json")),
        language("ar", include_str!("../web/languages/ar.json")),
        language("zh", include_str!("../web/languages/zh.json")),
        language("ja", include_str!("../web/languages/ja.json")),
    ]
});

/// The query parameter that asks for a language.
const LANG: &str = "lang";

/// How many languages of `Accept-Language` are looked at, at most.
const MOST: usize = 32;

/// A language and its words.
#[derive(Debug)]
pub(crate) struct Language {
    /// The primary subtag of BCP 47.
    pub(crate) tag: &'static str,
    words: Words,
}

#[derive(Debug, Deserialize)]
struct Words {
    /// The words that the page's script has as `words`.
    script: Value,
    /// The words of the page itself, as HTML.
    page: HashMap<String, String>,
    /// The headings of problems by reason or status, and what a visitor can do.
    problem: HashMap<String, String>,
    /// The sentences of problems by reason or status.
    sentence: HashMap<String, String>,
}

#[expect(clippy::expect_used, reason = "a test reads all files")]
fn language(tag: &'static str, file: &str) -> Language {
    Language { tag, words: serde_json::from_str(file).expect("a file of words") }
}

impl Language {
    /// Returns the language of a tag such as `pt-BR`; `None` if there is no file for it.
    fn of(tag: &str) -> Option<&'static Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(primary))
    }

    /// The attributes of the root element.
    pub(crate) fn attributes(&self) -> String {
        let direction = if self.tag == "ar" { r#" dir="rtl""# } else { "" };
        format!(r#"lang="{}"{direction}"#, self.tag)
    }

    pub(crate) fn script(&self) -> &Value {
        &self.words.script
    }

    /// Returns words of the page, as HTML.
    pub(crate) fn page(&'static self, name: &str) -> &'static str {
        self.words.page.get(name).map_or("", String::as_str)
    }

    /// Returns the text of this name that the page's JavaScript shows; empty if there is none.
    pub(crate) fn scripts(&'static self, name: &str) -> &'static str {
        self.words.script[name].as_str().unwrap_or_default()
    }

    pub(crate) fn problem(&'static self, name: &str) -> Option<&'static str> {
        self.words.problem.get(name).map(String::as_str)
    }

    pub(crate) fn sentence(&'static self, name: &str) -> Option<&'static str> {
        self.words.sentence.get(name).map(String::as_str)
    }
}

/// The languages that a request wants.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// By `?lang=`.
    asked: Option<&'static Language>,
    /// By `Accept-Language`.
    accepted: Option<&'static Language>,
}

impl Wanted {
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&');
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        let asked = pairs.filter(|(name, _)| *name == LANG).find_map(|(_, tag)| Language::of(tag));
        Self { asked, accepted: accepted(headers) }
    }

    /// Returns the language for the page of a link whose owner writes in `owners`, which may be
    /// empty.
    pub(crate) fn or(self, owners: &str) -> &'static Language {
        self.asked.or(Language::of(owners)).or(self.accepted).unwrap_or(&LANGUAGES[0])
    }

    /// Returns the hidden field of a form, which keeps the language on the next page; empty if the
    /// visitor has chosen none.
    pub(crate) fn field(self) -> String {
        let field = |language: &Language| {
            format!(r#"<input type="hidden" name="{LANG}" value="{}">"#, language.tag)
        };
        self.asked.map_or_else(String::new, field)
    }

    /// Returns `first` and the query parameter that keeps the language on the next page; empty if
    /// the visitor has chosen none.
    pub(crate) fn query(self, first: &str) -> String {
        self.asked.map_or_else(String::new, |language| format!("{first}{LANG}={}", language.tag))
    }
}

impl Argument for Wanted {
    fn describe(operation: &mut Description<'_>) {
        let description = "The language of the page's own sentences, such as `de`.";
        let schema = json!({ "type": "string", "description": description });
        operation.parameter("query", LANG, false, schema);
    }
}

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.uri, &parts.headers))
    }
}

/// Returns the language to which `Accept-Language` gives the greatest weight; of languages with
/// equal weights, the first.
fn accepted(headers: &HeaderMap) -> Option<&'static Language> {
    let values = headers.get_all(ACCEPT_LANGUAGE).iter();
    let items = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let mut best = (None, 0.0);
    for item in items.take(MOST) {
        let mut parts = item.split(';').map(str::trim);
        let language = parts.next().and_then(Language::of);
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if language.is_some() && weight > best.1 {
            best = (language, weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::collections::{BTreeMap, BTreeSet};

    /// Returns the names of all words, with the placeholders and elements in them.
    fn shape(prefix: &str, value: &Value, shape: &mut BTreeMap<String, BTreeSet<String>>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self::shape(&format!("{prefix}.{name}"), value, shape);
                }
            }
            words => {
                let words = words.as_str().unwrap();
                assert!(!words.trim().is_empty(), "{prefix} is empty");
                let parts = words.split(['{', '}', '<', '>']).skip(1).step_by(2);
                shape.insert(prefix.to_owned(), parts.map(str::to_owned).collect());
            }
        }
    }

    #[test]
    fn every_language_has_all_words_and_their_placeholders() {
        let shape_of = |Language { words, .. }: &Language| {
            let Words { script, page, problem, sentence } = words;
            let all = serde_json::json!([script, page, problem, sentence]);
            let mut found = BTreeMap::new();
            for (at, part) in all.as_array().unwrap().iter().enumerate() {
                shape(&at.to_string(), part, &mut found);
            }
            found
        };
        let [english, others @ ..] = &*LANGUAGES;
        for language in others {
            assert_eq!(shape_of(language), shape_of(english), "{}", language.tag);
        }
    }

    #[test]
    fn the_query_comes_first_then_the_owner_then_the_browser() {
        let wanted = |uri: &'static str, accept: &'static str| {
            let headers =
                HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(accept))]);
            Wanted::of(&Uri::from_static(uri), &headers)
        };
        let tag = |uri, owners: &str, accept| wanted(uri, accept).or(owners).tag;
        assert_eq!(tag("/?conversation=x&lang=pl", "de", "fr"), "pl");
        assert_eq!(tag("/?lang=xx", "de-AT", "fr"), "de");
        assert_eq!(tag("/", "tlh", "nl, fr-CH;q=0.8, es;q=0.9"), "es");
        assert_eq!(tag("/", "", "zh-Hant-TW,zh;q=0.9,en;q=0.8"), "zh");
        assert_eq!(tag("/", "", "ja;q=0, *"), "en");
        assert_eq!(wanted("/?lang=pt-BR", "").query("?"), "?lang=pt");
        assert_eq!(wanted("/", "de").query("?"), "");
    }
}
