//! A message that is being written, and the changes of its HTML.

use super::{TopLevel, blocks, is_cheap, unfinished};
use std::{
    borrow::Cow,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
};

/// How many bytes of HTML may be sent beyond twice what is shown: room for short messages.
const SPARE_BYTES: usize = 2 * 1024;

/// A message that is being written. A block is final once a complete line starts the next block.
/// Only the text after the last final block is parsed again.
#[derive(Default)]
pub(crate) struct Streaming {
    text: String,
    /// The final blocks' length in the text, and in HTML.
    settled_bytes: usize,
    settled_html: usize,
    /// A hash of each final block's HTML.
    settled: Vec<u64>,
    /// The HTML of the other blocks, as the reader has it.
    shown: Vec<String>,
    /// How many bytes of HTML the reader has been sent.
    sent: usize,
}

/// What has changed in a message's HTML: `html` replaces all blocks from number `block` on.
#[derive(Debug, PartialEq)]
pub(crate) struct Patch {
    pub(crate) block: usize,
    /// How much of the old block number `block` stays, at its start and at its end, in UTF-16 code
    /// units. The first of `html` goes between.
    pub(crate) keep: usize,
    pub(crate) tail: usize,
    /// The HTML of the new blocks, except for the parts of the first one that stay.
    pub(crate) html: Vec<String>,
}

impl Streaming {
    /// Starts with a text, none of which has been sent to the reader.
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

    /// Returns what has changed since the last call. `None` if nothing has, if the text is too long
    /// or costly, or if the reader has been sent too much for what is shown. A later call may then
    /// return the change.
    pub(crate) fn render(&mut self, max_bytes: usize) -> Option<Patch> {
        let tail = &self.text[self.settled_bytes..];
        if self.text.len() > max_bytes || !is_cheap(tail) {
            return None;
        }
        let blocks = written(tail);
        let html: Vec<_> = blocks.iter().map(|block| block.html.as_str()).collect();
        let patch = Patch::between(self.settled.len(), &self.shown, &html);
        let bytes = patch.as_ref().map_or(0, Patch::bytes);
        let seen = self.settled_html + html.iter().map(|html| html.len()).sum::<usize>();
        if self.sent + bytes > 2 * seen + SPARE_BYTES {
            return None;
        }
        self.sent += bytes;
        self.settle(blocks);
        patch
    }

    fn settle(&mut self, blocks: Vec<TopLevel>) {
        let tail = &self.text[self.settled_bytes..];
        // An incomplete last line may still join the block before it.
        let complete = line_start(tail, tail.len());
        let open = blocks.iter().rposition(|block| block.start < complete);
        let open = open.unwrap_or(0);
        // The parser's start of a block excludes its indentation.
        let settled_bytes = blocks.get(open).map_or(0, |block| line_start(tail, block.start));
        self.settled_bytes += settled_bytes;
        let mut blocks = blocks.into_iter().map(|block| block.html);
        for html in blocks.by_ref().take(open) {
            self.settled_html += html.len();
            self.settled.push(hash(&html));
        }
        self.shown = blocks.collect();
    }

    /// Returns what the reader lacks of the finished message, which has these blocks. If the reader
    /// lacks nothing, the patch says only how many blocks there are.
    pub(crate) fn finish(&self, whole: &[String]) -> Patch {
        let same = self.settled.iter().zip(whole).take_while(|(known, html)| **known == hash(html));
        let same = same.count();
        let shown = if same == self.settled.len() { &*self.shown } else { &[] };
        let patch = Patch::between(same, shown, &whole[same..]);
        patch.unwrap_or_else(|| Patch { block: whole.len(), keep: 0, tail: 0, html: Vec::new() })
    }
}

/// Renders the blocks of a text. Completes unfinished markup in the last block.
fn written(text: &str) -> Vec<TopLevel> {
    let mut blocks = blocks(text);
    let last = blocks.last().map_or(0, |block| line_start(text, block.start));
    if let Cow::Owned(completed) = unfinished::complete(&text[last..]) {
        blocks.pop();
        let completed = super::blocks(&completed).into_iter();
        blocks.extend(completed.map(|block| TopLevel { start: last + block.start, ..block }));
    }
    blocks
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

impl Patch {
    /// Compares the blocks from number `first` on.
    fn between(first: usize, old: &[impl AsRef<str>], new: &[impl AsRef<str>]) -> Option<Self> {
        let pairs = old.iter().zip(new);
        let same = pairs.take_while(|(old, new)| old.as_ref() == new.as_ref()).count();
        if same == old.len() && same == new.len() {
            return None;
        }
        let mut html: Vec<_> = new[same..].iter().map(|html| html.as_ref().to_owned()).collect();
        let (mut keep, mut tail) = (0, 0);
        if let (Some(old), Some(new)) = (old.get(same), html.first_mut()) {
            let old = old.as_ref();
            let start = common(old.chars(), new.chars());
            let end = common(old[start..].chars().rev(), new[start..].chars().rev());
            keep = units(&new[..start]);
            tail = units(&new[new.len() - end..]);
            *new = new[start..new.len() - end].to_owned();
        }
        Some(Self { block: first + same, keep, tail, html })
    }

    fn bytes(&self) -> usize {
        self.html.iter().map(String::len).sum()
    }
}

/// Returns how many bytes two texts have in common where they begin.
fn common(one: impl Iterator<Item = char>, other: impl Iterator<Item = char>) -> usize {
    one.zip(other).take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8()).sum()
}

