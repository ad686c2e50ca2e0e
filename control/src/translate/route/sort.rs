//! The order of routes from several RouteTables of one weight. Nothing else is ever sorted.

use std::cmp::Reverse;

use super::flatten::FlatRoute;
use super::merge::path_text;
use crate::resource::{Matcher, PathSpecifier};

/// Stable: more methods first; then no path, exact, regex, prefix; then the path text, descending. A route counts by the
/// matcher that would come first.
pub(super) fn by_path(routes: &mut [FlatRoute<'_>]) {
    routes.sort_by(|a, b| first(a).cmp(&first(b)));
}

type Rank<'a> = (Reverse<usize>, u8, Reverse<&'a str>);

fn first<'a>(route: &'a FlatRoute<'_>) -> Rank<'a> {
    let ranks = route.matchers.iter().map(|matcher| rank(matcher));
    ranks.min().unwrap_or((Reverse(0), 3, Reverse("/")))
}

fn rank(matcher: &Matcher) -> Rank<'_> {
    let kind = match matcher.path() {
        None | Some(PathSpecifier::Connect) => 0,
        Some(PathSpecifier::Exact(_)) => 1,
        Some(PathSpecifier::Regex(_)) => 2,
        Some(PathSpecifier::Prefix(_)) => 3,
    };
    (Reverse(matcher.methods.len()), kind, Reverse(path_text(matcher)))
}
