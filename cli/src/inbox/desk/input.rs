//! The text that is being typed, in one line or several.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

#[derive(Default)]
pub(super) struct Input {
    text: String,
    /// Where the cursor is, in bytes.
    at: usize,
}

impl Input {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text before the cursor.
    pub(super) fn before(&self) -> &str {
        &self.text[..self.at]
    }

    pub(super) fn take(&mut self) -> String {
        self.at = 0;
        std::mem::take(&mut self.text)
    }

    pub(super) fn insert(&mut self, text: &str) {
        self.text.insert_str(self.at, text);
        self.at += text.len();
    }

    /// Edits the text as a shell does. Returns whether the key is one that edits.
    pub(super) fn press(&mut self, key: &KeyEvent) -> bool {
        let has = |modifier| key.modifiers.contains(modifier);
        match key.code {
            KeyCode::Enter if has(KeyModifiers::ALT) => self.insert("\n"),
            KeyCode::Char('a') if has(KeyModifiers::CONTROL) => self.at = 0,
            KeyCode::Char('e') if has(KeyModifiers::CONTROL) => self.at = self.text.len(),
            KeyCode::Char('u') if has(KeyModifiers::CONTROL) => self.remove(0),
            KeyCode::Char('w') if has(KeyModifiers::CONTROL) => {
                let before = self.before().trim_end();
                self.remove(before.rfind(char::is_whitespace).map_or(0, |space| space + 1));
            }
            KeyCode::Char(typed) if !has(KeyModifiers::CONTROL) && !has(KeyModifiers::ALT) => {
                self.insert(typed.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Backspace => self.remove(self.previous()),
            KeyCode::Delete => {
                let next = self.next();
                self.text.drain(self.at..next);
            }
            KeyCode::Left => self.at = self.previous(),
            KeyCode::Right => self.at = self.next(),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            _ => return false,
        }
        true
    }

    /// Removes the text from here to the cursor.
    fn remove(&mut self, from: usize) {
        self.text.drain(from..self.at);
        self.at = from;
    }

    fn previous(&self) -> usize {
        self.before().char_indices().next_back().map_or(0, |(index, _)| index)
    }

    fn next(&self) -> usize {
        self.text[self.at..].chars().next().map_or(self.at, |next| self.at + next.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_edited_in_whole_characters() {
        let mut input = Input::default();
        let mut press = |code, modifiers| {
            input.press(&KeyEvent::new(code, modifiers));
            input.text().to_owned()
        };
        let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        press(KeyCode::Char('é'), none);
        press(KeyCode::Char(' '), none);
        assert_eq!(press(KeyCode::Char('b'), none), "é b");
        press(KeyCode::Home, none);
        assert_eq!(press(KeyCode::Delete, none), " b");
        press(KeyCode::End, none);
        assert_eq!(press(KeyCode::Enter, KeyModifiers::ALT), " b\n");
        assert_eq!(press(KeyCode::Char('w'), control), " ");
        press(KeyCode::Char('ü'), none);
        press(KeyCode::Left, none);
        assert_eq!(press(KeyCode::Backspace, none), "ü");
        assert_eq!(press(KeyCode::Char('e'), control), "ü");
        assert_eq!(press(KeyCode::Char('u'), control), "");
    }
}
