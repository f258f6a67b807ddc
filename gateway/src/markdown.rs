//! Renders Markdown as safe HTML: a whole message, or block by block as it streams in.
//!
//! HTML in a message becomes text, and images become links, so that showing a reply fetches
//! nothing. The sanitiser is the second line of defence.
//!
//! Agents repeat what strangers write, so the work is bounded before it is done: elements that are
//! nested too deeply lose their formatting, and a text that would take the parser too long is shown
//! as plain text.

mod forms;
mod streaming;
mod text;
mod unfinished;

pub(crate) use streaming::{Patch, Streaming};
pub(crate) use text::text;

use ammonia::{Builder, UrlRelative};
use forms::{aligned, forms};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    iter,
    ops::Range,
    sync::LazyLock,
};

/// How many elements may be open at once. The sanitiser's time grows with their number.
const MAX_DEPTH: usize = 32;
/// How many looks at open lists and quotes a text may cost the parser, which looks at each open one
/// on every line. This many take less than a tenth of a second.
const MAX_LOOKS: usize = 4_000_000;

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut sanitiser = Builder::empty();
    sanitiser
        .tags(HashSet::from([
            "a",
            "blockquote",
            "br",
            "code",
            "del",
            "div",
            "em",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "li",
            "ol",
            "p",
            "pre",
            "span",
            "strong",
            "sup",
            "table",
            "tbody",
            "td",
            "th",
            "thead",
            "tr",
            "ul",
        ]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "title"])),
            ("code", HashSet::from(["class"])),
            ("ol", HashSet::from(["start"])),
            ("td", HashSet::from(["align"])),
            ("th", HashSet::from(["align"])),
        ]))
        .allowed_classes(HashMap::from([
            ("div", HashSet::from(["footnote"])),
            ("span", HashSet::from(["task"])),
        ]))
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            ("code", "class") => language(value).map(Cow::Borrowed),
            _ => Some(value.into()),
        })
        // Code reads from left to right, whatever the direction of the text around it.
        .set_tag_attribute_value("code", "dir", "ltr")
        .set_tag_attribute_value("pre", "dir", "ltr")
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel"]))
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank");
    sanitiser
});

/// Renders a whole message: the HTML of each of its blocks. A text that is longer than `max_bytes`,
/// or too costly to parse, becomes one block of plain text.
pub(crate) fn render(text: &str, max_bytes: usize) -> Vec<String> {
    if text.len() > max_bytes || !is_cheap(text) {
        return vec![plain(text)];
    }
    blocks(text).into_iter().map(|block| block.html).collect()
}

/// Shows a person's words as they are. Only addresses in them are links.
pub(crate) fn words(text: &str) -> String {
    html(iter::once(Event::Text(text.into())))
}

/// Returns a code block's class if it names a language.
fn language(class: &str) -> Option<&str> {
    let name = class.strip_prefix("language-")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+#-_.".contains(c);
    (name.len() <= 32 && name.chars().all(is_name)).then_some(class)
}

/// Whether the parser has little to do. Its work is at most the number of lines times the greatest
/// depth of lists and quotes.
fn is_cheap(text: &str) -> bool {
    let (mut lines, mut deepest) = (0, 0);
    for line in text.split(['\n', '\r']) {
        lines += 1;
        deepest = deepest.max(depth(line));
    }
    lines * deepest <= MAX_LOOKS
}

/// Returns the most lists and quotes that may be open in this line. Each takes a marker, or at
/// least two columns of indentation.
fn depth(line: &str) -> usize {
    let (mut columns, mut markers) = (0, 0);
    for byte in line.bytes() {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns += 4,
            b'>' | b'-' | b'+' | b'*' | b'.' | b')' => markers += 1,
            b'0'..=b'9' => {}
            _ => break,
        }
    }
    markers + columns / 2
}

/// Renders a text with its line breaks and without any other formatting.
fn plain(text: &str) -> String {
    let lines = text.lines().flat_map(|line| [Event::HardBreak, Event::Text(line.into())]).skip(1);
    let events = iter::once(Event::Start(Tag::Paragraph))
        .chain(lines)
        .chain(iter::once(Event::End(TagEnd::Paragraph)));
    let mut html = String::new();
    html::push_html(&mut html, events);
    html
}

