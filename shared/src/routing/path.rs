//! Matching of paths, always without the query.

use std::fmt;

use regex::Regex;

use super::{RequestView, pattern};
use crate::Invalid;

/// Which paths are meant.
#[derive(Debug, Clone)]
pub enum PathMatcher {
    /// Paths that begin with a text; segments mean nothing (`/foo` matches `/foobar`).
    Prefix {
        /// The text.
        text: Box<str>,
        /// ASCII letters match in either case.
        ignore_case: bool,
    },
    /// One path.
    Exact {
        /// The path.
        text: Box<str>,
        /// ASCII letters match in either case.
        ignore_case: bool,
    },
    /// Paths of which the whole fits an expression.
    Regex {
        /// As it was written, RE2 syntax.
        text: Box<str>,
        /// Anchored at both ends.
        regex: Regex,
    },
    /// CONNECT requests, whatever their path.
    Connect,
}

impl PathMatcher {
    /// A prefix that respects case.
    pub fn prefix(text: impl Into<Box<str>>) -> Self {
        Self::Prefix { text: text.into(), ignore_case: false }
    }

    /// A whole path that respects case.
    pub fn exact(text: impl Into<Box<str>>) -> Self {
        Self::Exact { text: text.into(), ignore_case: false }
    }

    /// An expression that must fit the whole path.
    pub fn regex(text: impl Into<Box<str>>) -> Result<Self, Invalid> {
        let text = text.into();
        let regex = pattern::full(&text).map_err(|reason| Invalid::new("regex", reason))?;
        Ok(Self::Regex { text, regex })
    }

    /// Whether the path of `request` is meant.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        let path = request.path;
        if path.is_empty() {
            return matches!(self, Self::Connect) && request.method == "CONNECT";
        }
        match self {
            Self::Prefix { text, ignore_case: false } => path.starts_with(&**text),
            Self::Prefix { text, ignore_case: true } => path
                .as_bytes()
                .get(..text.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes())),
            Self::Exact { text, ignore_case: false } => path == &**text,
            Self::Exact { text, ignore_case: true } => path.eq_ignore_ascii_case(text),
            Self::Regex { regex, .. } => regex.is_match(path),
            Self::Connect => request.method == "CONNECT",
        }
    }
}

impl PartialEq for PathMatcher {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Prefix { text: a, ignore_case: i }, Self::Prefix { text: b, ignore_case: j })
            | (Self::Exact { text: a, ignore_case: i }, Self::Exact { text: b, ignore_case: j }) => {
                a == b && i == j
            }
            (Self::Regex { text: a, .. }, Self::Regex { text: b, .. }) => a == b,
            (Self::Connect, Self::Connect) => true,
            _ => false,
        }
    }
}

impl Eq for PathMatcher {}

impl fmt::Display for PathMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text, ignore_case) = match self {
            Self::Prefix { text, ignore_case } => ("prefix", text, *ignore_case),
            Self::Exact { text, ignore_case } => ("exact", text, *ignore_case),
            Self::Regex { text, .. } => ("regex", text, false),
            Self::Connect => return f.write_str("CONNECT"),
        };
        write!(f, "{kind} {text}{}", if ignore_case { " (any case)" } else { "" })
    }
}
