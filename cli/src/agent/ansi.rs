//! Removes the escape sequences for terminals, such as colours, from a program's output, since the
//! page that shows it would not interpret them.

/// Removes the sequences from text that comes in pieces. The variant says where the last piece
/// ended, since a sequence may be cut between two pieces.
#[derive(Clone, Copy, Default)]
pub(super) enum Stripper {
    #[default]
    Text,
    /// After ESC, and maybe intermediate characters.
    Escape,
    /// In a control sequence, `ESC [ … final`.
    Control,
    /// In a string, such as a title or a link, until BEL, U+009C, CAN, SUB or any ESC.
    String,
    /// After ESC in a string.
    StringEscape,
}

impl Stripper {
    /// Returns the next piece of text without its sequences.
    pub(super) fn strip(&mut self, text: &str) -> String {
        text.chars().filter(|c| self.is_text(*c)).collect()
    }

    fn is_text(&mut self, c: char) -> bool {
        *self = match (*self, c) {
            (Self::String, '\x1b') => Self::StringEscape,
            (Self::String, '\x07' | '\u{9c}' | '\x18' | '\x1a') => Self::Text,
            (Self::String, _) => Self::String,
            (Self::StringEscape, '\\') => Self::Text,
            (_, '\x1b') => Self::Escape,
            (Self::Text, '\u{9b}') => Self::Control,
            (Self::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => Self::String,
            (Self::Escape | Self::StringEscape, '[') => Self::Control,
            (Self::Escape | Self::StringEscape, ']' | 'P' | 'X' | '^' | '_') => Self::String,
            (Self::Escape | Self::StringEscape, ' '..='/') => Self::Escape,
            (Self::Escape | Self::StringEscape, '0'..='~')
            | (Self::Control, '@'..='~' | '\x18' | '\x1a') => Self::Text,
            (Self::Control, ' '..='?') => Self::Control,
            // Any other character is text. Within a sequence, it ends that sequence.
            _ => {
                *self = Self::Text;
                return true;
            }
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_stripped_whole_wherever_they_are_cut() {
        let text =
            "\x1b[1;31mréd\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x1b(Ba\u{9b}2Jb\n\t";
        for (at, _) in text.char_indices() {
            let mut stripper = Stripper::default();
            let stripped = stripper.strip(&text[..at]) + &stripper.strip(&text[at..]);
            assert_eq!(stripped, "réd link ab\n\t", "cut at {at}");
        }
        assert_eq!(Stripper::default().strip("\x1b[31\nred"), "\nred");
    }
}
