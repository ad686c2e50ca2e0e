//! The error of decoding a wire message: which field, and what is wrong with it.
//!
//! A decoder names its own field with [`Invalid::new`]; each caller on the way out puts its field in front with
//! [`Invalid::under`], so that the path is complete when it reaches a Nack.

use std::fmt;

/// A wire message that breaks an invariant of its validated type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Field path inside the wire message, `routes[3].match.regex`; empty for the message itself.
    pub path: String,
    /// What is wrong, lower case, without the field.
    pub reason: String,
}

impl Invalid {
    /// An error at `path`.
    pub fn new(path: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { path: path.into(), reason: reason.to_string() }
    }

    /// The same error seen from the message that holds this one in `field`.
    #[must_use]
    pub fn under(mut self, field: impl fmt::Display) -> Self {
        self.path = match self.path.is_empty() {
            true => field.to_string(),
            false if self.path.starts_with('[') => format!("{field}{}", self.path),
            false => format!("{field}.{}", self.path),
        };
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.reason),
            false => write!(f, "{}: {}", self.path, self.reason),
        }
    }
}

impl std::error::Error for Invalid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_grows_outwards() {
        let error = Invalid::new("regex", "unclosed group").under("match").under("routes[3]");
        assert_eq!(error.to_string(), "routes[3].match.regex: unclosed group");
        assert_eq!(Invalid::new("[2]", "empty").under("domains").path, "domains[2]");
        assert_eq!(Invalid::new("", "no action").to_string(), "no action");
        assert_eq!(Invalid::new("", "no action").under("routes[0]").to_string(), "routes[0]: no action");
    }
}
