//! Renders Markdown as safe HTML: a whole message, or block by block as it streams in.
//!
//! HTML in a message becomes text, and images become links, so that showing a reply fetches nothing.
//! The sanitiser is the second line of defence.

use ammonia::{Builder, UrlRelative};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::LazyLock,
};

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut sanitiser = Builder::empty();
    sanitiser
        .tags(HashSet::from([
            "a",
            "blockquote",
            "br",
            "code",
            "del",
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
            "strong",
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
            ("ol", HashSet::from(["start"])),
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel"]))
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank");
    sanitiser
});

/// Renders a whole message.
pub(crate) fn render(text: &str) -> String {
    html(parse(text).map(|(event, _)| event))
}

/// A message that is being written. A block is final once a complete line starts the next block. Only
/// the text after the last final block is parsed again.
#[derive(Default)]
pub(crate) struct Streaming {
    text: String,
    /// How many blocks are final, and their length in the text.
    settled: usize,
    settled_bytes: usize,
    /// The HTML of the other blocks, as the reader has it.
    shown: Vec<String>,
}

/// The HTML of block number `index`. The reader drops all blocks after it.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) index: usize,
    pub(crate) html: String,
}

impl Streaming {
    /// Starts with a text of which the reader has nothing.
    pub(crate) fn new(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Returns the whole text so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns how many bytes the next rendering parses.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.text.len() - self.settled_bytes
    }

    /// Renders the blocks that are new or have changed since the last call.
    pub(crate) fn render(&mut self) -> Vec<Block> {
        let tail = &self.text[self.settled_bytes..];
        let blocks = blocks(tail);
        let same = blocks.iter().zip(&self.shown);
        let mut first = same.take_while(|(b, shown)| b.html == **shown).count();
        if first == blocks.len() && first < self.shown.len() {
            // A block is gone, for example because it became a link's definition. Sending the block
            // before it again drops it.
            first = first.saturating_sub(1);
        }
        let changed = blocks.iter().enumerate().skip(first);
        let changed =
            changed.map(|(i, block)| Block { index: self.settled + i, html: block.html.clone() });
        let changed = changed.collect();
        self.settle(blocks);
        changed
    }

    fn settle(&mut self, blocks: Vec<TopLevel>) {
        let tail = &self.text[self.settled_bytes..];
        let line_start = |at: usize| tail[..at].rfind('\n').map_or(0, |newline| newline + 1);
        // An incomplete line may still become part of the block before it.
        let complete = line_start(tail.len());
        let open = blocks.iter().rposition(|block| block.start < complete);
        let open = open.unwrap_or(0);
        // The parser's start of a block excludes its indentation.
        let settled_bytes = blocks.get(open).map_or(0, |block| line_start(block.start));
        self.settled += open;
        self.settled_bytes += settled_bytes;
        self.shown = blocks.into_iter().skip(open).map(|b| b.html).collect();
    }
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
            let html = html(events.drain(..));
            blocks.push(TopLevel { start, html });
        }
    }
    blocks
}

fn parse(text: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(text, options).into_offset_iter();
    events.map(|(event, range)| (harmless(event), range))
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
        event => event,
    }
}

fn html<'a>(events: impl Iterator<Item = Event<'a>>) -> String {
    let mut html = String::new();
    html::push_html(&mut html, events);
    SANITISER.clean(&html).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn links_open_a_new_tab_and_send_no_referrer() {
        let html = render("[a](https://a.example/)");
        for attribute in [r#"rel="noopener noreferrer nofollow""#, r#"target="_blank""#] {
            assert!(html.contains(attribute), "{html}");
        }
    }

    /// Returns the blocks of a page that applies every update.
    fn shown(text: &str, pieces: usize) -> Vec<String> {
        let mut streaming = Streaming::default();
        let mut page: Vec<String> = Vec::new();
        let characters: Vec<_> = text.chars().collect();
        for piece in characters.chunks(pieces) {
            streaming.push(&piece.iter().collect::<String>());
            for Block { index, html } in streaming.render() {
                assert!(index <= page.len(), "block {index} of {}", page.len());
                page.truncate(index);
                page.push(html);
            }
        }
        page
    }

    #[test]
    fn a_streamed_message_renders_like_the_whole_one() {
        let text = "# Title\n\nA *paragraph*\nof two lines.\n\n- one\n- two\n\n  still two\n\n```rust\nlet a = 1;\n\nlet b = 2;\n```\n\n    indented\n\n   - deep\n     - deeper\n\n1. x\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\nlast\n====\nline";
        for pieces in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(shown(text, pieces).concat(), render(text), "pieces of {pieces}");
        }
    }

    #[test]
    fn settled_blocks_are_not_sent_again() {
        let mut streaming = Streaming::new("one\n\ntwo".into());
        assert_eq!(streaming.render().len(), 2);
        assert_eq!(streaming.render(), []);
        streaming.push(" more\n\nthree\n");
        let indexes: Vec<_> = streaming.render().iter().map(|block| block.index).collect();
        assert_eq!(indexes, [1, 2]);
        assert_eq!(streaming.tail_bytes(), "three\n".len());
    }
}
