//! Routes that can never match, because an earlier one takes all their requests.
//!
//! Only earlier routes that can cover a path are looked at: those with the same path text, and prefixes of it, found by
//! hash. What is left is decided by `routing::Matcher::covers`, the model that workers route by.

use std::collections::{BTreeSet, HashMap};

use portcullis_shared::routing;

use super::flatten::{FlatRoute, Reporter};
use crate::compile::lower_matcher;
use crate::ir::{Matcher, PathMatch, Route};
use crate::resource::Level;

use super::super::notes::Note;

/// Of the earlier routes with one path, this many are compared. More differ by header or method as a rule.
const CANDIDATES: usize = 8;

/// Warns about each. `sources` says which flat route each route was made from.
pub(super) fn warn<'s>(
    routes: &[Route],
    sources: &[usize],
    flat: &[FlatRoute<'s>],
    reporter: &mut Reporter<'s>,
) {
    let mut seen = Seen::default();
    for (at, route) in routes.iter().enumerate() {
        let source = sources.get(at).copied();
        let cover = seen.cover(&route.matcher, |earlier| {
            // Matchers of one route do the same thing, so none of them hides another.
            sources.get(earlier).copied() != source && covers(routes.get(earlier), route)
        });
        match (cover.and_then(|earlier| routes.get(earlier)), source.and_then(|at| flat.get(at))) {
            (Some(earlier), Some(later)) => report(earlier, route, later, reporter),
            _ => seen.add(at, &route.matcher),
        }
    }
}

fn covers(earlier: Option<&Route>, later: &Route) -> bool {
    let model = |matcher: &Matcher| routing::Matcher::try_from(lower_matcher(matcher)).ok();
    let earlier = earlier.and_then(|route| model(&route.matcher));
    match (earlier, model(&later.matcher)) {
        (Some(earlier), Some(later)) => earlier.covers(&later),
        _ => false,
    }
}

fn report(earlier: &Route, route: &Route, later: &FlatRoute<'_>, reporter: &mut Reporter<'_>) {
    let message = format!(
        "this route can never match: the earlier route {} ({}) takes its requests [{}]",
        earlier.name,
        describe(&earlier.matcher),
        describe(&route.matcher),
    );
    let warning = |object, path: &str| Note {
        object,
        level: Level::Warning,
        fatal: false,
        path: path.to_owned(),
        message: message.clone(),
        shared: false,
    };
    let owner = &later.owner.id;
    if *owner == *reporter.root || *earlier.origin == later.origin() {
        reporter.add(warning(owner.clone(), &later.path), &later.via);
    } else {
        // The table alone is fine; it is this virtual service that puts something before it.
        reporter.add(warning(reporter.root.clone(), &later.via), &later.via);
    }
}

fn describe(matcher: &Matcher) -> String {
    let path = match &matcher.path {
        PathMatch::Prefix { text, .. } => format!("prefix {text}"),
        PathMatch::Exact { text, .. } => format!("exact {text}"),
        PathMatch::Regex(text) => format!("regex {text}"),
        PathMatch::Connect => "CONNECT".to_owned(),
    };
    let conditions = matcher.headers.len() + matcher.query.len() + usize::from(!matcher.methods.is_empty());
    match conditions {
        0 => path,
        1 => format!("{path} and 1 condition"),
        n => format!("{path} and {n} conditions"),
    }
}

/// The earlier routes that may cover a later one, by the text of their path.
#[derive(Default)]
struct Seen {
    prefixes: HashMap<String, Vec<usize>>,
    /// Lengths of the prefixes, so that only those are looked up.
    lengths: BTreeSet<usize>,
    /// Whole paths, regexes and CONNECT, which can cover only their like.
    others: HashMap<String, Vec<usize>>,
}

impl Seen {
    fn add(&mut self, at: usize, matcher: &Matcher) {
        let (prefix, key) = key(&matcher.path);
        let list = if prefix {
            self.lengths.insert(key.len());
            self.prefixes.entry(key).or_default()
        } else {
            self.others.entry(key).or_default()
        };
        if list.len() < CANDIDATES {
            list.push(at);
        }
    }

    fn cover(&self, matcher: &Matcher, covers: impl Fn(usize) -> bool) -> Option<usize> {
        let (_, key) = key(&matcher.path);
        let (text, whole) = match &matcher.path {
            // What a regex matches is not known by its text; only `/` and the empty prefix take everything.
            PathMatch::Regex(_) => ("/", Some(&key)),
            PathMatch::Connect => ("", Some(&key)),
            PathMatch::Exact { .. } => (key.get(1..).unwrap_or_default(), Some(&key)),
            PathMatch::Prefix { .. } => (key.as_str(), None),
        };
        let prefixes = self
            .lengths
            .range(..=text.len())
            .filter_map(|length| self.prefixes.get(text.get(..*length)?))
            .flatten();
        let others = whole.and_then(|key| self.others.get(key)).into_iter().flatten();
        prefixes.chain(others).copied().find(|earlier| covers(*earlier))
    }
}

/// Whether it is a prefix, and its text in lower case. Others carry a letter for their kind in front.
fn key(path: &PathMatch) -> (bool, String) {
    match path {
        PathMatch::Prefix { text, .. } => (true, text.to_ascii_lowercase()),
        PathMatch::Exact { text, .. } => (false, format!("={}", text.to_ascii_lowercase())),
        PathMatch::Regex(text) => (false, format!("~{text}")),
        PathMatch::Connect => (false, "!".to_owned()),
    }
}
