//! Separates a model's thoughts from its reply where both are in the content. Models without a
//! field for their reasoning write `<think>…</think>` before the reply.

const TAGS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// Splits the content into thoughts and reply as it comes.
#[derive(Default)]
pub(super) struct Thoughts {
    place: Place,
    /// Whether any thoughts have ended. Spaces after them are not part of the reply.
    have_been: bool,
    /// Text that is kept back, since it may be the beginning of a tag.
    rest: String,
}

#[derive(Clone, Copy, Default)]
enum Place {
    /// Nothing but spaces so far, or since the last thoughts.
    #[default]
    Start,
    /// Within thoughts, which end with this tag.
    Inside(&'static str),
    Reply,
}

/// A piece of the content.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Thought(String),
    Reply(String),
}

impl Thoughts {
    /// Adds text. Returns the pieces that are now certain.
    pub(super) fn push(&mut self, text: &str) -> Vec<Piece> {
        self.rest += text;
        let mut pieces = Vec::new();
        loop {
            match self.place {
                Place::Start => {
                    if self.have_been {
                        self.rest = self.rest.trim_start().to_owned();
                    }
                    let begun = self.rest.trim_start();
                    if let Some((open, close)) = TAGS.iter().find(|(tag, _)| begun.starts_with(tag))
                    {
                        self.rest = begun[open.len()..].to_owned();
                        self.place = Place::Inside(close);
                    } else if TAGS.iter().any(|(tag, _)| tag.starts_with(begun)) {
                        return pieces;
                    } else {
                        self.place = Place::Reply;
                    }
                }
                Place::Inside(close) => {
                    let Some((thought, reply)) = self.rest.split_once(close) else {
                        let kept = beginning(&self.rest, close);
                        let thought = self.rest[..self.rest.len() - kept].to_owned();
                        self.rest.drain(..thought.len());
                        pieces.push(Piece::Thought(thought));
                        return pieces;
                    };
                    pieces.push(Piece::Thought(thought.to_owned()));
                    // More thoughts may follow.
                    self.rest = reply.to_owned();
                    (self.place, self.have_been) = (Place::Start, true);
                }
                Place::Reply => {
                    pieces.push(Piece::Reply(std::mem::take(&mut self.rest)));
                    return pieces;
                }
            }
        }
    }

    /// Returns what was kept back at the end of the content.
    pub(super) fn finish(&mut self) -> Piece {
        let rest = std::mem::take(&mut self.rest);
        match self.place {
            Place::Inside(_) => Piece::Thought(rest),
            Place::Start | Place::Reply => Piece::Reply(rest),
        }
    }
}

/// Returns how many bytes at the end of the text may be the beginning of the tag.
fn beginning(text: &str, tag: &str) -> usize {
    let longest = tag.len() - 1;
    (1..=longest).rev().find(|length| text.ends_with(&tag[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the thoughts and the reply of a content that comes in these pieces.
    fn read(pieces: &[&str]) -> (String, String) {
        let (mut thoughts, mut thought, mut reply) =
            (Thoughts::default(), String::new(), String::new());
        let mut found: Vec<Piece> = pieces.iter().flat_map(|piece| thoughts.push(piece)).collect();
        found.push(thoughts.finish());
        for piece in found {
            match piece {
                Piece::Thought(text) => thought += &text,
                Piece::Reply(text) => reply += &text,
            }
        }
        (thought, reply)
    }

    #[test]
    fn any_cut_gives_the_same_thoughts_and_reply() {
        for (content, thought, reply) in [
            ("<think>\nHm </thin.</think>\n\nHello <think>", "\nHm </thin.", "Hello <think>"),
            (" <thinking>a</thinking><think>b</think>c", "ab", "c"),
            ("<thin", "", "<thin"),
            ("Say <think>no</think>", "", "Say <think>no</think>"),
            ("<think>cut off </th", "cut off </th", ""),
            ("  x", "", "  x"),
            ("", "", ""),
        ] {
            for cut in (0..=content.len()).filter(|cut| content.is_char_boundary(*cut)) {
                let (first, second) = content.split_at(cut);
                let expected = (thought.to_owned(), reply.to_owned());
                assert_eq!(read(&[first, second]), expected, "{content:?} cut at {cut}");
            }
        }
    }
}
