//! Wraps and shortens text to a width, by words where it can.

use crate::printable::printable;
use ratatui::text::Line;

/// Returns the lines of a text, without control characters, each at most `width` columns wide.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    text.split('\n').flat_map(|line| wrap_line(&printable(line), width.max(1))).collect()
}

fn wrap_line(line: &str, width: usize) -> Vec<String> {
    let (mut lines, mut current) = (Vec::new(), String::new());
    for word in line.split_inclusive(' ') {
        if columns(&current) + columns(word.trim_end()) > width && !current.is_empty() {
            lines.push(std::mem::take(&mut current));
        }
        for character in word.chars() {
            let piece = character.to_string();
            let is_full = columns(&current) + columns(&piece) > width;
            if is_full && character == ' ' {
                continue;
            }
            if is_full {
                lines.push(std::mem::take(&mut current));
            }
            current.push(character);
        }
    }
    lines.push(current);
    lines
}

/// Like [`wrap`], but puts what a long line says of a command, such as `/list   show what waits`,
/// below the command.
pub(crate) fn wrap_help(text: &str, width: usize) -> Vec<String> {
    let wrap_entry = |line: &str| {
        let is_long = line.starts_with('/') && columns(line) > width;
        let Some((command, told)) = line.split_once("  ").filter(|_| is_long) else {
            return wrap(line, width);
        };
        let told = wrap(told.trim_start(), width.saturating_sub(4));
        let told = told.into_iter().map(|line| format!("    {line}"));
        wrap(command, width).into_iter().chain(told).collect()
    };
    text.split('\n').flat_map(wrap_entry).collect()
}

/// Returns lines of whole words, each at most `width` columns wide unless it is a single word.
pub(crate) fn wrap_words(text: &str, width: usize) -> Vec<String> {
    if columns(text) <= width {
        return vec![text.to_owned()];
    }
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines
}

/// Returns how many columns of a terminal a text takes.
pub(crate) fn columns(text: &str) -> usize {
    Line::raw(text).width()
}

/// Returns a line, cut to `width` columns. If something is cut off, the line ends with `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text = printable(text);
    if columns(&text) <= width {
        return text.into_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        if columns(&cut) + columns(character.encode_utf8(&mut [0; 4])) >= width {
            break;
        }
        cut.push(character);
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_or_else_anywhere() {
        assert_eq!(wrap("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrap_words("one two three-and-four", 8), ["one two", "three-and-four"]);
        assert_eq!(wrap("abcdefgh\n\nx", 3), ["abc", "def", "gh", "", "x"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("a\x1b[2Jb", 9), ["a [2Jb"]);
        let help = ["/list", "    show ", "    what ", "    waits"];
        assert_eq!(wrap_help("/list   show what waits", 9), help);
        assert_eq!(wrap_help("/r   ok", 9), ["/r   ok"]);
        assert_eq!((cut("日本語", 5), cut("abc", 3)), ("日本…".into(), "abc".into()));
    }
}
