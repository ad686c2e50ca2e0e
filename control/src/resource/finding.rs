//! What is said about a resource or a file, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in a file. Prints as `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file as it was named to the parser.
    pub file: Arc<Path>,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: u32,
}

impl Location {
    /// The whole file.
    pub fn file(file: impl Into<Arc<Path>>) -> Location {
        Location { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.file.display())
        } else {
            write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Rejects the resource.
    Error,
    /// The resource is served as far as possible.
    Warning,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Error => "error",
            Level::Warning => "warning",
        })
    }
}

/// Bytes of a message; what a user wrote may be larger than anybody wants to read again.
const LONGEST: usize = 4 * 1024;

/// The message, without the middle of one that is too long.
pub(super) fn short(message: String) -> String {
    if message.len() <= LONGEST {
        return message;
    }
    let start = message.get(..message.floor_char_boundary(LONGEST / 2)).unwrap_or_default();
    let end = message.get(message.ceil_char_boundary(message.len() - LONGEST / 4)..).unwrap_or_default();
    format!("{start} [...] {end}")
}

/// One error or warning. Prints as `path: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Whether it rejects the resource.
    pub level: Level,
    /// The field, such as `spec.virtualHost.routes[3].matchers[0].prefix`; empty when the whole document is meant.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Where, when it is known.
    pub location: Option<Location>,
}

impl Finding {
    /// An error at a field.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { level: Level::Error, path: path.into(), message: short(message.into()), location: None }
    }

    /// A warning at a field.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, path: path.into(), message: short(message.into()), location: None }
    }

    /// The same finding with a place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Finding {
        self.location = Some(location);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}
