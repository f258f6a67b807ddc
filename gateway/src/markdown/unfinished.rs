//! Completes the markup at the end of a text that is still being written.

use super::parse;
use pulldown_cmark::{Event, Tag, TagEnd};
use std::{borrow::Cow, ops::Range};

const MARKERS: [char; 4] = ['*', '_', '~', '`'];
/// How many open marks to close, at most. If more are open, they are not meant as markup.
const MOST_OPEN: usize = 3;

/// Closes what the last block of a half-written text leaves open: `**bol` becomes `**bol**`, and
/// `[a](http` becomes `a`. Leaves out marks at the very end until more text follows them.
pub(super) fn complete(block: &str) -> Cow<'_, str> {
    let written = block.trim_end_matches(MARKERS);
    let Some(Ending { link, open }) = ending(written) else {
        // In code, only the marker that ends it is markup.
        return if block.ends_with('`') { written.to_owned().into() } else { block.into() };
    };
    let mut text = written.trim_end().to_owned();
    let mut shown = text.len();
    if let Some(Link { start, label }) = link {
        shown = label.end;
        text = format!("{}{}", &written[..start], &written[label]);
    }
    let closing = open.into_iter().rev().filter(|mark| mark.end <= shown);
    closing.for_each(|mark| text.push_str(&written[mark]));
    if text == block.trim_end() { block.into() } else { text.into() }
}

/// The markup that is open at the end of a text.
#[derive(Default)]
struct Ending {
    link: Option<Link>,
    /// The marks that open something.
    open: Vec<Range<usize>>,
}

/// A link that is not yet whole.
struct Link {
    start: usize,
    label: Range<usize>,
}

/// Reads the marks that the parser takes for text, in the last paragraph. `None` if the text ends
/// elsewhere, such as in code.
fn ending(text: &str) -> Option<Ending> {
    let mut ending = Some(Ending::default());
    let (mut in_code, mut bracket, mut read) = (false, None, 0);
    for (event, range) in parse(text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => (ending, in_code) = (None, true),
            Event::End(TagEnd::CodeBlock) => in_code = false,
            // The parser fills a row with empty cells. After a bar, there is nothing in a cell yet.
            Event::Start(Tag::TableCell) if range.is_empty() => {}
            Event::End(TagEnd::Table) if text.trim_end().ends_with('|') => ending = None,
            Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::Item | Tag::TableCell) => {
                (ending, bracket) = (Some(Ending::default()), None);
            }
            Event::Text(_) if !in_code => {
                if let Some(ending) = &mut ending {
                    // The parser may split a run of marks.
                    let unread = range.start.max(read)..range.end.max(read);
                    read = read_marks(text, unread, &mut ending.open);
                }
                bracket = text[range.clone()].rfind('[').map(|at| range.start + at).or(bracket);
            }
            _ => {}
        }
    }
    // A blank line ends the paragraph, and what is open stays text.
    let mut ending = ending.filter(|ending| {
        ending.open.len() <= MOST_OPEN && !text.trim_end_matches([' ', '\t']).ends_with("\n\n")
    })?;
    ending.link = bracket.and_then(|at| link(text, at));
    Some(ending)
}

/// Returns the link that begins with this bracket and is not yet whole.
fn link(text: &str, bracket: usize) -> Option<Link> {
    let from = bracket + 1;
    let rest = text[from..].trim_end();
    let label = match rest.split_once(']') {
        None => rest,
        Some((label, "")) => label,
        Some((label, target)) if target.starts_with('(') && !target.contains(')') => label,
        Some(_) => return None,
    };
    // A footnote's label is not text.
    let label = if label.starts_with('^') { "" } else { label };
    let is_image = text[..bracket].ends_with('!');
    Some(Link { start: bracket - usize::from(is_image), label: from..from + label.len() })
}

/// Notes the marks in a part of a text: each opens something, or closes what the same mark has
/// opened. Returns how far it has read: to the end of the last run of marks.
fn read_marks(text: &str, part: Range<usize>, open: &mut Vec<Range<usize>>) -> usize {
    let mut at = part.start;
    while let Some(found) = text.get(at..part.end).and_then(|rest| rest.find(MARKERS)) {
        let from = at + found;
        let mark = text[from..].chars().next().unwrap_or_default();
        let run = text[from..].trim_start_matches(mark);
        at = text.len() - run.len();
        let (marks, before) = (&text[from..at], text[..from].chars().next_back());
        let last = open.last().map(|last| &text[last.clone()]);
        if last == Some(marks) {
            open.pop();
            continue;
        }
        let opens = run.starts_with(|next: char| !next.is_whitespace())
            && before.is_none_or(|before| !before.is_alphanumeric() && before != '\\')
            && marks.len() <= 3
            && (mark != '~' || marks.len() == 2);
        if opens && last.is_none_or(|last| !last.starts_with('`')) {
            open.push(from..at);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_written_is_completed() {
        for (text, completed) in [
            ("a **bol", "a **bol**"),
            ("a **bold*", "a **bold**"),
            ("a **", "a"),
            ("a **bold *both", "a **bold *both***"),
            ("- one\n- a `cod", "- one\n- a `cod`"),
            ("`a **b", "`a **b`"),
            ("~~gon", "~~gon~~"),
            ("[a lin", "a lin"),
            ("see [a link](https://a.exa/_b", "see a link"),
            ("```\na\n``", "```\na\n"),
            ("an ![image](https", "an image"),
            ("a fact[^1", "a fact"),
            ("**see [a li", "**see a li**"),
            ("two\n**lines\n", "two\n**lines**"),
            ("| a | b |\n|---|---|\n| **c", "| a | b |\n|---|---|\n| **c**"),
        ] {
            assert_eq!(complete(text), completed, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_markup_stays() {
        for text in [
            "2 * 3 is 6",
            "snake_case and 2*3",
            "a **whole** and *one*",
            "[a](https://a.example) and more",
            "[1] is a note",
            "```\nlet a = \"**b",
            "    indented **code",
            "an **asterisk\n\n",
            "| a | b |\n|---|---|\n| **c |",
            r"an \*escaped one",
            "*a **b ***c `d *e",
            "",
        ] {
            assert_eq!(complete(text), text);
        }
    }
}
