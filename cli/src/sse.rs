//! Reads server-sent events from bytes that are cut anywhere.

use std::time::Duration;

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Reads a stream as browsers do (WHATWG HTML, "Server-sent events"), and keeps its position from
/// one connection to the next.
#[derive(Default)]
pub(crate) struct SseReader {
    line: Vec<u8>,
    /// Whether the last byte was a carriage return: a line feed right after it ends the same line.
    after_return: bool,
    /// Whether a line has been read. Only the first line can begin with a byte order mark.
    has_begun: bool,
    event: SseEvent,
    /// Whether the event has a `data` field, which may be empty.
    has_data: bool,
    id: String,
    /// The value of Last-Event-ID for the next connection; empty if there is none.
    pub(crate) last_id: String,
    /// How long the server wants clients to wait before they reconnect.
    pub(crate) retry: Option<Duration>,
}

impl SseReader {
    /// Prepares for another connection. Drops an event that the last connection cut off.
    pub(crate) fn reconnect(&mut self) {
        let Self { last_id, retry, .. } = std::mem::take(self);
        *self = Self { id: last_id.clone(), last_id, retry, ..Self::default() };
    }

    /// Adds bytes. Returns the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(*byte),
            }
        }
        events
    }

    /// Returns the last event of the stream if no blank line has ended it. Browsers drop such an
    /// event, but some servers end their streams without that line.
    pub(crate) fn finish(&mut self) -> Option<SseEvent> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.dispatch()
    }

    /// Returns how many bytes are kept of a line that has not ended, and of its event's data.
    pub(crate) fn waiting(&self) -> usize {
        self.line.len() + self.event.data.len()
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        let mark = if self.has_begun { &[][..] } else { b"\xEF\xBB\xBF" };
        self.has_begun = true;
        let line = line.strip_prefix(mark).unwrap_or(&line);
        if line.is_empty() {
            return self.dispatch();
        }
        self.field(&String::from_utf8_lossy(line));
        None
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event.name = value.into(),
            "id" if !value.contains('\0') => self.id = value.into(),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let milliseconds = value.parse().ok();
                self.retry = milliseconds.map(Duration::from_millis).or(self.retry);
            }
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        self.last_id.clone_from(&self.id);
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 2000\n: welcome\n\n\
        id: 1-0000000a\nevent: delta\ndata: {\"text\":\"é\"}\n\n\
        event: html\ndata: {}\n\n\
        id:\nevent: reset\r\ndata: one\r\ndata: two\r\n\r\n";

    #[test]
    fn any_cut_gives_the_same_events() {
        let mut whole = SseReader::default();
        let expected = whole.push(STREAM.as_bytes());
        let names: Vec<_> = expected.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["delta", "html", "reset"]);
        assert_eq!(expected[2].data, "one\ntwo");
        for cut in 0..STREAM.len() {
            let mut events = SseReader::default();
            let (first, second) = STREAM.as_bytes().split_at(cut);
            let mut read = events.push(first);
            read.extend(events.push(second));
            assert_eq!(read, expected, "cut at {cut}");
            assert_eq!(events.retry, Some(Duration::from_secs(2)));
            assert_eq!(events.last_id, "", "an empty id forgets the last");
        }
    }

    #[test]
    fn an_event_that_a_connection_cut_off_is_dropped() {
        let mut events = SseReader::default();
        events.push(b"id: 1-a\ndata: x\n\nid: 2-b\ndata: y");
        events.reconnect();
        assert_eq!(events.last_id, "1-a");
        assert_eq!(events.push(b"\ndata: z\n\n")[0].data, "z");
        assert_eq!(events.last_id, "1-a");
    }

    /// Returns the events of a stream, as `name data`, and the last id. Checks that they are the
    /// same wherever the stream is cut.
    fn read(stream: &[u8]) -> (Vec<String>, String) {
        let read = |cut: usize| {
            let mut reader = SseReader::default();
            let (first, second) = stream.split_at(cut);
            let events = [reader.push(first), reader.push(second)].concat();
            let events = events.iter().map(|event| format!("{} {}", event.name, event.data));
            (events.collect::<Vec<_>>(), reader.last_id)
        };
        let whole = read(0);
        for cut in 0..stream.len() {
            assert_eq!(read(cut), whole, "{stream:?} cut at {cut}");
        }
        whole
    }

    /// Most of the cases are those of web-platform-tests (`eventsource/format-*`).
    #[test]
    fn the_format_is_read_as_browsers_read_it() {
        let cases: [(&str, &[&str]); 26] = [
            ("\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n", &[" 1", " 3"]),
            ("\u{feff}\u{feff}data:1\n\ndata:2\n\n", &[" 2"]),
            ("data:1\r:\0\n:\r\ndata:2\n:x\rdata:3\n:\rdata:4\n\n", &[" 1\n2\n3\n4"]),
            ("retry:1000\ndata:a\n\ndata:b", &[" a"]),
            ("data:\n\ndata\ndata\n\ndata:test\n\n", &[" ", " \n", " test"]),
            ("event:one\ndata:x\n\ndata:x\n\n", &["one x", " x"]),
            ("event: \ndata:x\n\n", &[" x"]),
            ("event\ndata:x\n\n", &[" x"]),
            (
                "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n\
              data:3\rdata:\r\n data:32\ndata:4\n\n",
                &[" \0\n 2\n1\n3\n\n4"],
            ),
            ("data:\ttest\rdata: \ndata:test\n\n", &[" \ttest\n\ntest"]),
            ("data:a\r\rdata:b\r\n\r\ndata:c\n\n", &[" a", " b", " c"]),
            ("data:a\r\ndata:b\rdata:c\n\n", &[" a\nb\nc"]),
            ("data:\0\n\n\n\n", &[" \0"]),
            (
                "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n",
                &[" test\n"],
            ),
            ("data:ok\u{2026}\n\n", &[" ok\u{2026}"]),
            ("data: a: b\n\n", &[" a: b"]),
            ("data:a", &[]),
            ("data:a\n", &[]),
            ("\n\n\n", &[]),
            (":\n\n:x\n\n", &[]),
            ("id:1\n\n", &[]),
            ("event:x\n\ndata:1\n\n", &[" 1"]),
            ("data:a\nevent:late\n\n", &["late a"]),
            ("event:one\nevent:two\ndata\n\n", &["two "]),
            ("data\n\n", &[" "]),
            ("data:a\n\r\ndata:b\n\n", &[" a", " b"]),
        ];
        for (stream, expected) in cases {
            assert_eq!(read(stream.as_bytes()).0, expected, "{stream:?}");
        }
        assert_eq!(read(b"data:\xff\n\n").0, [" \u{fffd}"]);
    }

    #[test]
    fn an_id_stays_until_another_one_comes() {
        for (stream, id) in [
            ("id:1\ndata\n\ndata\n\n", "1"),
            ("id:1\ndata\n\nid\ndata\n\n", ""),
            ("id:1\n\n", "1"),
            ("id:1\ndata\n\nid:2\ndata:cut off", "1"),
            ("id:1\ndata\n\nid:a\0b\ndata\n\n", "1"),
            ("id: \u{2026}\ndata\n\n", "\u{2026}"),
        ] {
            assert_eq!(read(stream.as_bytes()).1, id, "{stream:?}");
        }
    }

    #[test]
    fn a_wait_is_a_number_of_milliseconds() {
        for (stream, retry) in [
            ("retry:3000\nretry:1000x\n\n", Some(3000)),
            ("retry\n\n", None),
            ("retry:+5\n\n", None),
            ("retry:1000\nretry:\n\n", Some(1000)),
            ("retry:03\n\n", Some(3)),
        ] {
            let mut events = SseReader::default();
            events.push(stream.as_bytes());
            assert_eq!(events.retry, retry.map(Duration::from_millis), "{stream:?}");
        }
    }

    #[test]
    fn an_event_without_a_blank_line_after_it_is_read_if_asked_for() {
        let mut events = SseReader::default();
        assert_eq!(events.push(b"data:a\n\nevent:b\ndata:[DONE]").len(), 1);
        let last = events.finish().map(|event| (event.name, event.data));
        assert_eq!(last, Some(("b".to_owned(), "[DONE]".to_owned())));
        assert_eq!(events.finish(), None);
    }
}
