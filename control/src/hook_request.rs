//! A webhook's request, as records keep it.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

/// A webhook's request, without its headers and its decoded body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HookRequest {
    pub(crate) method: String,
    /// The path after the link's secret, with its escapes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) query: String,
    /// The body as it was sent, if it had a Content-Encoding.
    #[serde(default, skip_serializing_if = "Blob::is_empty")]
    pub(crate) encoded_content: Blob,
}

impl HookRequest {
    pub(crate) fn size(&self) -> usize {
        let Self { method, path, query, encoded_content } = self;
        method.len() + path.len() + query.len() + encoded_content.size()
    }
}

/// A header of a webhook's request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: Blob,
}

impl Header {
    /// Returns how many bytes the header takes when it is delivered.
    pub(crate) fn size(&self) -> usize {
        self.name.len() + self.value.size()
    }
}

/// Bytes, stored as text if they are UTF-8, so that operators can read them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Blob {
    Text(String),
    Base64(String),
}

impl Blob {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            // Control wrote valid Base64. A corrupt record reads as empty.
            Self::Base64(text) => BASE64.decode(text).unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.size() == 0
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Base64(text) => text.len() / 4 * 3,
        }
    }

    /// Returns the bytes as text; empty if they are not UTF-8.
    pub(crate) fn into_text(self) -> String {
        String::from_utf8(self.into_bytes()).unwrap_or_default()
    }
}

impl Default for Blob {
    fn default() -> Self {
        Self::Text(String::new())
    }
}
