use proptest::{collection::vec, prelude::*};

use super::*;
use crate::routing::{
    FieldName, HeaderMatcher, ValueMatcher,
    arbitrary::{Request, crowded_matcher, matcher, request},
};

/// What both forms find.
fn find(matchers: &[Matcher], request: &Request) -> Option<usize> {
    let all: Vec<&Matcher> = matchers.iter().collect();
    let found = RouteIndex::build(&all).find(|i| matchers.get(i), &request.view());
    let index = Index::build(&all);
    assert_eq!(index.find(|i| matchers[i].matches(&request.view()), &request.view()), found);
    found
}

fn scan(matchers: &[Matcher], request: &Request) -> Option<usize> {
    matchers.iter().position(|matcher| matcher.matches(&request.view()))
}

fn check(matchers: &[Matcher], requests: &[Request]) -> Result<(), TestCaseError> {
    let all: Vec<&Matcher> = matchers.iter().collect();
    let (index, whole) = (RouteIndex::build(&all), Index::build(&all));
    for request in requests {
        let view = request.view();
        let wanted = scan(matchers, request);
        prop_assert_eq!(index.find(|i| matchers.get(i), &view), wanted, "{:?}", request);
        prop_assert_eq!(whole.find(|i| matchers[i].matches(&view), &view), wanted, "indexed: {:?}", request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn as_a_scan(matchers in vec(matcher(), 0..40), requests in vec(request(), 8)) {
        check(&matchers, &requests)?;
    }

    #[test]
    fn as_a_scan_with_many_routes_of_one_path(matchers in vec(crowded_matcher(), 0..120), requests in vec(request(), 8)) {
        check(&matchers, &requests)?;
    }
}

fn prefix(text: &str) -> Matcher {
    Matcher::path(PathMatcher::prefix(text))
}

fn exact(text: &str) -> Matcher {
    Matcher::path(PathMatcher::exact(text))
}

#[test]
fn the_first_route_wins_whatever_its_kind() {
    let regex = Matcher::path(PathMatcher::regex("/foo/[a-z]+").unwrap());
    let routes = [exact("/foo"), prefix("/foo/bar"), regex, prefix("/foo"), exact("/foo/x"), prefix("/")];
    let found = |path| find(&routes, &Request::get(path));
    assert_eq!(found("/foo"), Some(0));
    assert_eq!(found("/foo/barn"), Some(1));
    assert_eq!(found("/foo/x"), Some(2));
    assert_eq!(found("/foo/1"), Some(3));
    assert_eq!(found("/fo"), Some(5));
    assert_eq!(found("*"), None);
    assert_eq!(find(&[], &Request::get("/")), None);
}

#[test]
fn connect_goes_to_its_own_matcher() {
    let routes = [prefix("/"), Matcher::path(PathMatcher::Connect)];
    let connect = |path| Request { method: "CONNECT", ..Request::get(path) };
    assert_eq!(find(&routes, &connect("")), Some(1));
    assert_eq!(find(&routes, &connect("/x")), Some(0));
    assert_eq!(find(&routes, &Request::get("/x")), Some(0));
    assert_eq!(find(&[prefix("")], &connect("")), None);
}

/// Counts how many routes are asked.
fn asked(matchers: &[Matcher], request: &Request) -> (Option<usize>, usize) {
    let index = RouteIndex::build(&matchers.iter().collect::<Vec<_>>());
    let count = std::cell::Cell::new(0);
    let matcher = |i| {
        count.set(count.get() + 1);
        matchers.get(i)
    };
    (index.find(matcher, &request.view()), count.get())
}

#[test]
fn ten_thousand_routes_of_one_path_are_not_scanned() {
    let by_header = |name: &str, value: String| HeaderMatcher {
        name: FieldName::parse(name).unwrap(),
        value: ValueMatcher::Exact(value.into()),
        invert: false,
    };
    let one_header =
        |i: usize| Matcher { headers: vec![by_header("x-tenant", i.to_string())], ..prefix("/") };
    let routes: Vec<_> = (0..10_000).map(one_header).collect();
    let (found, asked_routes) = asked(&routes, &Request::get("/x").with_header("x-tenant", b"9999"));
    assert_eq!((found, asked_routes), (Some(9999), 1));

    let many_names =
        |i: usize| Matcher { headers: vec![by_header(&format!("x-{i}"), "1".into())], ..prefix("/") };
    let routes: Vec<_> = (0..10_000).map(many_names).collect();
    let (found, asked_routes) = asked(&routes, &Request::get("/x").with_header("x-7000", b"1"));
    assert_eq!((found, asked_routes), (Some(7000), 1));

    let two_headers = |i: usize| Matcher {
        headers: vec![by_header("x-kind", "all".into()), by_header("x-tenant", i.to_string())],
        methods: vec!["GET".into()],
        ..prefix("/")
    };
    let routes: Vec<_> = (0..10_000).map(two_headers).collect();
    let request = Request::get("/x").with_header("x-tenant", b"5000").with_header("x-kind", b"all");
    assert_eq!(asked(&routes, &request), (Some(5000), 1));
}

#[test]
fn many_expressions_are_asked_by_their_beginnings() {
    let regex = |i: usize| Matcher::path(PathMatcher::regex(format!("/tenant-{i:05}/.*")).unwrap());
    let routes: Vec<_> = (0..500).map(regex).collect();
    assert_eq!(asked(&routes, &Request::get("/tenant-00400/x")), (Some(400), 1));
}
