//! Which path, regex and host texts are allowed.

use std::net::Ipv6Addr;
use std::sync::Arc;

use portcullis_shared::routing::pattern;
use portcullis_shared::table::RegexSubstitution;

/// Why a path text is refused; `None` = it is fine. The text is compared as it stands, so it has to be in the form
/// that requests have after normalisation.
pub fn problem(path: &str) -> Option<String> {
    for sequence in ["//", "/./", "/../", "%2f", "%2F", "#"] {
        if path.contains(sequence) {
            return Some(format!("path [{path}] cannot contain [{sequence}]"));
        }
    }
    for suffix in ["/..", "/."] {
        if path.ends_with(suffix) {
            return Some(format!("path [{path}] cannot end with [{suffix}]"));
        }
    }
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => {
                bytes.next().is_some_and(|it| it.is_ascii_hexdigit())
                    && bytes.next().is_some_and(|it| it.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"/:@._~!$&'()*+,=;-".contains(&byte),
        };
        if !fine {
            return Some(format!(
                "path [{path}] is invalid: only letters, digits, /:@._~!$&'()*+,=;- and %XX are allowed"
            ));
        }
    }
    None
}

/// Why a regex that must fit a whole text is refused; `None` = it compiles within the size limit. RE2 syntax.
pub fn regex_problem(regex: &str) -> Option<String> {
    let reason = pattern::full(regex).err()?;
    Some(format!("invalid regex [{regex}]: {reason}"))
}

/// The same for a pattern with its substitution.
pub fn substitution_problem(pattern: &str, substitution: &str) -> Option<String> {
    let invalid = RegexSubstitution::new(pattern, substitution).err()?;
    Some(format!("invalid regex [{pattern}]: {}", invalid.reason))
}

/// Why a text cannot stand in a Host header; `None` = it is a name or an address, with a port or without.
pub fn host_problem(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let port = rest.strip_prefix(':');
            if address.parse::<Ipv6Addr>().is_err() || (port.is_none() && !rest.is_empty()) {
                return Some(format!("[{host}] is not a host: brackets are for IPv6 addresses"));
            }
            (None, port)
        }
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    if name == Some("") {
        return Some(format!("[{host}] is not a host: it has no name"));
    }
    if let Some(bad) = name.and_then(not_of_a_name) {
        return Some(format!("[{host}] is not a host: {bad:?} cannot be in a name"));
    }
    port.filter(|port| !is_port(port)).map(|port| format!("[{host}] is not a host: [{port}] is not a port"))
}

/// Why no request has a host that this domain is for; `None` = one may have. The domain parses, and is lower case.
pub fn unmatched_domain(domain: &str) -> Option<String> {
    let text = domain.strip_prefix('*').or_else(|| domain.strip_suffix('*')).unwrap_or(domain);
    if text.contains("://") {
        return Some("a host has no scheme".to_owned());
    }
    if text.contains('/') {
        return Some("a host has no path".to_owned());
    }
    if text.contains(char::is_whitespace) {
        return Some("a host has no spaces".to_owned());
    }
    if !text.is_ascii() {
        return Some("a host has ASCII letters only, others are written in Punycode (xn--)".to_owned());
    }
    // What a bracket belongs to may be under the wildcard.
    if text.contains(['[', ']']) {
        return None;
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    if let Some(bad) = not_of_a_name(name) {
        return Some(format!("a host has no {bad:?}"));
    }
    let (open_start, open_end) = (domain.starts_with('*'), domain.ends_with('*'));
    if name.contains("..") || (name.starts_with('.') && !open_start) || (name.is_empty() && !open_start) {
        return Some("a part between its dots is empty".to_owned());
    }
    let port = port.filter(|port| !(is_port(port) || open_end && port.is_empty()));
    port.map(|port| format!("[{port}] is not a port"))
}

/// The first character that the name of a host cannot have.
fn not_of_a_name(name: &str) -> Option<char> {
    name.chars().find(|it| !it.is_ascii_alphanumeric() && !"-._~%!$&'()*+,;=".contains(*it))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Lower case without allocating when it already is.
pub fn lower(text: &str) -> Arc<str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for fine in ["/", "/a/b", "/a%20b", "/~x;v=1,2", "", "*", "/a.b/..c", "/(x)*+'!$&@:"] {
            assert_eq!(problem(fine), None, "{fine}");
        }
        for bad in [
            "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a#b", "/a/..", "/a/.", "/a b", "/a%zz",
            "/a%2", "/ä", "/a?b",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for fine in
            ["a", "a.example.com", "a:80", "10.0.0.1", "10.0.0.1:65535", "[::1]", "[::1]:8080", "a_b", "a."]
        {
            assert_eq!(host_problem(fine), None, "{fine}");
        }
        for bad in [
            "", "a b/ü", "a b", "ü", "a/b", "a:", "a:0", "a:x", "a:65536", "a:+1", ":80", "::1", "[a]",
            "[::1]x", "[::1", "a@b", "http://a",
        ] {
            assert!(host_problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn domains_that_no_host_fits() {
        for fine in [
            "*",
            "a.com",
            "a.com:80",
            "*.a.com",
            "*-a.com",
            "*:80",
            "*.a.com:80",
            "a.*",
            "a-*",
            "a:*",
            "a:8*",
            "[::1]",
            "[::1]:80",
            "*]:80",
            "a_b.com",
            "a.com.",
            "10.0.0.1",
        ] {
            assert_eq!(unmatched_domain(fine), None, "{fine}");
        }
        for (bad, why) in [
            ("https://a.com", "scheme"),
            ("a.com/b", "path"),
            ("a .com", "spaces"),
            ("bücher.de", "Punycode"),
            ("a..com", "empty"),
            (".a.com", "empty"),
            (":80", "empty"),
            ("a.com:x", "[x] is not a port"),
            ("a.com:", "[] is not a port"),
            ("a.com:70000", "[70000] is not a port"),
            ("*.a.com:0", "[0] is not a port"),
            ("a@b", "'@'"),
        ] {
            assert!(unmatched_domain(bad).is_some_and(|it| it.contains(why)), "{bad}");
        }
    }

    #[test]
    fn regexes() {
        assert_eq!(regex_problem("/a/[0-9]+"), None);
        assert!(regex_problem("/a/[0-9+").is_some_and(|it| it.contains("[/a/[0-9+]")));
        assert!(regex_problem("(?=x)").is_some());
        assert!(regex_problem("((a{1000}){1000}){1000}").is_some());
    }
}
