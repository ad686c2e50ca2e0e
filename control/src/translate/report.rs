//! What translation has to say about each resource.

use std::collections::BTreeMap;
use std::fmt;

use crate::resource::{Finding, Level, ObjectRef};

/// One entry per resource of the snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// By resource.
    pub objects: BTreeMap<ObjectRef, ObjectReport>,
}

/// Errors and warnings of one resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectReport {
    /// In order of appearance, each once.
    pub findings: Vec<Finding>,
    /// The form that was accepted last stands in for the present one.
    pub using_last_accepted: bool,
}

/// The words of Gloo for the state of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Nothing to say.
    Accepted,
    /// Served, as far as possible.
    Warning,
    /// Not served in its present form.
    Rejected,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accepted => "Accepted",
            Self::Warning => "Warning",
            Self::Rejected => "Rejected",
        })
    }
}

impl ObjectReport {
    /// An error rejects; a warning warns.
    pub fn state(&self) -> State {
        let mut state = State::Accepted;
        for finding in &self.findings {
            match finding.level {
                Level::Error => return State::Rejected,
                Level::Warning => state = State::Warning,
            }
        }
        state
    }

    /// The text of Gloo's `status.reason`: a counted list of errors, then the warnings. Empty when accepted.
    pub fn reason(&self) -> String {
        let of = |level: Level| {
            self.findings
                .iter()
                .filter(move |finding| finding.level == level)
                .map(|finding| finding.message.as_str())
                .collect::<Vec<_>>()
        };
        let (errors, warnings) = (of(Level::Error), of(Level::Warning));
        let mut text = String::new();
        match errors.len() {
            0 => {}
            1 => text.push_str("1 error occurred:\n"),
            n => text.push_str(&format!("{n} errors occurred:\n")),
        }
        for error in &errors {
            text.push_str(&format!("\t* {error}\n"));
        }
        if !warnings.is_empty() {
            if !errors.is_empty() {
                text.push('\n');
            }
            text.push_str("warning: \n  ");
            text.push_str(&warnings.join("\n"));
        }
        text
    }
}
