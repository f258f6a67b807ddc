//! Reads server-sent events from bytes that are cut anywhere.

use std::time::Duration;

/// One server-sent event.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Reads a stream, and keeps its position from one connection to the next.
#[derive(Default)]
pub(crate) struct SseReader {
    line: Vec<u8>,
    event: SseEvent,
    id: String,
    /// What to send as Last-Event-ID.
    pub(crate) last_id: String,
    /// How long the server wants clients to wait before they reconnect.
    pub(crate) retry: Option<Duration>,
}

impl SseReader {
    /// Begins another connection: an event that the last one cut off is dropped.
    pub(crate) fn reconnect(&mut self) {
        self.line.clear();
        self.event = SseEvent::default();
        self.id.clone_from(&self.last_id);
    }

    /// Returns the events that are complete with these bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).trim_end_matches('\r').to_owned();
            self.line.clear();
            if line.is_empty() {
                events.extend(self.dispatch());
            } else {
                self.field(&line);
            }
        }
        events
    }

    /// Returns how many bytes wait for the rest of their event.
    pub(crate) fn waiting(&self) -> usize {
        self.line.len() + self.event.data.len()
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event.name = value.into(),
            "id" => self.id = value.into(),
            "retry" => {
                let milliseconds = value.parse().ok();
                self.retry = milliseconds.map(Duration::from_millis).or(self.retry);
            }
            "data" => {
                if !self.event.data.is_empty() {
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
        (!event.data.is_empty()).then_some(event)
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
}
