//! Text that others wrote, as a terminal may show it.

use std::borrow::Cow;

/// Returns a line without the characters that could control the terminal, hide text or make a text
/// look like another: names and messages come from strangers.
pub(crate) fn printable(line: &str) -> Cow<'_, str> {
    clean(line, shown)
}

/// Does what [`printable`] does, but keeps line feeds and tabs.
pub(crate) fn printable_text(text: &str) -> Cow<'_, str> {
    clean(text, |c| if matches!(c, '\n' | '\t') { Some(c) } else { shown(c) })
}

fn clean(text: &str, shown: impl Fn(char) -> Option<char>) -> Cow<'_, str> {
    if text.chars().all(|c| shown(c) == Some(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter_map(shown).collect())
}

/// Returns what to show for a character: a space for a control character; U+FFFD for a character
/// that reorders text, takes no room or ends a line; nothing for the zero-width joiner, which emoji
/// use, and the zero-width non-joiner; and any other character unchanged.
pub(crate) fn shown(c: char) -> Option<char> {
    match c {
        '\u{200c}' | '\u{200d}' => None,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => Some(char::REPLACEMENT_CHARACTER),
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_others_does_not_control_the_terminal_or_read_as_another() {
        assert_eq!(printable("a\u{9b}2J\x1b\x7f\nb"), "a 2J   b");
        assert_eq!(
            printable("acme\u{202e}gnp\u{200b}\u{2066}\u{e0041}"),
            "acme\u{fffd}gnp\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(printable("👩\u{200d}💻 ❤\u{fe0f} é"), "👩💻 ❤\u{fe0f} é");
    }
}
