//! One object as it is stored.

use serde::{Deserialize, Serialize};

/// The last accepted form of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Kind as users write it, "VirtualService".
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Canonical document in JSON. Of Secrets there are no records.
    pub document: String,
    /// Grows with the time of the *first* acceptance; an update keeps it, a deletion ends it.
    pub order: u64,
    /// When control first saw the object, in milliseconds of Unix time.
    pub first_seen_ms: u64,
    /// When this form was accepted, in milliseconds of Unix time.
    pub accepted_at_ms: u64,
    /// The file that it came from.
    pub file: String,
    /// Line of the document in that file, from 1.
    pub line: u32,
    /// Earlier accepted forms, newest first. Filled in by the store.
    #[serde(default)]
    pub history: Vec<Past>,
}

/// An earlier accepted form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When it was accepted, in milliseconds of Unix time.
    pub accepted_at_ms: u64,
    /// Its document.
    pub document: String,
}

impl Record {
    /// The key of an object's record.
    #[must_use]
    pub fn key_of(kind: &str, namespace: &str, name: &str) -> String {
        // Kubernetes names hold no slash, so keys cannot collide.
        format!("{kind}/{namespace}/{name}")
    }

    /// The key of this record.
    #[must_use]
    pub fn key(&self) -> String {
        Self::key_of(&self.kind, &self.namespace, &self.name)
    }
}
