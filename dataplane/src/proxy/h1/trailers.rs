//! The fields after a body: read from the last lines of a chunked body, and rid of what a trailer must not say.
//!
//! Whoever comes behind the gateway may merge trailers into the header (RFC 9110 6.5.1 warns of it), so nothing passes
//! that would then frame, route, authenticate or otherwise change the message.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::{Invalid, head};

/// Reads a trailer section, its empty line included.
pub(super) fn read(section: &Bytes, most: usize) -> Result<HeaderMap, Invalid> {
    let mut trailers = HeaderMap::new();
    head::fields(section, most, &mut trailers)?;
    Ok(trailers)
}

/// Trailers without what must not stand there; `None` when nothing is left.
pub(in crate::proxy) fn sanitize(trailers: Option<HeaderMap>) -> Option<HeaderMap> {
    let mut trailers = trailers?;
    let forbidden: Vec<HeaderName> =
        trailers.keys().filter(|name| is_forbidden(name.as_str())).cloned().collect();
    for name in &forbidden {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

/// Framing, routing, authentication, request modifiers, and what is for one hop (RFC 9110 6.5.1, 7.6.1).
fn is_forbidden(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "expect"
            | "forwarded"
            | "host"
            | "keep-alive"
            | "max-forwards"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "range"
            | "set-cookie"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "www-authenticate"
            | "http2-settings"
            | "x-request-id"
            | "location"
    ) || ["if-", "x-forwarded-", "x-envoy-"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_message_does_not_pass() {
        let text = Bytes::from_static(
            b"x-sum: 1\r\nContent-Length: 7\r\nHost: evil\r\nx-forwarded-for: 1.2.3.4\r\nIf-Match: x\r\n\r\n",
        );
        let passed = sanitize(Some(read(&text, 10).unwrap())).unwrap();
        assert_eq!((passed.len(), passed["x-sum"].as_bytes()), (1, &b"1"[..]));
        let text = Bytes::from_static(b"Transfer-Encoding: chunked\r\n\r\n");
        assert_eq!(sanitize(Some(read(&text, 10).unwrap())), None);
        assert!(read(&Bytes::from_static(b"a: 1\r\nb: 2\r\n\r\n"), 1).is_err());
    }
}
