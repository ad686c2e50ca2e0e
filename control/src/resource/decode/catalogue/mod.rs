//! What the API has beyond the fields of our types: oneofs, and the fields that are not served yet.
//!
//! A message is named by the struct that decodes it. A field that becomes supported moves from here to the struct.

mod listener;
mod options;
mod route;
mod servers;
mod settings;
mod tcp;
mod tls;
mod upstream;

/// What is known about a message.
#[derive(Debug)]
pub struct Entry {
    /// The struct's name.
    pub name: &'static str,
    /// Unknown fields are none of our business.
    pub open: bool,
    /// Groups of fields of which one counts, in the order of declaration: the last one that is set wins.
    pub oneofs: &'static [&'static [&'static str]],
    /// Fields that exist and are not served yet.
    pub later: &'static [Later],
    /// Fields that people put here and that belong one level deeper, with that level.
    pub deeper: &'static [(&'static str, &'static str)],
}

/// An entry to build on.
const PLAIN: Entry = Entry { name: "", open: false, oneofs: &[], later: &[], deeper: &[] };

/// A field of the API that is not served.
#[derive(Debug, PartialEq, Eq)]
pub struct Later {
    /// Its name.
    pub field: &'static str,
    /// What its presence means.
    pub effect: Effect,
    /// Which build of Gloo has it.
    tier: Tier,
    /// More to say, or empty.
    note: &'static str,
}

/// What the presence of a field that is not served means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Without it traffic would be treated otherwise than the writer wants: the resource is rejected.
    Reject,
    /// Traffic and safety do not depend on it: it is left out, and said so.
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Open,
    Enterprise,
}

const fn reject(field: &'static str) -> Later {
    Later { field, effect: Effect::Reject, tier: Tier::Open, note: "" }
}

const fn warn(field: &'static str) -> Later {
    Later { field, effect: Effect::Warn, tier: Tier::Open, note: "" }
}

const fn enterprise(field: &'static str) -> Later {
    Later { field, effect: Effect::Reject, tier: Tier::Enterprise, note: "" }
}

const fn warn_enterprise(field: &'static str) -> Later {
    Later { field, effect: Effect::Warn, tier: Tier::Enterprise, note: "" }
}

impl Later {
    const fn note(mut self, note: &'static str) -> Later {
        self.note = note;
        self
    }

    /// What is said when the field is there.
    pub fn message(&self) -> String {
        let field = self.field;
        let note = if self.note.is_empty() { String::new() } else { format!(": {}", self.note) };
        match (self.tier, self.effect) {
            (Tier::Open, Effect::Reject) => format!("`{field}` is not supported yet{note}"),
            (Tier::Open, Effect::Warn) => format!("`{field}` is not supported yet and is left out{note}"),
            (Tier::Enterprise, Effect::Reject) => {
                format!("`{field}` belongs to Gloo's Enterprise build and is not supported{note}")
            }
            (Tier::Enterprise, Effect::Warn) => {
                format!(
                    "`{field}` belongs to Gloo's Enterprise build, is not supported and is left out{note}"
                )
            }
        }
    }
}

/// What is known about the message of that struct.
pub fn message(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().copied().flatten().find(|entry| entry.name == name)
}

/// The field of the message under which `key` belongs, if it is known to be misplaced often.
pub fn child_with(name: &str, key: &str) -> Option<&'static str> {
    message(name)?.deeper.iter().find(|(field, _)| *field == key).map(|(_, under)| *under)
}

const ENTRIES: &[&[Entry]] = &[
    listener::ENTRIES,
    options::ENTRIES,
    route::ENTRIES,
    servers::ENTRIES,
    settings::ENTRIES,
    tcp::ENTRIES,
    tls::ENTRIES,
    upstream::ENTRIES,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_and_every_field_is_listed_once() {
        let mut names = std::collections::BTreeSet::new();
        for entry in ENTRIES.iter().copied().flatten() {
            assert!(names.insert(entry.name), "{} is listed twice", entry.name);
            let mut fields = std::collections::BTreeSet::new();
            for later in entry.later {
                assert!(fields.insert(later.field), "{}.{} is listed twice", entry.name, later.field);
            }
        }
    }
}
