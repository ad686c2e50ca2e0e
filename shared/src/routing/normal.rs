//! Path normalisation: one form of the path for matching and for the upstream, as Envoy's `normalize_path` gives it.
//!
//! Dot segments are resolved (`%2e` counts as a dot), `\` becomes `/`, percent-encoded unreserved characters are decoded
//! and characters that no URI may hold are encoded. `//` and `%2f` stay: they may mean something to the upstream. Owns
//! no state; must not look at the query.

use std::borrow::Cow;

/// A path that has no safe reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// NUL, plain or encoded.
    #[error("the path holds a NUL")]
    Nul,
    /// `#`, which clients keep to themselves.
    #[error("the target holds a fragment")]
    Fragment,
}

/// `target` is a path with its query, if any. Borrowed when there is nothing to change.
///
/// # Errors
/// The path has no safe reading; the gateway answers 400.
pub fn normalize(target: &str) -> Result<Cow<'_, str>, BadPath> {
    if target.contains('#') {
        return Err(BadPath::Fragment);
    }
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    if !path.bytes().any(is_suspect) {
        return Ok(Cow::Borrowed(target));
    }
    let mut clean = resolve_dots(&recode(path)?);
    if clean == path {
        return Ok(Cow::Borrowed(target));
    }
    clean.push_str(query);
    Ok(Cow::Owned(clean))
}

/// What is done to a path beside [`normalize`], or in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathRules {
    /// [`normalize`] is left out.
    pub keep_dot_segments: bool,
    /// Slashes that follow one another are one.
    pub merge_slashes: bool,
    /// `%2f` is a slash and `%5c` a backslash.
    pub unescape_slashes: bool,
}

/// The path that requests are matched and forwarded by; and whether it held escaped slashes, which are slashes now.
///
/// # Errors
/// As [`normalize`].
pub fn read(target: &str, rules: PathRules) -> Result<(Cow<'_, str>, bool), BadPath> {
    if rules == PathRules::default() {
        return Ok((normalize(target)?, false));
    }
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut path = Cow::Borrowed(path);
    let unescaped = rules.unescape_slashes && path.contains('%') && {
        let plain = unescape_slashes(&path);
        let found = plain != *path;
        path = Cow::Owned(plain);
        found
    };
    if rules.keep_dot_segments {
        // What has no safe reading is refused all the same.
        normalize(target)?;
    } else {
        path = Cow::Owned(normalize(&path)?.into_owned());
    }
    if rules.merge_slashes && path.contains("//") {
        let mut merged = String::with_capacity(path.len());
        for c in path.chars() {
            if c != '/' || !merged.ends_with('/') {
                merged.push(c);
            }
        }
        path = Cow::Owned(merged);
    }
    let mut whole = path.into_owned();
    whole.push_str(query);
    Ok((Cow::Owned(whole), unescaped))
}

fn unescape_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (plain, taken) = match from.get(1..3) {
            Some("2f" | "2F") => ('/', 3),
            Some("5c" | "5C") => ('\\', 3),
            _ => ('%', 1),
        };
        out.push(plain);
        rest = from.get(taken..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

/// Without one of these bytes a path is normal already.
fn is_suspect(byte: u8) -> bool {
    matches!(byte, b'%' | b'.') || needs_change(byte)
}

fn needs_change(byte: u8) -> bool {
    byte == b'\\' || must_encode(byte)
}

/// Bytes that RFC 3986 allows in no part of a URI.
fn must_encode(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f..)
}