struct TopLevel {
    start: usize,
    html: String,
}

fn blocks(text: &str) -> Vec<TopLevel> {
    let mut blocks = Vec::new();
    let mut events = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (event, range) in parse(text) {
        if depth == 0 {
            start = range.start;
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            _ => {}
        }
        events.push(event);
        if depth == 0 {
            let html = html(shallow(events.drain(..)));
            blocks.push(TopLevel { start, html });
        }
    }
    blocks
}

fn parse(text: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let events = Parser::new_ext(text, options).into_offset_iter();
    events.map(|(event, range)| (harmless(event), range))
}

/// Drops the elements that are nested too deeply. Their text stays; the text of a dropped block
/// gets lines of its own.
fn shallow<'a>(events: impl Iterator<Item = Event<'a>>) -> impl Iterator<Item = Event<'a>> {
    let (mut open, mut dropped) = (0, 0);
    events.filter_map(move |event| match &event {
        Event::Start(tag) if dropped > 0 || open + levels(tag) > MAX_DEPTH => {
            dropped += 1;
            None
        }
        Event::Start(_) => {
            open += 1;
            Some(event)
        }
        Event::End(end) if dropped > 0 => {
            dropped -= 1;
            (!is_inline(*end)).then_some(Event::SoftBreak)
        }
        Event::End(_) => {
            open -= 1;
            Some(event)
        }
        _ => Some(event),
    })
}

/// Returns how many levels of nesting an element needs before its text: a list also opens an item,
/// a table a row and a cell. If they don't all fit, all of them are dropped.
fn levels(tag: &Tag<'_>) -> usize {
    match tag {
        Tag::List(_) => 2,
        Tag::Table(_) => 3,
        _ => 1,
    }
}

fn is_inline(end: TagEnd) -> bool {
    use TagEnd::{Emphasis, Image, Link, Strikethrough, Strong};
    matches!(end, Emphasis | Image | Link | Strikethrough | Strong)
}

fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        // In a chat, people and models break a line where they want a line break.
        Event::SoftBreak => Event::HardBreak,
        event => event,
    }
}

