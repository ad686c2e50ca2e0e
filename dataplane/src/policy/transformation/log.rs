//! `logRequestResponseInfo`: a message at debug level, without what identifies its sender.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};

use super::head::Head;

/// Bytes of a body that are shown.
const SHOWN: usize = 4096;

pub(super) fn message(when: &str, head: &dyn Head, body: Option<&Bytes>) {
    let line: Vec<_> =
        [":method", ":path", ":authority", ":status"].iter().filter_map(|name| head.pseudo(name)).collect();
    let body = body.map(|body| String::from_utf8_lossy(body.get(..SHOWN).unwrap_or(body)));
    tracing::debug!(
        line = %line.join(" "),
        headers = ?Shown(head.headers()),
        body = body.as_deref(),
        "message {when} its transformation"
    );
}

struct Shown<'a>(&'a HeaderMap);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];
        f.debug_map()
            .entries(self.0.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.as_str(), if secret.contains(name) { "..".into() } else { value })
            }))
            .finish()
    }
}
