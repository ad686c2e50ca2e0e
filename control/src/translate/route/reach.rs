//! Routes that can never match, because an earlier one takes all their requests.
//!
//! Which those are is decided by `routing::unreachable`, on the model that workers route by.

use portcullis_shared::routing;

use super::flatten::{FlatRoute, Reporter};
use crate::compile::lower_matcher;
use crate::ir::{Matcher, PathMatch, Route};
use crate::resource::Level;

use super::super::notes::Note;

/// Warns about each. `sources` says which flat route each route was made from.
pub(super) fn warn<'s>(
    routes: &[Route],
    sources: &[usize],
    flat: &[FlatRoute<'s>],
    reporter: &mut Reporter<'s>,
) {
    let model = |route: &Route| routing::Matcher::try_from(lower_matcher(&route.matcher)).ok();
    // A matcher that is no model has its error already.
    let models: Vec<(usize, routing::Matcher)> =
        routes.iter().enumerate().filter_map(|(at, route)| Some((at, model(route)?))).collect();
    let matchers: Vec<&routing::Matcher> = models.iter().map(|(_, matcher)| matcher).collect();
    let position = |model: usize| models.get(model).map(|(at, _)| *at);
    let source = |model: usize| position(model).and_then(|at| sources.get(at)).copied();
    // Matchers of one route do the same thing, so none of them hides another.
    let hidden = routing::unreachable(&matchers, |earlier, later| source(earlier) != source(later));
    for (later, earlier) in hidden {
        let route = |model| position(model).and_then(|at| routes.get(at));
        let flat = source(later).and_then(|at| flat.get(at));
        if let (Some(earlier), Some(later), Some(flat)) = (route(earlier), route(later), flat) {
            report(earlier, later, flat, reporter);
        }
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
