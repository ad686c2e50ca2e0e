//! Whether one matcher takes every request that another one would: the reason for warnings about unreachable routes.
//!
//! The answer is conservative. What is claimed holds for every request whose path has no line feed, which is every
//! request that HTTP can carry; what is not claimed may hold all the same.

use std::collections::HashMap;

use super::{FieldName, HeaderMatcher, Matcher, PathMatcher, QueryMatcher, ValueMatcher, pattern};

impl Matcher {
    /// True only if every request that `other` matches is matched by this one. False may mean "not sure".
    pub fn covers(&self, other: &Self) -> bool {
        covers(self, other, &beginnings(&other.path))
    }
}

/// Every path that the matcher fits begins with one of these.
fn beginnings(path: &PathMatcher) -> Vec<Vec<u8>> {
    match path {
        PathMatcher::Prefix { text, .. } | PathMatcher::Exact { text, .. } => vec![text.as_bytes().to_vec()],
        PathMatcher::Regex { text, .. } => pattern::beginnings(text),
        PathMatcher::Connect => Vec::new(),
    }
}

fn covers(a: &Matcher, b: &Matcher, beginnings: &[Vec<u8>]) -> bool {
    let methods = a.methods.is_empty()
        || (!b.methods.is_empty() && b.methods.iter().all(|method| a.methods.contains(method)));
    methods
        && covers_path(&a.path, &b.path, beginnings)
        && a.headers.iter().all(|wanted| b.headers.iter().any(|given| implies_header(given, wanted)))
        && a.query.iter().all(|wanted| b.query.iter().any(|given| implies_query(given, wanted)))
}

fn covers_path(a: &PathMatcher, b: &PathMatcher, beginnings: &[Vec<u8>]) -> bool {
    if a == b {
        return true;
    }
    if matches!(b, PathMatcher::Connect) {
        return false;
    }
    let any_case = matches!(
        b,
        PathMatcher::Prefix { ignore_case: true, .. } | PathMatcher::Exact { ignore_case: true, .. }
    );
    let begin_with = |text: &str, ignore_case: bool| {
        (ignore_case || !any_case || !has_letters(text))
            && beginnings.iter().all(|beginning| match beginning.get(..text.len()) {
                Some(head) if ignore_case => head.eq_ignore_ascii_case(text.as_bytes()),
                Some(head) => head == text.as_bytes(),
                None => false,
            })
    };
    match (a, b) {
        (PathMatcher::Prefix { text, ignore_case }, _) => begin_with(text, *ignore_case),
        (PathMatcher::Exact { text, ignore_case: true }, PathMatcher::Exact { text: other, .. }) => {
            text.eq_ignore_ascii_case(other)
        }
        (PathMatcher::Exact { text, ignore_case: false }, PathMatcher::Exact { text: other, .. }) => {
            text == other && !(any_case && has_letters(text))
        }
        (PathMatcher::Regex { regex, .. }, PathMatcher::Exact { text, .. })
            if !(any_case && has_letters(text)) && regex.is_match(text) =>
        {
            true
        }
        (PathMatcher::Regex { text, .. }, _) => {
            literal_prefix(text).is_some_and(|text| begin_with(text, false))
        }
        (PathMatcher::Exact { .. } | PathMatcher::Connect, _) => false,
    }
}

fn has_letters(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// The text of an expression like `/api/.*`, which is a prefix in disguise.
fn literal_prefix(regex: &str) -> Option<&str> {
    let text = regex.strip_suffix(".*")?;
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%' | ',' | ':' | '@');
    text.chars().all(plain).then_some(text)
}

/// Whether every request that fulfils `given` fulfils `wanted`.
fn implies_header(given: &HeaderMatcher, wanted: &HeaderMatcher) -> bool {
    if given == wanted {
        return true;
    }
    // An inverted value needs a field to be there; an inverted presence is the only condition that does not.
    let is_there = !given.invert || given.value != ValueMatcher::Present;
    given.name == wanted.name
        && !wanted.invert
        && is_there
        && implies_value(&given.value, given.invert, &wanted.value)
}

fn implies_query(given: &QueryMatcher, wanted: &QueryMatcher) -> bool {
    given.name == wanted.name && (given == wanted || implies_value(&given.value, false, &wanted.value))
}

/// For a value that is there. One that fits is enough, so several values change nothing.
fn implies_value(given: &ValueMatcher, inverted: bool, wanted: &ValueMatcher) -> bool {
    match (given, wanted) {
        (_, ValueMatcher::Present) => true,
        (ValueMatcher::Exact(text), ValueMatcher::Regex { regex, .. }) => !inverted && regex.is_match(text),
        _ => false,
    }
}

/// The routes that can never be reached because an earlier one covers them, each with the first that does. Like
/// [`Matcher::covers`] for all pairs, without looking at all pairs. Pairs (earlier, later) that are not `asked` for do
/// not count.
pub fn unreachable(matchers: &[&Matcher], asked: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let mut earlier = Earlier::default();
    let mut found = Vec::new();
    for (route, matcher) in matchers.iter().enumerate() {
        let beginnings = beginnings(&matcher.path);
        let hides = |by: usize| {
            asked(by, route) && matchers.get(by).is_some_and(|by| covers(by, matcher, &beginnings))
        };
        if let Some(by) = earlier.first(matcher, &beginnings, hides) {
            found.push((route, by));
        }
        earlier.file(route, matcher, &beginnings);
    }
    found
}

/// Routes by a path and a condition that whatever they cover must have too.
#[derive(Default)]
struct Earlier<'m> {
    by_path: HashMap<Path, HashMap<Condition<'m>, Vec<usize>>>,
    /// Lengths of the beginnings in `by_path`.
    lengths: std::collections::BTreeSet<usize>,
}

