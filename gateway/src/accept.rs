//! The form of answer that a request prefers.

use http::{HeaderMap, header::ACCEPT};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Accept {
    Json,
    EventStream,
    Html,
}

impl Accept {
    /// Returns the form to which `Accept` gives the greatest weight; of forms with equal weights,
    /// the first. Returns JSON if no form has a weight above 0.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut best = (Self::Json, 0.0);
        for value in headers.get_all(ACCEPT) {
            for item in value.to_str().unwrap_or_default().split(',') {
                let mut parts = item.split(';').map(str::trim);
                let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                    "application/json" | "application/*" | "*/*" => Self::Json,
                    "text/event-stream" => Self::EventStream,
                    "text/html" => Self::Html,
                    _ => continue,
                };
                let weight =
                    parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
                if weight > best.1 {
                    best = (form, weight);
                }
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accept: &'static str) -> Accept {
        Accept::of(&HeaderMap::from_iter([(ACCEPT, http::HeaderValue::from_static(accept))]))
    }

    #[test]
    fn the_greatest_weight_wins_and_the_first_among_equals() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(preferred(browser), Accept::Html);
        assert_eq!(preferred("text/event-stream"), Accept::EventStream);
        assert_eq!(preferred("application/json, text/event-stream"), Accept::Json);
        assert_eq!(preferred("text/html;q=0.1, */*;q=0.2"), Accept::Json);
        assert_eq!(preferred("text/html;q=0"), Accept::Json);
        assert_eq!(preferred("image/png"), Accept::Json);
        assert_eq!(Accept::of(&HeaderMap::new()), Accept::Json);
    }
}