fn html<'a>(events: impl Iterator<Item = Event<'a>>) -> String {
    let mut html = String::new();
    html::push_html(&mut html, forms(events).into_iter());
    SANITISER.clean(&aligned(&html)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        super::render(text, usize::MAX).concat()
    }

    #[test]
    fn a_rendered_message_runs_and_fetches_nothing() {
        let html = render(
            "<script>alert(1)</script>\n\nhi <b onclick=x>b</b> ![alt](https://a.example/p.png)",
        );
        assert!(
            !html.contains("<script") && !html.contains("<b ") && !html.contains("<img"),
            "{html}"
        );
        assert!(html.contains("&lt;script&gt;"), "{html}");
        assert!(html.contains(r#"href="https://a.example/p.png""#), "{html}");
        for link in
            ["javascript:alert(1)", "data:text/html,x", "//a.example", "/chat/", "vbscript:x"]
        {
            let html = render(&format!("[a]({link})"));
            assert!(!html.contains("href"), "{html}");
        }
    }

    #[test]
    fn text_has_the_forms_of_chats() {
        for (text, part) in [
            ("one\ntwo", "one<br>\ntwo"),
            (
                "at https://a.example/x_y_z?a=1&b=2.",
                r#"href="https://a.example/x_y_z?a=1&amp;b=2""#,
            ),
            ("at https://a.example/x_y_z?a=1&b=2.", "b=2</a>."),
            ("(http://a.example/a_(b))", r#"href="http://a.example/a_(b)""#),
            ("to help@a.example", r#"href="mailto:help@a.example""#),
            ("|a|b|c|\n|:-|:-:|-:|\n|1|2|3|", r#"<td align="right">3</td>"#),
            ("- [x] done", r#"<li><span class="task">☑ </span>done"#),
            ("- [ ] open", r#"<span class="task">☐ </span>open"#),
            ("A fact[^why].\n\n[^why]: Because.", "A fact<sup>why</sup>."),
            ("A fact[^1].\n\n[^1]: Why.", "<div class=\"footnote\"><sup>1</sup>\n<p>Why.</p>"),
            ("```c++\nx\n```", r#"class="language-c++""#),
        ] {
            assert!(render(text).contains(part), "{part}\n{}", render(text));
        }
        for text in ["`https://a.example`", "```\nhttps://a.example\n```", "ftp://a.example", "a:b"]
        {
            assert!(!render(text).contains("<a "), "{}", render(text));
        }
        let twice = render("[https://a.example](https://b.example)");
        assert_eq!(twice.matches("<a ").count(), 1, "{twice}");
        let classes = render("```\"onload=x\ny\n```\n\n```<b>\nz\n```");
        assert!(!classes.contains("class"), "{classes}");
    }

    #[test]
    fn a_persons_words_stay_as_they_are() {
        let html = words("5 * 3 * 2\n# <b> https://a.example/_x_");
        assert!(
            html.starts_with("5 * 3 * 2\n# &lt;b&gt; <a href=\"https://a.example/_x_\""),
            "{html}"
        );
        assert!(!words("javascript://a.example/x").contains("<a"));
    }

    #[test]
    fn links_open_a_new_tab_and_send_no_referrer() {
        let html = render("[a](https://a.example/)");
        for attribute in [r#"rel="noopener noreferrer nofollow""#, r#"target="_blank""#] {
            assert!(html.contains(attribute), "{html}");
        }
    }

    /// Texts that nest `depth` elements of one kind around an x.
    fn nested(depth: usize) -> Vec<String> {
        let around = |open: &str, close: &str| open.repeat(depth) + "x" + &close.repeat(depth);
        let indented = |marker: &str| {
            let lines = (0..depth.min(300)).map(|level| {
                let indent = " ".repeat(level * marker.len());
                format!("{indent}{marker}{level}\n")
            });
            lines.collect::<String>() + &" ".repeat(depth.min(300) * marker.len()) + "x"
        };
        let mut texts: Vec<_> = ["+\t", "- ", "- > ", ">", "> ", "1. ", "1) ", "> - 1. ", "- - > "]
            .iter()
            .map(|open| around(open, ""))
            .collect();
        texts.extend([
            around("*a ", " b*"),
            around("**_a ", " b_**"),
            around("~~a *", "* b~~"),
            around("[", "](a)"),
            around("![", "](a)"),
            around("[*", "*](a)"),
            around("> ", "") + "\n" + &around("> ", ""),
            "> ".repeat(depth)
                + "|a|b|\n"
                + &"> ".repeat(depth)
                + "|-|-|\n"
                + &around("> ", "")
                + "|1|",
            indented("- "),
            indented("1. "),
            indented("- > "),
        ]);
        texts
    }

    #[test]
    fn deep_nesting_loses_its_form_and_keeps_its_text() {
        for text in nested(2_000) {
            let html = render(&text);
            let start = &text[..text.len().min(20)];
            assert!(html.contains('x'), "{start:?}");
            let mut depth: usize = 0;
            for tag in html.split('<').skip(1).filter(|tag| !tag.starts_with("br")) {
                depth = if tag.starts_with('/') { depth - 1 } else { depth + 1 };
                assert!(depth <= MAX_DEPTH, "{start:?}");
            }
            assert_eq!(depth, 0, "{start:?}");
        }
        let ten = "- ".repeat(10) + "x";
        assert_eq!(render(&ten).matches("<li>").count(), 10);
        assert_eq!(render("- a\n  - |b|\n    |-|\n    |c|").matches("<td>").count(), 1);
    }

    #[test]
    fn a_text_that_is_costly_to_parse_is_shown_as_it_is() {
        let fence = "- ".repeat(15_000) + "```\n" + &"\n".repeat(30_000);
        let html = render(&fence);
        assert!(html.starts_with("<p>- - - ") && html.contains("```<br />"), "{}", &html[..100]);
        let long = "*a* <b>\n".repeat(1_000);
        assert_eq!(
            super::render(&long, long.len() - 1).concat().matches("*a* &lt;b&gt;").count(),
            1_000
        );
        assert_eq!(super::render(&long, long.len()).concat().matches("<em>").count(), 1_000);
    }
}
