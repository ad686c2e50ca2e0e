//! Which path and regex texts are allowed.

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
    fn regexes() {
        assert_eq!(regex_problem("/a/[0-9]+"), None);
        assert!(regex_problem("/a/[0-9+").is_some_and(|it| it.contains("[/a/[0-9+]")));
        assert!(regex_problem("(?=x)").is_some());
        assert!(regex_problem("((a{1000}){1000}){1000}").is_some());
    }
}
