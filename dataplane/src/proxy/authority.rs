//! Strict reading of a Host field or `:authority` (RFC 9110 4.2, RFC 3986 3.2): a name or address, and perhaps a port.
//!
//! A value that two parsers could read differently is refused, because the next hop would route by its own reading.

use std::net::Ipv6Addr;

/// Whether `text` is `host [":" port]` with a host that is not empty.
pub(crate) fn is_valid(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port))
        });
    }
    let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
    !host.is_empty()
        && host.len() <= 255
        && host.bytes().all(is_host_byte)
        && (port.is_empty() || is_port(port))
}

/// The port of a valid one, if it names any.
pub(super) fn port(text: &str) -> Option<&str> {
    let after = text.rsplit_once(']').map_or(text, |(_, after)| after);
    after.rsplit_once(':').map(|(_, port)| port)
}

/// What a registered name holds in practice: no percent-encoding, no sub-delims. An underscore is common.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// `:` and a number from 0 to 65535.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|digits| {
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn hosts_and_ports_are_taken() {
        for good in [
            "a",
            "a.test",
            "A-1.Test",
            "my_svc",
            "a.test:80",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:443",
            "a.:65535",
        ] {
            assert!(is_valid(good), "{good}");
        }
    }

    #[test]
    fn ports_are_told_from_addresses() {
        for (text, port) in [
            ("a:1", Some("1")),
            ("a", None),
            ("[::1]:2", Some("2")),
            ("[::1]", None),
            ("1.2.3.4:5", Some("5")),
        ] {
            assert_eq!(super::port(text), port, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "", ":80", "a:", "a:b", "a:80:80", "a:65536", "a:+8", "a b", "a/b", "a?b", "a#b", "a,b", "a\\b",
            "u@a", "http://a", "[::1", "[::1]x", "[::g]", "[]", "::1", "a%2fb", "ä", "a\tb", "*",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
