//! Redirects: the `location` of a request, part by part.

use std::{borrow::Cow, sync::Arc};

use portcullis_proto::table::v1 as wire;

use super::RegexSubstitution;
use crate::{Invalid, routing::PathMatcher};

/// Sends the client elsewhere. Parts that are not given keep the request's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Replaces the host, port included.
    pub host: Option<Arc<str>>,
    /// The scheme becomes https.
    pub https: bool,
    /// Replaces the port.
    pub port: Option<u16>,
    /// Replaces the path or a part of it.
    pub path: Option<RedirectPath>,
    /// 301, 302, 303, 307 or 308.
    pub status: http::StatusCode,
    /// Drops the request's query.
    pub strip_query: bool,
}

/// How the path of a redirect is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    /// The whole path, perhaps with a query, which then replaces the request's.
    Path(Arc<str>),
    /// Replaces what the matcher matched.
    Prefix(Arc<str>),
    /// Substitution on the path without query.
    Regex(RegexSubstitution),
}

impl Redirect {
    /// What a virtual host that requires TLS answers to a plain request: 301 to the same place by https.
    pub fn to_https() -> Self {
        Self {
            host: None,
            https: true,
            port: None,
            path: None,
            status: http::StatusCode::MOVED_PERMANENTLY,
            strip_query: false,
        }
    }

    /// The value of `location` for a request that `matched` let in.
    ///
    /// A port of the request survives unless a port is given, a host is given, or it is the default port of the old
    /// scheme and the scheme changes.
    pub fn location(
        &self,
        scheme: &str,
        authority: &str,
        path: &str,
        query: Option<&str>,
        matched: &PathMatcher,
    ) -> String {
        let new_scheme = if self.https { "https" } else { scheme };
        let host = match &self.host {
            Some(host) => host,
            None => self.kept_host(scheme, new_scheme, authority),
        };
        let mut location = format!("{new_scheme}://{host}");
        if let Some(port) = self.port {
            location.push_str(&format!(":{port}"));
        }
        let (path, own_query) = match &self.path {
            None => (Cow::Borrowed(path), false),
            Some(RedirectPath::Path(new)) => (Cow::Borrowed(&**new), new.contains('?')),
            Some(RedirectPath::Prefix(new)) => (rewrite_prefix(path, matched, new), false),
            Some(RedirectPath::Regex(substitution)) => (substitution.replace_all(path), false),
        };
        location.push_str(&path);
        if let (Some(query), false, false) = (query, own_query, self.strip_query) {
            location.push('?');
            location.push_str(query);
        }
        location
    }

    fn kept_host<'a>(&self, old_scheme: &str, new_scheme: &str, authority: &'a str) -> &'a str {
        // The port follows the last colon, which in an IPv6 literal must come after the bracket.
        let Some((host, port)) = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
            return authority;
        };
        let default = matches!((old_scheme, port), ("http", "80") | ("https", "443"));
        if self.port.is_some() || (default && old_scheme != new_scheme) { host } else { authority }
    }
}

/// Replaces what `matched` matched in `path` (without query): the prefix, or the whole path for the other kinds.
/// An empty replacement leaves the path alone, as in Envoy.
pub fn rewrite_prefix<'p>(path: &'p str, matched: &PathMatcher, replacement: &'p str) -> Cow<'p, str> {
    if replacement.is_empty() {
        return Cow::Borrowed(path);
    }
    match matched {
        PathMatcher::Prefix { text, .. } => match path.get(text.len()..) {
            Some("") => Cow::Borrowed(replacement),
            Some(rest) => Cow::Owned([replacement, rest].concat()),
            // Not a path that this matcher matches: nothing to replace.
            None => Cow::Borrowed(path),
        },
        PathMatcher::Exact { .. } | PathMatcher::Regex { .. } => Cow::Borrowed(replacement),
        PathMatcher::Connect => Cow::Borrowed(path),
    }
}

impl TryFrom<wire::Redirect> for Redirect {
    type Error = Invalid;

    fn try_from(wire: wire::Redirect) -> Result<Self, Invalid> {
        use wire::redirect::PathRewrite as Wire;
        let status = match wire::RedirectCode::try_from(wire.code) {
            Ok(wire::RedirectCode::MovedPermanently) => http::StatusCode::MOVED_PERMANENTLY,
            Ok(wire::RedirectCode::Found) => http::StatusCode::FOUND,
            Ok(wire::RedirectCode::SeeOther) => http::StatusCode::SEE_OTHER,
            Ok(wire::RedirectCode::TemporaryRedirect) => http::StatusCode::TEMPORARY_REDIRECT,
            Ok(wire::RedirectCode::PermanentRedirect) => http::StatusCode::PERMANENT_REDIRECT,
            Err(_) => return Err(Invalid::new("code", format!("{} is unknown", wire.code))),
        };
        let path = match wire.path_rewrite {
            // Empty texts keep the path, as in Envoy.
            Some(Wire::Path(text) | Wire::Prefix(text)) if text.is_empty() => None,
            Some(Wire::Path(text)) => Some(RedirectPath::Path(header_text("path", text)?)),
            Some(Wire::Prefix(text)) => Some(RedirectPath::Prefix(header_text("prefix", text)?)),
            Some(Wire::Regex(rewrite)) => {
                Some(RedirectPath::Regex(rewrite.try_into().map_err(|e: Invalid| e.under("regex"))?))
            }
            None => None,
        };
        Ok(Self {
            host: (!wire.host.is_empty()).then(|| header_text("host", wire.host)).transpose()?,
            https: wire.https,
            port: (wire.port != 0).then(|| super::field::port("port", wire.port)).transpose()?,
            path,
            status,
            strip_query: wire.strip_query,
        })
    }
}

/// A text that becomes part of a header value.
fn header_text(field: &str, text: String) -> Result<Arc<str>, Invalid> {
    match text.bytes().any(|b| b.is_ascii_control()) {
        true => Err(Invalid::new(field, "contains a control character")),
        false => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests;
