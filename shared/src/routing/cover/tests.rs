use proptest::{collection::vec, prelude::*};

use super::*;
use crate::routing::arbitrary::{crowded_matcher, matcher, request};

/// A narrower form of a matcher: more conditions, or a longer path.
fn narrower(base: Matcher) -> impl Strategy<Value = Matcher> {
    (crowded_matcher(), any::<[bool; 4]>()).prop_map(move |(extra, [path, methods, headers, query])| {
        let mut narrow = base.clone();
        if methods && narrow.methods.is_empty() {
            narrow.methods = extra.methods;
        }
        if headers {
            narrow.headers.extend(extra.headers);
        }
        if query {
            narrow.query.extend(extra.query);
        }
        if let (true, PathMatcher::Prefix { text, ignore_case }) = (path, &base.path) {
            narrow.path = PathMatcher::Exact { text: [text, "a"].concat().into(), ignore_case: *ignore_case };
        }
        narrow
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_covered_is_matched(
        (a, b) in prop_oneof![matcher(), crowded_matcher()].prop_flat_map(|a| {
            let b = prop_oneof![narrower(a.clone()), matcher(), crowded_matcher()];
            (Just(a), b)
        }),
        requests in vec(request(), 20),
    ) {
        if a.covers(&b) {
            for request in requests.iter().map(|request| request.view()) {
                prop_assert!(!b.matches(&request) || a.matches(&request), "{:?}", request);
            }
        }
    }

    #[test]
    fn unreachable_routes_are_those_that_a_pair_shows(matchers in vec(prop_oneof![matcher(), crowded_matcher()], 0..30)) {
        let all: Vec<&Matcher> = matchers.iter().collect();
        let pairs = |route: usize| all[..route].iter().position(|by| by.covers(all[route])).map(|by| (route, by));
        let scan: Vec<_> = (0..all.len()).filter_map(pairs).collect();
        prop_assert_eq!(unreachable(&all, |_, _| true), scan);
        // Neighbours are left out.
        let apart = |by: usize, route: usize| by / 2 != route / 2;
        let pairs = |route: usize| {
            let hides = |by: &usize| apart(*by, route) && all[*by].covers(all[route]);
            (0..route).find(hides).map(|by| (route, by))
        };
        let scan: Vec<_> = (0..all.len()).filter_map(pairs).collect();
        prop_assert_eq!(unreachable(&all, apart), scan);
    }
}

fn prefix(text: &str) -> Matcher {
    Matcher::path(PathMatcher::prefix(text))
}

fn exact(text: &str) -> Matcher {
    Matcher::path(PathMatcher::exact(text))
}

fn regex(text: &str) -> Matcher {
    Matcher::path(PathMatcher::regex(text).unwrap())
}

fn header(base: Matcher, name: &str, value: ValueMatcher, invert: bool) -> Matcher {
    let mut matcher = base;
    matcher.headers.push(HeaderMatcher { name: FieldName::parse(name).unwrap(), value, invert });
    matcher
}

#[test]
fn paths() {
    assert!(prefix("/").covers(&prefix("/foo")));
    assert!(prefix("/").covers(&exact("/foo")));
    assert!(prefix("/api").covers(&regex("/api/[0-9]+")));
    assert!(!prefix("/api").covers(&regex("/a.*")));
    assert!(!prefix("/foo").covers(&prefix("/")));
    assert!(!exact("/foo").covers(&prefix("/foo")));
    assert!(exact("/foo").covers(&exact("/foo")));
    assert!(regex("/a.*").covers(&exact("/abc")));
    assert!(regex("/.*").covers(&prefix("/foo")));
    assert!(!regex("/a+.*").covers(&prefix("/aa")));
    assert!(!prefix("/").covers(&Matcher::path(PathMatcher::Connect)));
    assert!(!Matcher::path(PathMatcher::Connect).covers(&prefix("/")));
}

#[test]
fn case() {
    let any_case = |text: &str| Matcher::path(PathMatcher::Prefix { text: text.into(), ignore_case: true });
    assert!(any_case("/FOO").covers(&prefix("/foo/x")));
    assert!(!prefix("/foo").covers(&any_case("/foo/x")));
    assert!(prefix("/").covers(&any_case("/foo/x")));
}

#[test]
fn conditions() {
    let one = || ValueMatcher::Exact("1".into());
    let digits = || ValueMatcher::regex("[0-9]+").unwrap();
    let conditional = || header(prefix("/"), "x-a", one(), false);
    assert!(prefix("/").covers(&conditional()));
    assert!(!conditional().covers(&prefix("/")));
    assert!(header(prefix("/"), "x-a", ValueMatcher::Present, false).covers(&conditional()));
    assert!(header(prefix("/"), "x-a", digits(), false).covers(&conditional()));
    assert!(!header(prefix("/"), "x-a", digits(), false).covers(&header(prefix("/"), "x-a", one(), true)));
    assert!(header(prefix("/"), "x-a", ValueMatcher::Present, false).covers(&header(
        prefix("/"),
        "x-a",
        one(),
        true
    )));
    let get = Matcher { methods: vec!["GET".into()], ..prefix("/") };
    let get_or_post = Matcher { methods: vec!["GET".into(), "POST".into()], ..prefix("/") };
    assert!(get_or_post.covers(&get) && !get.covers(&get_or_post) && !get.covers(&prefix("/")));
}

#[test]
fn ten_thousand_routes_do_not_take_all_pairs() {
    let routes: Vec<_> = (0..10_000)
        .map(|i| header(prefix("/"), "x-a", ValueMatcher::Exact(i.to_string().into()), false))
        .collect();
    let mut all: Vec<&Matcher> = routes.iter().collect();
    all.push(&routes[77]);
    assert_eq!(unreachable(&all, |_, _| true), [(10_000, 77)]);
}