/// Texts are in lower case.
#[derive(PartialEq, Eq, Hash)]
enum Path {
    BeginsWith(Vec<u8>),
    Exact(Vec<u8>),
    Connect,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Condition<'m> {
    None,
    Method(&'m str),
    Header(&'m FieldName, &'m str),
    Query(&'m str, &'m str),
}

/// Exact values that a matcher asks for: what it covers asks for the same.
fn exact_values(matcher: &Matcher) -> impl Iterator<Item = Condition<'_>> {
    let headers = matcher.headers.iter().filter_map(|header| match &header.value {
        ValueMatcher::Exact(text) if !header.invert => Some(Condition::Header(&header.name, text)),
        _ => None,
    });
    let query = matcher.query.iter().filter_map(|query| match &query.value {
        ValueMatcher::Exact(text) => Some(Condition::Query(&query.name, text)),
        _ => None,
    });
    headers.chain(query)
}

impl<'m> Earlier<'m> {
    fn file(&mut self, route: usize, matcher: &'m Matcher, beginnings: &[Vec<u8>]) {
        let paths: Vec<Path> = match &matcher.path {
            PathMatcher::Connect => vec![Path::Connect],
            PathMatcher::Exact { text, .. } => vec![Path::Exact(text.as_bytes().to_ascii_lowercase())],
            PathMatcher::Prefix { .. } | PathMatcher::Regex { .. } => {
                self.lengths.extend(beginnings.iter().map(Vec::len));
                beginnings.iter().map(|text| Path::BeginsWith(text.to_ascii_lowercase())).collect()
            }
        };
        let conditions: Vec<Condition<'m>> = match exact_values(matcher).next() {
            Some(condition) => vec![condition],
            None if matcher.methods.is_empty() => vec![Condition::None],
            None => matcher.methods.iter().map(|method| Condition::Method(method)).collect(),
        };
        for path in paths {
            let routes = self.by_path.entry(path).or_default();
            conditions.iter().for_each(|condition| routes.entry(*condition).or_default().push(route));
        }
    }

    /// The first route that `hides` the one with this matcher.
    fn first(
        &self,
        matcher: &'m Matcher,
        beginnings: &[Vec<u8>],
        hides: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut paths = Vec::new();
        match (&matcher.path, beginnings.first()) {
            (PathMatcher::Connect, _) => paths.push(Path::Connect),
            // What covers the path covers all its beginnings, so one of them leads to it.
            (path, Some(text)) => {
                let text = text.to_ascii_lowercase();
                let shorter = self.lengths.range(..=text.len()).filter_map(|len| text.get(..*len));
                paths.extend(shorter.map(|text| Path::BeginsWith(text.to_vec())));
                if matches!(path, PathMatcher::Exact { .. }) {
                    paths.push(Path::Exact(text));
                }
            }
            // An expression that fits nothing.
            (_, None) => {}
        }
        let method = matcher.methods.first().map(|method| Condition::Method(method));
        let conditions: Vec<_> = exact_values(matcher).chain(method).chain([Condition::None]).collect();
        let lists = paths.iter().filter_map(|path| self.by_path.get(path));
        let lists = lists.flat_map(|routes| conditions.iter().filter_map(|condition| routes.get(condition)));
        lists.filter_map(|routes| routes.iter().copied().find(|by| hides(*by))).min()
    }
}

#[cfg(test)]
mod tests;
