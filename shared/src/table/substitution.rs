//! Substitution by regular expression as RE2 does it: every match is replaced, `\0` to `\9` stand for groups.

use std::borrow::Cow;

use portcullis_proto::{policy::v1 as policy, table::v1 as wire};
use regex::Regex;

use crate::{Invalid, routing::pattern};

/// A pattern and what its matches become.
#[derive(Debug, Clone)]
pub struct RegexSubstitution {
    pattern: Box<str>,
    substitution: Box<str>,
    regex: Regex,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

impl RegexSubstitution {
    /// Compiles both halves. A group that the pattern does not have is an error, as is any other escape than `\\`.
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, Invalid> {
        let regex = pattern::search(pattern).map_err(|reason| Invalid::new("pattern", reason))?;
        let parts = parts(substitution, regex.captures_len()).map_err(|e| Invalid::new("substitution", e))?;
        Ok(Self { pattern: pattern.into(), substitution: substitution.into(), regex, parts })
    }

    /// The pattern as it was written.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The substitution as it was written.
    pub fn substitution(&self) -> &str {
        &self.substitution
    }

    /// Replaces every non-overlapping match in `text`.
    pub fn replace_all<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.regex.replace_all(text, |found: &regex::Captures<'_>| {
            let mut out = String::new();
            for part in &self.parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    // A group that took no part in the match is empty.
                    Part::Group(i) => out.push_str(found.get(*i).map_or("", |group| group.as_str())),
                }
            }
            out
        })
    }
}

fn parts(substitution: &str, groups: usize) -> Result<Vec<Part>, String> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut chars = substitution.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let Some(c) = chars.next() else { return Err("ends in a single backslash".into()) };
        match c.to_digit(10).map(|group| group as usize) {
            None if c == '\\' => text.push('\\'),
            None => return Err(format!("\"\\{c}\" is neither a group nor \"\\\\\"")),
            Some(group) if group >= groups => return Err(format!("the pattern has no group {group}")),
            Some(group) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Group(group));
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

impl PartialEq for RegexSubstitution {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.substitution == other.substitution
    }
}

impl Eq for RegexSubstitution {}

impl TryFrom<wire::RegexRewrite> for RegexSubstitution {
    type Error = Invalid;

    fn try_from(wire: wire::RegexRewrite) -> Result<Self, Invalid> {
        Self::new(&wire.pattern, &wire.substitution)
    }
}

impl TryFrom<policy::RegexSubstitution> for RegexSubstitution {
    type Error = Invalid;

    fn try_from(wire: policy::RegexSubstitution) -> Result<Self, Invalid> {
        Self::new(&wire.pattern, &wire.substitution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, substitution: &str, text: &str) -> String {
        RegexSubstitution::new(pattern, substitution).unwrap().replace_all(text).into_owned()
    }

    #[test]
    fn groups_and_backslashes() {
        assert_eq!(replaced("/(\\w+)/(\\w+)", "/\\2/\\1", "/a/b/c"), "/b/a/c");
        assert_eq!(replaced("b", "[\\0]", "abcb"), "a[b]c[b]");
        assert_eq!(replaced("b", "\\\\", "abc"), "a\\c");
        assert_eq!(replaced("(a)|(b)", "<\\2>", "ab"), "<><b>");
        assert_eq!(replaced("b", "$0 $1", "abc"), "a$0 $1c");
        assert_eq!(replaced("a*", "x", "baac"), "xbxcx");
    }

    #[test]
    fn nothing_matched_is_borrowed() {
        let substitution = RegexSubstitution::new("z", "y").unwrap();
        assert!(matches!(substitution.replace_all("abc"), Cow::Borrowed("abc")));
    }

    #[test]
    fn errors_name_the_half() {
        let path = |pattern, substitution| RegexSubstitution::new(pattern, substitution).unwrap_err().path;
        assert_eq!(path("(", ""), "pattern");
        assert_eq!(path("(a)", "\\2"), "substitution");
        assert_eq!(path("a", "\\x"), "substitution");
        assert_eq!(path("a", "\\"), "substitution");
    }
}
