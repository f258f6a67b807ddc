//! Filters: which deliveries to a webhook make a turn.

use crate::{
    hook_request::{Blob, Header},
    refusal::Refusal,
    signature::check_header,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// How many filters a webhook has, and how many values each, at most.
const MAX_FILTERS: usize = 20;
/// How many bytes a pointer or a value has, at most.
const MAX_TEXT: usize = 200;

/// A condition that each delivery must fulfil: the field has one of the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) field: Field,
    pub(crate) values: Vec<String>,
}

/// A field of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Field {
    /// A header, by its name in lower case.
    Header(String),
    /// A scalar in a body that is JSON, by its JSON pointer (RFC 6901).
    Json(String),
}

/// Checks a webhook's filters.
///
/// # Errors
/// [`Refusal::Invalid`] for too many filters, or a malformed one.
pub(crate) fn check(filters: &[Filter]) -> Result<(), Refusal> {
    if filters.len() > MAX_FILTERS {
        return Err(Refusal::invalid(format!("a webhook has at most {MAX_FILTERS} filters")));
    }
    for Filter { field, values } in filters {
        match field {
            Field::Header(name) => check_header(name)?,
            Field::Json(pointer) => check_pointer(pointer)?,
        }
        if !(1..=MAX_FILTERS).contains(&values.len()) || values.iter().any(|v| v.len() > MAX_TEXT) {
            return Err(Refusal::invalid(format!(
                "a filter has 1 to {MAX_FILTERS} values of at most {MAX_TEXT} bytes"
            )));
        }
    }
    Ok(())
}

fn check_pointer(pointer: &str) -> Result<(), Refusal> {
    let mut escapes = pointer.split('~').skip(1);
    let is_escaped = escapes.all(|rest| rest.starts_with(['0', '1']));
    if pointer.len() <= MAX_TEXT && (pointer.is_empty() || pointer.starts_with('/')) && is_escaped {
        return Ok(());
    }
    Err(Refusal::invalid(format!("a JSON pointer looks like /pull_request/state, not {pointer:?}")))
}

/// Whether a delivery passes all filters.
pub(crate) fn pass(filters: &[Filter], headers: &[Header], body: &[u8]) -> bool {
    filters.iter().all(|Filter { field, values }| match field {
        Field::Header(name) => {
            let named = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            let mut found = named.filter_map(|header| match &header.value {
                Blob::Text(value) => Some(value),
                Blob::Base64(_) => None,
            });
            found.any(|value| values.contains(value))
        }
        Field::Json(pointer) => scalar(body, pointer).is_some_and(|value| values.contains(&value)),
    })
}

/// Returns the text of the scalar at a JSON pointer: a string as it is; `true`, `false` or `null`;
/// or a number in decimal digits without an exponent, so that `1.0` is `1`. `None` if there is no
/// scalar, or the body isn't JSON. Keeps nothing else of the body: once parsed, it could take many
/// times its bytes.
fn scalar(body: &[u8], pointer: &str) -> Option<String> {
    let unescape = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
    let path: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = Pointer(&path).deserialize(&mut json).ok()?;
    json.end().ok()?;
    found
}

/// The segments of a pointer that are still to be followed.
struct Pointer<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Pointer<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl Pointer<'_> {
    /// Returns a scalar, if the pointer ends there.
    fn take<E>(&self, value: impl fmt::Display) -> Result<Option<String>, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }
}

impl<'de> Visitor<'de> for Pointer<'_> {
    type Value = Option<String>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        self.take(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        self.take(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        self.take(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        self.take(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        self.take(value)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        self.take("null")
    }

    /// If several members have the same name, the last one counts, as in most JSON parsers.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            match self.0 {
                [wanted, rest @ ..] if *wanted == name => {
                    found = map.next_value_seed(Pointer(rest))?
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.first().and_then(|index| index.parse::<usize>().ok());
        let (mut found, mut index) = (None, 0);
        loop {
            match (wanted, self.0) {
                (Some(wanted), [_, rest @ ..]) if wanted == index => {
                    let Some(value) = seq.next_element_seed(Pointer(rest))? else {
                        return Ok(found);
                    };
                    found = value;
                }
                _ if seq.next_element::<IgnoredAny>()?.is_none() => return Ok(found),
                _ => {}
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_a_scalar() {
        let body =
            br#"{"action":"opened","a/b":{"~":[1,{"x":true},null,2.5]},"twice":1,"twice":2}"#;
        for (pointer, expected) in [
            ("/action", Some("opened")),
            ("/a~1b/~0/0", Some("1")),
            ("/a~1b/~0/1/x", Some("true")),
            ("/a~1b/~0/2", Some("null")),
            ("/a~1b/~0/3", Some("2.5")),
            ("/twice", Some("2")),
            ("/a~1b/~0/4", None),
            ("/a~1b/~0/-", None),
            ("/a~1b/~0", None),
            ("/action/x", None),
            ("", None),
        ] {
            assert_eq!(scalar(body, pointer).as_deref(), expected, "{pointer}");
        }
        assert_eq!(scalar(b"\"text\"", "").as_deref(), Some("text"));
        assert_eq!(scalar(b"{\"a\":1} x", "/a"), None, "the whole body is JSON");
        assert_eq!(scalar(b"{\"a\":1,", "/a"), None);
        assert_eq!(scalar(&[b'['; 1 << 20], "/0"), None);
    }

    #[test]
    fn wrong_filters_are_refused() {
        let filter = |field, values: &[&str]| Filter {
            field,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        let json = |pointer: &str| Field::Json(pointer.to_owned());
        assert!(check(&[filter(json("/a~1b"), &["x"]), filter(json(""), &[""])]).is_ok());
        for wrong in [json("action"), json("/a~2"), json("/a~"), Field::Header("x y".to_owned())] {
            assert!(check(&[filter(wrong.clone(), &["x"])]).is_err(), "{wrong:?}");
        }
        assert!(check(&[filter(json("/a"), &[])]).is_err());
        assert!(check(&vec![filter(json("/a"), &["x"]); MAX_FILTERS + 1]).is_err());
    }
}
