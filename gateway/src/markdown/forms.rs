//! Forms for which the parser's HTML writer has no HTML, or not the HTML that a chat needs.

use linkify::{LinkFinder, LinkKind};
use pulldown_cmark::{CowStr, Event, LinkType, Tag, TagEnd, TextMergeStream};
use std::{borrow::Cow, sync::LazyLock};

/// A task's box, open or done, which takes the place of the item's bullet.
const TASK: [&str; 2] = [r#"<span class="task">☐ </span>"#, r#"<span class="task">☑ </span>"#];

static LINKS: LazyLock<LinkFinder> = LazyLock::new(|| {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url, LinkKind::Email]);
    finder
});

/// Turns bare addresses into links, tasks into boxes, and footnotes into notes. A footnote has its
/// label, not a number, because blocks are written one by one.
pub(super) fn forms<'a>(events: impl Iterator<Item = Event<'a>>) -> Vec<Event<'a>> {
    let mut forms = Vec::new();
    // How many links and code blocks are open. In them, no address becomes a link.
    let mut opaque = 0;
    for event in TextMergeStream::new(events) {
        match event {
            Event::Text(text) if opaque == 0 => link_addresses(text, &mut forms),
            Event::TaskListMarker(done) => forms.push(html(TASK[usize::from(done)])),
            Event::FootnoteReference(label) => {
                forms.extend([html("<sup>"), Event::Text(label), html("</sup>")]);
            }
            Event::Start(Tag::FootnoteDefinition(label)) => forms.extend([
                html(r#"<div class="footnote"><sup>"#),
                Event::Text(label),
                html("</sup>"),
            ]),
            Event::End(TagEnd::FootnoteDefinition) => forms.push(html("</div>\n")),
            event => {
                match &event {
                    Event::Start(Tag::Link { .. } | Tag::CodeBlock(_)) => opaque += 1,
                    Event::End(TagEnd::Link | TagEnd::CodeBlock) => opaque -= 1,
                    _ => {}
                }
                forms.push(event);
            }
        }
    }
    forms
}

fn html(html: &'static str) -> Event<'static> {
    Event::InlineHtml(html.into())
}

fn link_addresses<'a>(text: CowStr<'a>, forms: &mut Vec<Event<'a>>) {
    if !text.contains(['@', ':']) {
        return forms.push(Event::Text(text));
    }
    for span in LINKS.spans(&text) {
        let words = CowStr::from(span.as_str().to_owned());
        let dest_url = match span.kind() {
            Some(LinkKind::Email) => format!("mailto:{words}").into(),
            Some(_) if is_web(&words) => words.clone(),
            _ => {
                forms.push(Event::Text(words));
                continue;
            }
        };
        let (title, id) = (CowStr::from(""), CowStr::from(""));
        let link = Tag::Link { link_type: LinkType::Autolink, dest_url, title, id };
        forms.extend([Event::Start(link), Event::Text(words), Event::End(TagEnd::Link)]);
    }
}

fn is_web(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// Gives a table's cells their alignment as an attribute, because the page's policy forbids styles
/// in HTML.
pub(super) fn aligned(html: &str) -> Cow<'_, str> {
    if !html.contains(" style=\"text-align: ") {
        return html.into();
    }
    let mut aligned = html.to_owned();
    for cell in ["<th", "<td"] {
        for side in ["left", "center", "right"] {
            // In text, `<` is escaped, so this finds only tags.
            let style = format!("{cell} style=\"text-align: {side}\">");
            aligned = aligned.replace(&style, &format!("{cell} align=\"{side}\">"));
        }
    }
    aligned.into()
}
