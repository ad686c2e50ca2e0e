//! Matching of query parameters, and the condition on a text that they share with header fields.

use std::fmt;

use portcullis_proto::table::v1 as wire;
use regex::Regex;

use super::{RequestView, pattern};
use crate::Invalid;

/// A condition on a text that may be there.
#[derive(Debug, Clone)]
pub enum ValueMatcher {
    /// It is there, perhaps empty.
    Present,
    /// It is this text.
    Exact(Box<str>),
    /// The whole of it fits an expression.
    Regex {
        /// As it was written, RE2 syntax.
        text: Box<str>,
        /// Anchored at both ends.
        regex: Regex,
    },
}

impl ValueMatcher {
    /// An expression that must fit the whole text.
    pub fn regex(text: impl Into<Box<str>>) -> Result<Self, Invalid> {
        let text = text.into();
        let regex = pattern::full(&text).map_err(|reason| Invalid::new("regex", reason))?;
        Ok(Self::Regex { text, regex })
    }

    /// Whether a text that is there fits.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(exact) => **exact == *text,
            Self::Regex { regex, .. } => regex.is_match(text),
        }
    }
}

impl PartialEq for ValueMatcher {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, Self::Present) => true,
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Regex { text: a, .. }, Self::Regex { text: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl Eq for ValueMatcher {}

/// Follows the name of the field: ` present`, `=exact`, `~regex`.
impl fmt::Display for ValueMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str(" present"),
            Self::Exact(text) => write!(f, "={text}"),
            Self::Regex { text, .. } => write!(f, "~{text}"),
        }
    }
}

/// A condition on the first occurrence of a query parameter, raw text without percent-decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatcher {
    /// Name, raw text.
    pub name: Box<str>,
    /// What its value must be.
    pub value: ValueMatcher,
}

impl QueryMatcher {
    /// Whether `request` fits.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        request.parameter(&self.name).is_some_and(|value| self.value.fits(value))
    }
}

impl fmt::Display for QueryMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.value)
    }
}

impl TryFrom<wire::QueryMatch> for QueryMatcher {
    type Error = Invalid;

    fn try_from(wire: wire::QueryMatch) -> Result<Self, Invalid> {
        use wire::query_match::Value as Wire;
        if wire.name.is_empty() {
            return Err(Invalid::new("name", "must not be empty"));
        }
        let value = match wire.value.ok_or_else(|| Invalid::new("value", "missing"))? {
            Wire::Present(true) => ValueMatcher::Present,
            Wire::Present(false) => {
                return Err(Invalid::new("present", "false; only presence can be asked for"));
            }
            Wire::Exact(text) => ValueMatcher::Exact(text.into()),
            Wire::Regex(text) => ValueMatcher::regex(text)?,
        };
        Ok(Self { name: wire.name.into(), value })
    }
}
