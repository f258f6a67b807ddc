//! The plain text of a Markdown text, for places that can't show formatting.

use pulldown_cmark::{Event, Parser, TagEnd};

/// Returns a text's words in one line, without formatting.
pub(crate) fn text(markdown: &str) -> String {
    let mut words = String::new();
    for event in Parser::new(markdown) {
        match event {
            Event::Text(text) | Event::Code(text) => words.push_str(&text),
            Event::SoftBreak
            | Event::HardBreak
            | Event::End(TagEnd::Paragraph | TagEnd::Item | TagEnd::Heading(_)) => {
                words.push(' ');
            }
            _ => {}
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_line_breaks_are_left_out() {
        let markdown = "# Hello\n\nAsk *anything*\nabout `orders`:\n\n- [tea](https://a.example)\n- <b>cake</b>";
        assert_eq!(text(markdown), "Hello Ask anything about orders: tea cake");
        assert_eq!(text(""), "");
    }
}
