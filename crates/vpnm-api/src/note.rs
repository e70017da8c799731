//! A short line of text from another process, fit for a terminal and a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest note in characters.
const MAX_CHARS: usize = 240;

/// One line of at most 240 printable characters.
///
/// Text that comes from elsewhere (the engine, a server's certificate, the
/// kernel) is made harmless rather than refused: control characters become
/// spaces and what is too long is cut, so that a reason is never lost because
/// of how it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, anyd::Type)]
#[serde(from = "String", into = "String")]
pub struct Note(String);

impl Note {
    /// Makes a note of any text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let printable = |c: char| if is_unprintable(c) { ' ' } else { c };
        let line: String = text.chars().take(MAX_CHARS).map(printable).collect();
        Self(line.trim().to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is left to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Control characters, and the ones that reorder what a reader sees (Unicode bidi controls).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl From<String> for Note {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_short_printable_line() {
        let note = Note::new("bad\u{1b}[2Jcertificate\nline two\u{202e}");
        assert_eq!(note.as_str(), "bad [2Jcertificate line two");
        assert_eq!(Note::new(&"x".repeat(9999)).as_str().len(), MAX_CHARS);
        assert!(Note::new("\r\n\0").is_empty());
    }
}
