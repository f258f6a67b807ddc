//! Reads text, messages and lines from bytes that come in pieces.

use super::ansi::Stripper;

/// Joins characters that were cut between two reads. Bytes that are not UTF-8 become U+FFFD.
#[derive(Default)]
pub(super) struct Decoder {
    /// The beginning of a character, at most three bytes.
    rest: Vec<u8>,
}

impl Decoder {
    /// Adds bytes. Returns the text that is complete now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.rest.len());
        let (mut used, mut kept) = (0, 0);
        for chunk in self.rest.utf8_chunks() {
            let invalid = chunk.invalid();
            used += chunk.valid().len() + invalid.len();
            text.push_str(chunk.valid());
            if used == self.rest.len() && is_beginning(invalid) {
                kept = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.rest.drain(..self.rest.len() - kept);
        text
    }

    /// Ends the text. Returns U+FFFD if a character was cut off.
    pub(super) fn finish(&mut self) -> &'static str {
        let cut_off = !std::mem::take(&mut self.rest).is_empty();
        if cut_off { "\u{FFFD}" } else { "" }
    }
}

/// Whether more bytes could complete these into a character.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Collects the finished form of a message that is sent in deltas.
#[derive(Default)]
pub(super) struct Whole {
    text: String,
    too_long: bool,
}

impl Whole {
    /// How many bytes are collected, at most: no frame holds a longer message.
    const MAX_BYTES: usize = 64 << 10;

    /// Adds a delta.
    pub(super) fn push(&mut self, text: &str) {
        self.too_long |= self.text.len() + text.len() > Self::MAX_BYTES;
        if !self.too_long {
            self.text.push_str(text);
        }
    }

    /// Returns the message, unless it is empty or too long, and begins the next one. As in a
    /// shell's `$(…)`, the line ends after the text are not part of it.
    pub(super) fn take(&mut self) -> Option<String> {
        let Self { mut text, too_long } = std::mem::take(self);
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        (!too_long && !text.is_empty()).then_some(text)
    }
}

/// Cuts a program's standard error, or a model's reasoning, into lines. Keeps the first
/// [`Lines::MAX_BYTES`] bytes of each.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    const MAX_BYTES: usize = 1000;

    /// Adds bytes. Returns the lines that they complete, without terminal sequences, and leaves out
    /// blank ones. A carriage return ends a line, too, since programs that show their progress use
    /// it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                lines.extend(self.take());
            } else if self.line.len() < Self::MAX_BYTES {
                self.line.push(*byte);
            }
        }
        lines
    }

    /// Ends the current line. Returns it, unless it is blank.
    pub(super) fn take(&mut self) -> Option<String> {
        let line = Stripper::default().strip(&String::from_utf8_lossy(&self.line));
        let line = line.trim().to_owned();
        self.line.clear();
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes these reads, one after another.
    fn decode(reads: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut texts: Vec<_> = reads.iter().map(|bytes| decoder.push(bytes)).collect();
        texts.push(decoder.finish().into());
        texts
    }

    #[test]
    fn any_cut_gives_the_same_text() {
        let text = "aé€😀z".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let reads = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(decode(&reads).concat().as_bytes(), text, "{first} {second}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced_at_once() {
        assert_eq!(decode(&[b"a\xffb"]), ["a\u{FFFD}b", ""]);
        assert_eq!(decode(&[b"\xe2\x82", b"a"]), ["", "\u{FFFD}a", ""]);
        assert_eq!(decode(&[b"a\xf0\x9f"]), ["a", "\u{FFFD}"], "cut off by the end");
    }

    #[test]
    fn lines_are_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\n\n10%\r20%\rtw"), ["one", "10%", "20%"]);
        assert_eq!(lines.push(b"o\n"), ["two"]);
        assert_eq!(lines.take(), None);
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(&[b'x'; 5000]), [""; 0]);
        assert_eq!(lines.take().map(|line| line.len()), Some(Lines::MAX_BYTES));
    }
}
