//! Which requests a route is for: path, methods, header fields and query parameters, all of them.

use std::fmt;

use portcullis_proto::table::v1 as wire;

use super::{HeaderMatcher, PathMatcher, QueryMatcher, RequestView};
use crate::Invalid;

/// Which requests a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The path.
    pub path: PathMatcher,
    /// Any of these, case-sensitive; empty = all. HEAD is not implied by GET.
    pub methods: Vec<Box<str>>,
    /// All of these.
    pub headers: Vec<HeaderMatcher>,
    /// All of these.
    pub query: Vec<QueryMatcher>,
}

/// The first condition on which a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch<'m> {
    /// The path is another one.
    Path(&'m PathMatcher),
    /// The method is none of these.
    Method(&'m [Box<str>]),
    /// A header field does not fit.
    Header(&'m HeaderMatcher),
    /// A query parameter does not fit.
    Query(&'m QueryMatcher),
}

impl Matcher {
    /// Requests with a path, whatever else they are.
    pub fn path(path: PathMatcher) -> Self {
        Self { path, methods: Vec::new(), headers: Vec::new(), query: Vec::new() }
    }

    /// Whether `request` is meant.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        self.mismatch(request).is_none()
    }

    /// The first condition that `request` fails, in the order path, methods, headers, query.
    pub fn mismatch(&self, request: &RequestView<'_>) -> Option<Mismatch<'_>> {
        if !self.path.matches(request) {
            return Some(Mismatch::Path(&self.path));
        }
        if !self.methods.is_empty() && !self.methods.iter().any(|method| **method == *request.method) {
            return Some(Mismatch::Method(&self.methods));
        }
        if let Some(header) = self.headers.iter().find(|header| !header.matches(request)) {
            return Some(Mismatch::Header(header));
        }
        self.query.iter().find(|query| !query.matches(request)).map(Mismatch::Query)
    }

    /// Whether the path alone decides.
    pub fn is_path_only(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.query.is_empty()
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path is not {path}"),
            Self::Method(methods) => write!(f, "method is not {}", methods.join(" or ")),
            Self::Header(header) => write!(f, "header is not: {header}"),
            Self::Query(query) => write!(f, "query parameter is not: {query}"),
        }
    }
}

impl TryFrom<wire::Match> for Matcher {
    type Error = Invalid;

    fn try_from(wire: wire::Match) -> Result<Self, Invalid> {
        let ignore_case = wire.ignore_case;
        let path = match wire.path.ok_or_else(|| Invalid::new("path", "missing"))? {
            wire::r#match::Path::Prefix(text) => PathMatcher::Prefix { text: text.into(), ignore_case },
            wire::r#match::Path::Exact(text) => PathMatcher::Exact { text: text.into(), ignore_case },
            wire::r#match::Path::Regex(text) => PathMatcher::regex(text)?,
            wire::r#match::Path::Connect(true) => PathMatcher::Connect,
            wire::r#match::Path::Connect(false) => return Err(Invalid::new("connect", "must be true")),
        };
        if let Some(i) = wire.methods.iter().position(String::is_empty) {
            return Err(Invalid::new(format!("methods[{i}]"), "must not be empty"));
        }
        Ok(Self {
            path,
            methods: wire.methods.into_iter().map(Into::into).collect(),
            headers: each("headers", wire.headers)?,
            query: each("query", wire.query)?,
        })
    }
}

fn each<W, T: TryFrom<W, Error = Invalid>>(field: &str, list: Vec<W>) -> Result<Vec<T>, Invalid> {
    let one = |(i, wire)| T::try_from(wire).map_err(|e| e.under(format!("{field}[{i}]")));
    list.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests;
