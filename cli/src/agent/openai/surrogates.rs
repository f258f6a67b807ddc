//! Mends JSON whose strings are cut within a character: some endpoints cut a reply between the two
//! halves of a UTF-16 surrogate pair, `\ud83d` and `\ude00`. `serde_json` refuses each half alone.

/// Keeps the first half of a character until the second comes.
#[derive(Default)]
pub(super) struct Mender {
    high: Option<String>,
}

impl Mender {
    /// Moves a first half that stands alone, so that it comes right before its second half, which
    /// may be in a later document. A second half without a first becomes U+FFFD; a first half
    /// without a second is left out.
    pub(super) fn mend(&mut self, document: &str) -> String {
        let mut mended = String::with_capacity(document.len() + 6);
        let mut rest = document;
        while let Some(at) = rest.find('\\') {
            mended += &rest[..at];
            rest = &rest[at..];
            let escape = match half(rest) {
                Some(Half::High) if half(&rest[6..]) == Some(Half::Low) => {
                    mended += &rest[..12];
                    12
                }
                Some(Half::High) => {
                    self.high = Some(rest[..6].to_owned());
                    6
                }
                Some(Half::Low) => {
                    match self.high.take() {
                        Some(high) => mended += &(high + &rest[..6]),
                        None => mended.push(char::REPLACEMENT_CHARACTER),
                    }
                    6
                }
                // Another escape, such as `\\`: its second character begins no escape.
                None => {
                    let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                    mended += &rest[..length];
                    length
                }
            };
            rest = &rest[escape..];
        }
        mended + rest
    }
}

#[derive(PartialEq)]
enum Half {
    High,
    Low,
}

/// Returns which half of a pair the text begins with, if any.
fn half(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads documents that come one after another.
    fn read(documents: &[&str]) -> Vec<String> {
        let mut mender = Mender::default();
        let mended = documents.iter().map(|document| mender.mend(document));
        mended.map(|document| serde_json::from_str(&document).expect("it is JSON")).collect()
    }

    #[test]
    fn halves_are_joined() {
        assert_eq!(read(&[r#""a\ud83d""#, r#""\ude00b""#]), ["a", "\u{1f600}b"]);
        assert_eq!(read(&[r#""a\ud83d""#, r#""b""#, r#""c\uDE00""#]), ["a", "b", "c\u{1f600}"]);
        assert_eq!(read(&[r#""\ud83d\ude00 \\ud83d \u00e9""#]), ["\u{1f600} \\ud83d \u{e9}"]);
        assert_eq!(read(&[r#""\ude00""#, r#""\ud83dx""#]), ["\u{fffd}", "x"]);
    }
}