/// RFC 3986 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Percent-encoding in its normal form, slashes one way.
fn recode(path: &str) -> Result<String, BadPath> {
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        match byte {
            b'%' => match bytes.get(at..at + 2).and_then(hex) {
                Some(0) => return Err(BadPath::Nul),
                Some(plain) if is_unreserved(plain) && !completes_escape(&out) => {
                    out.push(char::from(plain));
                    at += 2;
                }
                // An encoded byte that means something, or no encoding at all: both stay as they came.
                _ => out.push('%'),
            },
            0 => return Err(BadPath::Nul),
            b'\\' => out.push('/'),
            _ if must_encode(byte) => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    Ok(out)
}

/// What is decoded behind this would be part of an encoding that nobody wrote: `%2%65` is not `%2e`.
fn completes_escape(out: &str) -> bool {
    let end = out.as_bytes();
    matches!(end, [.., b'%'] | [.., b'%', _])
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// RFC 3986 5.2.4. Above the root there is nothing.
fn resolve_dots(path: &str) -> String {
    let Some(rest) = path.strip_prefix('/') else { return path.to_owned() };
    let mut out = String::with_capacity(path.len());
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if last {
            out.push('/');
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, normal: &str) {
        assert_eq!(normalize(path).unwrap(), normal, "{path}");
        assert!(matches!(normalize(normal), Ok(Cow::Borrowed(_))), "{normal} is not normal");
    }

    /// Every line was seen on Envoy.
    #[test]
    fn paths_become_what_envoy_makes_of_them() {
        check("/a/./b", "/a/b");
        check("/a/../b", "/b");
        check("/%61/%2e%2e/b", "/b");
        check("/a%2fb", "/a%2fb");
        check("/a%2Fb%5c", "/a%2Fb%5c");
        check("/a\\b", "/a/b");
        check("//x//y", "//x//y");
        check("/a{b}|^`\"<>~!'()*", "/a%7Bb%7D%7C%5E%60%22%3C%3E~!'()*");
        check("/a%zz", "/a%zz");
        check("/a/..", "/");
        check("/a/.", "/a/");
        check("/../..", "/");
        check("/a%7e%7E%2D", "/a~~-");
        check("/a?x=/../%61", "/a?x=/../%61");
        check("/%7B", "/%7B");
        check("/a;b=1/../c", "/c");
        check("/a/b/..?x", "/a/?x");
        check("/.a/..b", "/.a/..b");
        check("/a/%2E", "/a/");
        check("/a/%2e%2e/", "/");
        check("*", "*");
    }

    /// Every line was seen on Envoy.
    #[test]
    fn rules_of_a_listener_change_what_paths_become() {
        let rules = |keep, merge, unescape| PathRules {
            keep_dot_segments: keep,
            merge_slashes: merge,
            unescape_slashes: unescape,
        };
        let read =
            |target, rules| read(target, rules).map(|(path, found)| (path.into_owned(), found)).unwrap();
        let case =
            |target, rules, wanted: &str, found| assert_eq!(read(target, rules), (wanted.into(), found));
        case("/a%2Fb//c?x=%2F", rules(false, true, true), "/a/b/c?x=%2F", true);
        case("/a//c", rules(false, true, false), "/a/c", false);
        case("/a%2Fb/../c%5cd/%61?x=%2F", rules(true, false, true), "/a/b/../c\\d/%61?x=%2F", true);
        case("/a/../b", rules(true, false, false), "/a/../b", false);
    }

    #[test]
    fn decoding_makes_no_new_encoding() {
        for path in ["/x/%2%65%2%65/admin", "/%%32e%%32e/admin", "/a%2%66b", "/%2fa%5%41%c3%"] {
            check(path, path);
        }
        // The first byte behind the lone sign stays encoded, so that the second one completes nothing.
        check("/%%32%65", "/%%32e");
        check("/%252e/a", "/%252e/a");
        check("/%2f%61", "/%2fa");
    }

    #[test]
    fn what_has_no_safe_reading_is_refused() {
        assert_eq!(normalize("/a%00b"), Err(BadPath::Nul));
        assert_eq!(normalize("/a#f"), Err(BadPath::Fragment));
        assert_eq!(normalize("/a?b#f"), Err(BadPath::Fragment));
    }

    #[test]
    fn slashes_survive_dots() {
        check("//a/../b", "//b");
        check("/a//../b", "/a/b");
        check("/..//b", "//b");
    }
}