/// Returns a text's length in UTF-16 code units, as JavaScript counts.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn hash(html: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markdown::render;

    /// A reader of the changes.
    #[derive(Default)]
    struct Page {
        blocks: Vec<String>,
        bytes: usize,
    }

    impl Page {
        fn apply(&mut self, Patch { block, keep, tail, html }: Patch) {
            self.bytes += html.iter().map(String::len).sum::<usize>();
            assert!(block <= self.blocks.len(), "block {block} of {}", self.blocks.len());
            let old = self.blocks.get(block).cloned().unwrap_or_default();
            self.blocks.truncate(block);
            self.blocks.extend(html);
            if keep + tail > 0 {
                let old: Vec<_> = old.encode_utf16().collect();
                let kept = |units: &[u16]| String::from_utf16(units).unwrap();
                let new = &mut self.blocks[block];
                *new = kept(&old[..keep]) + new + &kept(&old[old.len() - tail..]);
            }
        }
    }

    /// Streams `text` in pieces of `pieces` characters, and returns the page that the patches make.
    /// Finishes the message at the end if `finish`.
    fn read(text: &str, pieces: usize, finish: bool) -> Page {
        let mut streaming = Streaming::default();
        let mut page = Page::default();
        let characters: Vec<_> = text.chars().collect();
        for piece in characters.chunks(pieces) {
            streaming.push(&piece.iter().collect::<String>());
            if let Some(patch) = streaming.render(usize::MAX) {
                page.apply(patch);
            }
        }
        if finish {
            page.apply(streaming.finish(&render(text, usize::MAX)));
        }
        page
    }

    const DOCUMENT: &str = "# Title\n\nA *paragraph*\nof two lines — ☕ 🦀.\n\n- one\n- two\n\n  still two\n\n```rust\nlet a = 1;\n\nlet b = 2;\n```\n\n    indented\n\n   - deep\n     - deeper\n\n1. x\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\nlast\n====\nline";

    #[test]
    fn a_streamed_message_renders_like_the_whole_one() {
        for pieces in [1, 2, 3, 7, 50, 1000] {
            for finish in [false, true] {
                let page = read(DOCUMENT, pieces, finish);
                assert_eq!(page.blocks, render(DOCUMENT, usize::MAX), "pieces of {pieces}");
            }
        }
    }

    #[test]
    fn a_block_that_a_later_one_changes_is_sent_when_the_message_is_finished() {
        let text = "Before.\n\nSee [this] ☕.\n\nMore.\n\n[this]: https://a.example/\n";
        let page = read(text, 1, true);
        assert_eq!(page.blocks, render(text, usize::MAX));
        assert!(page.blocks[1].contains("https://a.example/"), "{:?}", page.blocks);
    }

    #[test]
    fn settled_blocks_are_not_sent_again() {
        let mut streaming = Streaming::new("one\n\ntwo".into());
        let patch = streaming.render(usize::MAX).unwrap();
        assert_eq!((patch.block, patch.html.len()), (0, 2));
        assert_eq!(streaming.render(usize::MAX), None);
        streaming.push(" more\n\nthree\n");
        let patch = streaming.render(usize::MAX).unwrap();
        assert_eq!((patch.block, patch.keep, patch.tail), (1, "<p>two".len(), "</p>\n".len()));
        assert_eq!(patch.html, [" more", "<p>three</p>\n"]);
        assert_eq!(streaming.tail_bytes(), "three\n".len());
        let whole = render(streaming.text(), usize::MAX);
        let end = Patch { block: 3, keep: 0, tail: 0, html: Vec::new() };
        assert_eq!(streaming.finish(&whole), end);
    }

    #[test]
    fn a_message_of_any_shape_costs_at_most_three_times_its_text() {
        let lines = |line: &str| (0..80).map(|n| line.replace('#', &n.to_string())).collect();
        let shapes: [String; 13] = [
            lines("- item number # of a list\n"),
            lines("- item number # of a list\n\n"),
            lines("#. item number # of a list\n   - and what it means\n"),
            "|name|value|\n|-|-|\n".to_owned() + &lines("| name number # | value number # |\n"),
            "```rust\n".to_owned() + &lines("let number_# = \"#\";\n"),
            lines("    indented code of line #;\n"),
            lines("> a quote of line number #\n> > > > that quotes another\n"),
            "> ".repeat(30) + &lines("and a lazy line # follows "),
            lines("a paragraph of # words and **strong** and `code` "),
            lines("*a word and **a word and "),
            lines("*emphasis of # words and **strong words** in it* "),
            "*".repeat(30) + &lines("so many words, and # ends* of it "),
            DOCUMENT.repeat(20),
        ];
        for text in shapes {
            for pieces in [2, 40] {
                let page = read(&text, pieces, true);
                let times = page.bytes as f64 / text.len() as f64;
                assert_eq!(page.blocks, render(&text, usize::MAX));
                assert!(times <= 3.0, "{times:.1} times in pieces of {pieces}: {}", &text[..60]);
            }
        }
    }

    #[test]
    fn a_message_that_changes_all_the_time_costs_at_most_three_times_its_html() {
        let words = (0..100).map(|n| format!("a word of {n} letters* ")).collect::<String>();
        let text = "*".repeat(500) + &words;
        let page = read(&text, 1, true);
        let html = render(&text, usize::MAX);
        assert_eq!(page.blocks, html);
        assert!(page.bytes <= 3 * html.concat().len() + SPARE_BYTES, "{} bytes", page.bytes);
    }
}
