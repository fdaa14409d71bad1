//! Notes about a generated spec for its user.

use log::Level;

/// A sentence and its severity.
pub type Note = (Level, String);

/// All notes, without repetitions.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Notes(pub Vec<Note>);

impl Notes {
    /// Adds a note that something is unknown or unusual.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Level::Warn, text.into());
    }

    /// Adds a note that something is left out.
    pub(super) fn error(&mut self, text: impl Into<String>) {
        self.add(Level::Error, text.into());
    }

    fn add(&mut self, level: Level, text: String) {
        let note = (level, text);
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }
}
