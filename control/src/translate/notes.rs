//! Errors and warnings as they arise, before anybody knows in which line of which file a field stands.

use std::collections::HashSet;

use crate::resource::{Level, ObjectRef};

/// One error or warning about a field of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// The resource that has the field.
    pub object: ObjectRef,
    /// Error or warning.
    pub level: Level,
    /// Whether the present form of the resource cannot be served because of it. Warnings are never fatal; an error
    /// that only repeats another resource's is not either.
    pub fatal: bool,
    /// The field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Whether it is about more than one route, so that replacing a route does not help.
    pub shared: bool,
}

/// Collects notes, each once, in order.
#[derive(Debug, Default)]
pub struct Notes {
    list: Vec<Note>,
    seen: HashSet<Note>,
}

impl Notes {
    /// An error: the form of `object` is not served.
    pub fn error(&mut self, object: &ObjectRef, path: impl Into<String>, message: impl Into<String>) {
        self.add(Note {
            object: object.clone(),
            level: Level::Error,
            fatal: true,
            path: path.into(),
            message: message.into(),
            shared: false,
        });
    }

    /// An error that rejects `object` in the report while it is served as far as possible.
    pub fn complaint(&mut self, object: &ObjectRef, path: impl Into<String>, message: impl Into<String>) {
        self.add(Note {
            object: object.clone(),
            level: Level::Error,
            fatal: false,
            path: path.into(),
            message: message.into(),
            shared: false,
        });
    }

    /// A warning.
    pub fn warning(&mut self, object: &ObjectRef, path: impl Into<String>, message: impl Into<String>) {
        self.add(Note {
            object: object.clone(),
            level: Level::Warning,
            fatal: false,
            path: path.into(),
            message: message.into(),
            shared: false,
        });
    }

    /// Adds a note unless the same is there.
    pub fn add(&mut self, note: Note) {
        if self.seen.insert(note.clone()) {
            self.list.push(note);
        }
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, notes: Notes) {
        for note in notes.list {
            self.add(note);
        }
    }

    /// Adds copies of these.
    pub fn add_all(&mut self, notes: &[Note]) {
        for note in notes {
            self.add(note.clone());
        }
    }

    /// In order of appearance.
    pub fn iter(&self) -> impl Iterator<Item = &Note> {
        self.list.iter()
    }

    /// In order of appearance.
    pub fn into_vec(self) -> Vec<Note> {
        self.list
    }

    /// Without what is about more than one route, which is said elsewhere.
    pub fn about_one_route(self) -> Notes {
        let mut own = Notes::default();
        self.list.into_iter().filter(|note| !note.shared).for_each(|note| own.add(note));
        own
    }

    /// Something stops a resource.
    pub fn any_fatal(&self) -> bool {
        self.list.iter().any(|note| note.fatal)
    }
}
