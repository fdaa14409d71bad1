//! What a person should know of a spec that was generated.

use log::Level;

/// A sentence, and how much it matters.
pub type Note = (Level, String);

/// All sentences, each of them once.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Notes(pub Vec<Note>);

impl Notes {
    /// Something is unknown, or odd.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Level::Warn, text.into());
    }

    /// Something is left out.
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
