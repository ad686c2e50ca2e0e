//! Which path and regex texts are allowed.

use std::sync::Arc;

/// Upper bound of a compiled regex in bytes. Generous beside real patterns, small beside a worker's memory.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

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

/// Why a regex is refused; `None` = it compiles within the size limit. The syntax is RE2's.
pub fn regex_problem(pattern: &str) -> Option<String> {
    let built = regex::RegexBuilder::new(pattern).size_limit(REGEX_SIZE_LIMIT).build();
    match built {
        Ok(_) => None,
        Err(regex::Error::CompiledTooBig(limit)) => {
            Some(format!("regex [{pattern}] is too large: its program is over {limit} bytes"))
        }
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Some(format!("invalid regex [{pattern}]: {last}"))
        }
    }
}

/// Lower case without allocating when it already is.
pub fn lower(text: &str) -> Arc<str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

/// Why a header name is refused, RFC 9110 section 5.1; `None` = it is a token.
pub fn header_name_problem(name: &str) -> Option<String> {
    match http::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => None,
        Err(_) => Some(format!("[{name}] is not a valid header name")),
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
    fn regexes() {
        assert_eq!(regex_problem("/a/[0-9]+"), None);
        assert!(regex_problem("/a/[0-9+").is_some_and(|it| it.contains("[/a/[0-9+]")));
        assert!(regex_problem("(?=x)").is_some());
        assert!(
            regex_problem("((a{1000}){1000}){1000}")
                .is_some_and(|it| it.contains("too large") || it.contains("exceeds"))
        );
    }
}
