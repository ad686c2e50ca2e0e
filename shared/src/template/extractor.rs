//! Extractors: a part of a header or of the body, found by a regular expression.
//!
//! Expressions are linear in time and bounded in size. What only a backtracking engine can do (look-around,
//! references to groups) is refused when a file is loaded.

use regex::{Captures, Regex};

use super::MAX_OUTPUT;
use crate::routing::pattern;

/// What an extractor makes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The subgroup, when the whole text matches; else nothing.
    Extract,
    /// The text with the subgroup replaced, when the whole text matches; else the text.
    SingleReplace(Box<str>),
    /// The text with every match replaced; `$1`, `$&` and `$$` stand for what they do in ECMAScript.
    ReplaceAll(Box<str>),
}

/// A compiled extractor.
#[derive(Debug, Clone)]
pub struct Extractor {
    regex: Regex,
    subgroup: usize,
    mode: Mode,
}

impl Extractor {
    /// Compiles it.
    ///
    /// # Errors
    /// The field (`regex`, `subgroup`), and what is wrong with it.
    pub fn new(regex: &str, subgroup: u32, mode: Mode) -> Result<Self, (&'static str, String)> {
        let all = matches!(mode, Mode::ReplaceAll(_));
        if all && subgroup != 0 {
            return Err(("subgroup", "must be 0 when every match is replaced".to_owned()));
        }
        let compiled = if all { pattern::search(regex) } else { pattern::full(regex) };
        let compiled = compiled.map_err(|reason| ("regex", format!("[{regex}]: {reason}")))?;
        let groups = compiled.captures_len().saturating_sub(1);
        let subgroup = usize::try_from(subgroup).unwrap_or(usize::MAX);
        if subgroup > groups {
            let problem = format!("group {subgroup} requested for regex with only {groups} sub groups");
            return Err(("subgroup", problem));
        }
        Ok(Self { regex: compiled, subgroup, mode })
    }

    /// What it makes of `text`.
    ///
    /// # Errors
    /// The result would be too large.
    pub fn apply(&self, text: &str) -> Result<String, String> {
        let group = || self.regex.captures(text).and_then(|found| found.get(self.subgroup));
        match &self.mode {
            Mode::Extract => Ok(group().map_or(String::new(), |group| group.as_str().to_owned())),
            Mode::SingleReplace(new) => Ok(match group() {
                Some(group) => {
                    let before = text.get(..group.start()).unwrap_or_default();
                    let after = text.get(group.end()..).unwrap_or_default();
                    [before, new, after].concat()
                }
                None => text.to_owned(),
            }),
            Mode::ReplaceAll(new) => self.replace_all(text, new),
        }
    }

    fn replace_all(&self, text: &str, new: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for found in self.regex.captures_iter(text) {
            // A match of nothing is none.
            let Some(whole) = found.get(0).filter(|whole| !whole.is_empty()) else { continue };
            out.push_str(text.get(from..whole.start()).unwrap_or_default());
            expand(new, &found, &mut out);
            from = whole.end();
            if out.len() > MAX_OUTPUT {
                return Err(format!("an extractor's result has more than {MAX_OUTPUT} bytes"));
            }
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Ok(out)
    }
}

/// Puts out the replacement of one match.
fn expand(new: &str, found: &Captures<'_>, out: &mut String) {
    let mut rest = new;
    while let Some(at) = rest.find('$') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let tail = tail.strip_prefix('$').unwrap_or_default();
        let digits = tail.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let group = tail.get(..digits).and_then(|digits| digits.parse::<usize>().ok());
        rest = match (tail.chars().next(), group) {
            (Some('$'), _) => {
                out.push('$');
                tail.get(1..)
            }
            (Some('&'), _) => {
                out.push_str(found.get(0).map_or("", |whole| whole.as_str()));
                tail.get(1..)
            }
            (_, Some(group)) => {
                out.push_str(found.get(group).map_or("", |group| group.as_str()));
                tail.get(digits..)
            }
            _ => {
                out.push('$');
                Some(tail)
            }
        }
        .unwrap_or_default();
    }
    out.push_str(rest);
}
