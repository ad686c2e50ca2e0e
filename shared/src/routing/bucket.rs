//! The routes that are filed under one path, in route order.
//!
//! Long buckets are filed once more, each route under its rarest condition that a request fulfils by a value it
//! carries: an exact header or query value, a method, or the presence of a field. So ten thousand routes of one path
//! that are told apart by a header cost one look-up, not ten thousand comparisons.

use std::collections::HashMap;

use http::HeaderName;

use super::{FieldName, Matcher, PathMatcher, RequestView, ValueMatcher};

/// No route.
pub(super) const NONE: u32 = u32::MAX;

/// Buckets up to this length are scanned.
const SCAN: usize = 8;

/// Routes by number, in route order.
pub(super) type Numbers = Box<[u32]>;

/// The routes of one path.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The first route that the path alone decides. Later ones can never be reached from this bucket and are not in it.
    sure: u32,
    /// Routes before that, which have more conditions.
    maybe: Maybe,
}

#[derive(Debug)]
enum Maybe {
    One(u32),
    Scan(Numbers),
    Keyed(Box<Keyed>),
}

impl Bucket {
    /// The bucket of `routes`, which are in order and whose path (or a beginning of it) is known to match.
    pub(super) fn build(routes: &[u32], matchers: &[&Matcher]) -> Self {
        let matcher = |route: &u32| matchers.get(*route as usize).copied();
        let is_sure = |route: &&u32| {
            matcher(route).is_some_and(|m| m.is_path_only() && !matches!(m.path, PathMatcher::Regex { .. }))
        };
        let sure = routes.iter().find(is_sure).copied().unwrap_or(NONE);
        let open: Vec<u32> = routes.iter().copied().filter(|route| *route < sure).collect();
        let maybe = match *open {
            [one] => Maybe::One(one),
            ref few if few.len() <= SCAN => Maybe::Scan(few.into()),
            ref many => Maybe::Keyed(Box::new(Keyed::build(many, matcher))),
        };
        Self { sure, maybe }
    }

    /// The route that the path alone decides, or [`NONE`].
    pub(super) fn sure(&self) -> u32 {
        self.sure
    }

    /// Gives `take` lists that hold every route with more conditions that `request` may fulfil.
    pub(super) fn candidates<'b>(&'b self, request: &RequestView<'_>, mut take: impl FnMut(&'b [u32])) {
        match &self.maybe {
            Maybe::One(one) => take(std::slice::from_ref(one)),
            Maybe::Scan(few) => take(few),
            Maybe::Keyed(keyed) => keyed.candidates(request, &mut take),
        }
    }
}

/// Routes filed under a condition each.
#[derive(Debug, Default)]
struct Keyed {
    /// Routes whose conditions say nothing about a value that is there.
    rest: Numbers,
    pseudo: HashMap<FieldName, Values>,
    headers: HashMap<HeaderName, Values>,
    query: HashMap<Box<str>, Values>,
}

/// Routes filed under the value of one field.
#[derive(Debug, Default)]
struct Values {
    exact: HashMap<Box<str>, Numbers>,
    any: Numbers,
}

/// A condition that a request fulfils by a value; `None` = any value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'m> {
    Field(&'m FieldName, Option<&'m str>),
    Query(&'m str, Option<&'m str>),
}

/// Alternatives, one of which a request must fulfil for a route to match.
type Keys<'m> = Vec<Key<'m>>;

fn exact(value: &ValueMatcher) -> Option<&str> {
    match value {
        ValueMatcher::Exact(text) => Some(text),
        ValueMatcher::Present | ValueMatcher::Regex { .. } => None,
    }
}

fn conditions(matcher: &Matcher) -> Vec<Keys<'_>> {
    let methods: Keys<'_> =
        matcher.methods.iter().map(|method| Key::Field(&FieldName::Method, Some(method))).collect();
    // An inverted value needs a field to be there; an inverted presence needs nothing.
    let headers = matcher.headers.iter().filter(|h| !h.invert || h.value != ValueMatcher::Present);
    let headers = headers.map(|h| vec![Key::Field(&h.name, if h.invert { None } else { exact(&h.value) })]);
    let query = matcher.query.iter().map(|q| vec![Key::Query(&q.name, exact(&q.value))]);
    headers.chain(query).chain(std::iter::once(methods)).filter(|keys| !keys.is_empty()).collect()
}

impl Keyed {
    fn build<'m>(routes: &[u32], matcher: impl Fn(&u32) -> Option<&'m Matcher>) -> Self {
        let all: Vec<(u32, Vec<Keys<'m>>)> =
            routes.iter().map(|route| (*route, matcher(route).map(conditions).unwrap_or_default())).collect();
        let mut count: HashMap<Key<'m>, usize> = HashMap::new();
        for key in all.iter().flat_map(|(_, conditions)| conditions.iter().flatten()) {
            *count.entry(*key).or_default() += 1;
        }
        let crowd = |keys: &Keys<'m>| keys.iter().filter_map(|key| count.get(key)).max().copied();

        let mut filed: HashMap<Key<'m>, Vec<u32>> = HashMap::new();
        let mut rest = Vec::new();
        for (route, conditions) in &all {
            match conditions.iter().min_by_key(|keys| crowd(keys)) {
                None => rest.push(*route),
                Some(keys) => keys.iter().for_each(|key| {
                    let routes = filed.entry(*key).or_default();
                    // A method may stand in the list twice.
                    if routes.last() != Some(route) {
                        routes.push(*route);
                    }
                }),
            }
        }

        let mut keyed = Self { rest: rest.into(), ..Self::default() };
        for (key, routes) in filed {
            let (values, value) = match key {
                Key::Field(FieldName::Header(name), value) => {
                    (keyed.headers.entry(name.clone()).or_default(), value)
                }
                Key::Field(name, value) => (keyed.pseudo.entry(name.clone()).or_default(), value),
                Key::Query(name, value) => (keyed.query.entry(name.into()).or_default(), value),
            };
            match value {
                Some(value) => {
                    values.exact.insert(value.into(), routes.into());
                }
                None => values.any = routes.into(),
            }
        }
        keyed
    }

    fn candidates<'b>(&'b self, request: &RequestView<'_>, take: &mut impl FnMut(&'b [u32])) {
        take(&self.rest);
        for (name, values) in &self.pseudo {
            name.values(request).iter().for_each(|value| values.candidates(value.text(), take));
        }
        let mut header = |name: &HeaderName, values: &'b Values| {
            let texts = request.headers.get_all(name).iter().map(|v| std::str::from_utf8(v.as_bytes()).ok());
            texts.for_each(|text| values.candidates(text, take));
        };
        // Along the shorter of the two lists: what routes ask for, or what the request has.
        if self.headers.len() <= request.headers.keys_len() {
            self.headers.iter().for_each(|(name, values)| header(name, values));
        } else {
            let known = |name| self.headers.get_key_value(name);
            request.headers.keys().filter_map(known).for_each(|(name, values)| header(name, values));
        }
        if !self.query.is_empty() {
            // A later occurrence of a parameter gives candidates too many, which does no harm.
            let known = |(name, value)| self.query.get(name).map(|values| (values, value));
            request
                .parameters()
                .filter_map(known)
                .for_each(|(values, value)| values.candidates(Some(value), take));
        }
    }
}

impl Values {
    /// `None` is a value that is not text.
    fn candidates<'b>(&'b self, value: Option<&str>, take: &mut impl FnMut(&'b [u32])) {
        take(&self.any);
        if let Some(routes) = value.and_then(|value| self.exact.get(value)) {
            take(routes);
        }
    }
}
