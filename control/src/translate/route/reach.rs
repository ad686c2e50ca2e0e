//! Routes that can never match, because an earlier one takes all their requests.
//!
//! The model that workers route by decides which those are.

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
    if routes.len() < 2 {
        return;
    }
    let model = |route: &Route| routing::Matcher::try_from(lower_matcher(&route.matcher)).ok();
    let Some(matchers) = routes.iter().map(model).collect::<Option<Vec<_>>>() else {
        // Every matcher was checked before, so the model takes it.
        return;
    };
    let source = |at: usize| sources.get(at).copied();
    let matchers: Vec<&routing::Matcher> = matchers.iter().collect();
    // Matchers of one route do the same thing, so none of them hides another.
    let hidden = routing::unreachable(&matchers, |earlier, later| source(earlier) != source(later));
    for (later, earlier) in hidden {
        if let (Some(earlier), Some(route), Some(later)) =
            (routes.get(earlier), routes.get(later), source(later).and_then(|at| flat.get(at)))
        {
            report(earlier, route, later, reporter);
        }
    }
}

fn report(earlier: &Route, route: &Route, later: &FlatRoute<'_>, reporter: &mut Reporter<'_>) {
    let owner = &later.owner.id;
    let elsewhere = *earlier.origin != later.origin();
    let origin = &earlier.origin;
    let of = match elsewhere {
        true => format!(" of {} {}.{}", origin.kind, origin.namespace, origin.name),
        false => String::new(),
    };
    let message = format!(
        "this route can never match [{}]: the earlier route {}{of} takes all of it [{}]",
        describe(&route.matcher),
        earlier.path,
        describe(&earlier.matcher),
    );
    let warning = |object, path: &str| Note {
        object,
        level: Level::Warning,
        fatal: false,
        path: path.to_owned(),
        message: message.clone(),
        shared: false,
    };
    if *owner == *reporter.root || !elsewhere {
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
