use super::*;
use crate::routing::arbitrary::Request;

fn wire(path: wire::r#match::Path) -> wire::Match {
    wire::Match { path: Some(path), ..Default::default() }
}

fn prefix() -> wire::Match {
    wire(wire::r#match::Path::Prefix("/".into()))
}

fn decoded(wire: wire::Match) -> Matcher {
    Matcher::try_from(wire).unwrap()
}

fn refused(wire: wire::Match) -> String {
    Matcher::try_from(wire).unwrap_err().path
}

fn path(path: PathMatcher, text: &str) -> bool {
    Matcher::path(path).matches(&Request::get(text).view())
}

#[test]
fn prefixes_know_no_segments() {
    assert!(path(PathMatcher::prefix("/foo"), "/foobar"));
    assert!(path(PathMatcher::prefix("/foo"), "/foo"));
    assert!(!path(PathMatcher::prefix("/foo"), "/fo"));
    assert!(!path(PathMatcher::prefix("/foo"), "/Foo"));
    let any_case = |text: &str| PathMatcher::Prefix { text: text.into(), ignore_case: true };
    assert!(path(any_case("/Foo"), "/fOObar"));
    assert!(!path(any_case("/Fé"), "/fÉ"), "only ASCII letters fold");
}

#[test]
fn exact_and_regex_mean_the_whole_path() {
    assert!(!path(PathMatcher::exact("/foo"), "/foo/"));
    assert!(path(PathMatcher::Exact { text: "/FOO".into(), ignore_case: true }, "/foo"));
    assert!(path(PathMatcher::regex("/f[o]+").unwrap(), "/foo"));
    assert!(!path(PathMatcher::regex("/f[o]+").unwrap(), "/foo/"));
    assert!(!path(PathMatcher::regex("oo").unwrap(), "/foo"));
    assert!(!path(PathMatcher::prefix("/"), "*"), "OPTIONS * has no path that begins with a slash");
}

#[test]
fn connect_without_a_path_is_for_the_connect_matcher_only() {
    let connect = Request { method: "CONNECT", ..Request::get("") };
    assert!(PathMatcher::Connect.matches(&connect.view()));
    assert!(!PathMatcher::prefix("").matches(&connect.view()));
    assert!(!PathMatcher::regex(".*").unwrap().matches(&connect.view()));
    assert!(!path(PathMatcher::Connect, "/"));
}

#[test]
fn methods_are_case_sensitive_alternatives() {
    let matcher = decoded(wire::Match { methods: vec!["GET".into(), "PURGE".into()], ..prefix() });
    let matches = |method| matcher.matches(&Request { method, ..Request::get("/") }.view());
    assert!(matches("GET") && matches("PURGE"));
    assert!(!matches("get") && !matches("HEAD"));
}

fn header(name: &str, value: wire::header_match::Value, invert: bool) -> Matcher {
    let header = wire::HeaderMatch { name: name.into(), value: Some(value), invert };
    decoded(wire::Match { headers: vec![header], ..prefix() })
}

#[test]
fn header_conditions() {
    use wire::header_match::Value::{Exact, Present, Regex};
    let none = Request::get("/");
    let empty = Request::get("/").with_header("x-kind", b"");
    let red = Request::get("/").with_header("x-kind", b"red");
    let opaque = Request::get("/").with_header("x-kind", b"\xff");
    let check = |value: wire::header_match::Value, invert, expected: [bool; 4]| {
        let matcher = header("X-Kind", value.clone(), invert);
        let found = [&none, &empty, &red, &opaque].map(|request| matcher.matches(&request.view()));
        assert_eq!(found, expected, "{value:?} {invert}");
    };
    //                                        absent  empty  red    not text
    check(Present(true), false, [false, true, true, true]);
    check(Present(true), true, [true, false, false, false]);
    check(Exact("red".into()), false, [false, false, true, false]);
    check(Exact("red".into()), true, [false, true, false, true]);
    check(Exact("Red".into()), false, [false, false, false, false]);
    check(Regex("r.*".into()), false, [false, false, true, false]);
    check(Regex("r".into()), false, [false, false, false, false]);
    check(Regex(".*".into()), true, [false, false, false, true]);
}

#[test]
fn repeated_headers_are_compared_one_by_one() {
    use wire::header_match::Value::Exact;
    let both = Request::get("/").with_header("x-kind", b"red").with_header("x-kind", b"blue");
    assert!(header("x-kind", Exact("blue".into()), false).matches(&both.view()));
    assert!(!header("x-kind", Exact("red,blue".into()), false).matches(&both.view()));
    assert!(!header("x-kind", Exact("red".into()), true).matches(&both.view()));
    assert!(header("x-kind", Exact("green".into()), true).matches(&both.view()));
}

#[test]
fn pseudo_headers() {
    use wire::header_match::Value::{Exact, Present, Regex};
    let request = Request::get("/a").with_query("x=1");
    let matches = |name, value| header(name, value, false).matches(&request.view());
    assert!(matches(":method", Exact("GET".into())));
    assert!(matches(":scheme", Exact("http".into())));
    assert!(matches(":authority", Exact("a.example".into())));
    assert!(matches("Host", Exact("a.example".into())));
    assert!(matches(":path", Exact("/a?x=1".into())));
    assert!(matches(":path", Regex("/a\\?x=.".into())));
    assert!(!matches(":path", Exact("/a".into())));
    assert!(!matches(":protocol", Present(true)));
}

#[test]
fn query_parameters_are_raw_and_the_first_counts() {
    use wire::query_match::Value::{Exact, Present, Regex};
    let matches = |name: &str, value, query: Option<&str>| {
        let query_match = wire::QueryMatch { name: name.into(), value: Some(value) };
        let matcher = decoded(wire::Match { query: vec![query_match], ..prefix() });
        matcher.matches(&Request { query: query.map(Into::into), ..Request::get("/") }.view())
    };
    for query in ["a", "a=", "b&a", "a=1&a=2"] {
        assert!(matches("a", Present(true), Some(query)), "{query}");
    }
    assert!(!matches("a", Present(true), None));
    assert!(!matches("a", Present(true), Some("")));
    assert!(!matches("a", Present(true), Some("ab=1&%61=1")));
    assert!(matches("a", Exact("1".into()), Some("a=1&a=2")));
    assert!(!matches("a", Exact("2".into()), Some("a=1&a=2")));
    assert!(matches("a", Exact("x=y".into()), Some("a=x=y")));
    assert!(!matches("a", Exact("b c".into()), Some("a=b%20c")));
    assert!(matches("a", Regex("[0-9]+".into()), Some("a=12")));
    assert!(!matches("a", Regex("[0-9]+".into()), Some("a=12x")));
}

#[test]
fn the_first_failed_condition_is_told() {
    use wire::{header_match, query_match};
    let matcher = decoded(wire::Match {
        methods: vec!["GET".into(), "PUT".into()],
        headers: vec![wire::HeaderMatch {
            name: "x-a".into(),
            value: Some(header_match::Value::Regex("1+".into())),
            invert: true,
        }],
        query: vec![wire::QueryMatch {
            name: "q".into(),
            value: Some(query_match::Value::Exact("1".into())),
        }],
        ..wire(wire::r#match::Path::Exact("/a".into()))
    });
    let told = |request: Request| matcher.mismatch(&request.view()).map(|mismatch| mismatch.to_string());
    let fitting = || Request::get("/a").with_header("x-a", b"2").with_query("q=1");
    assert_eq!(told(Request { path: "/b".into(), ..fitting() }).unwrap(), "path is not exact /a");
    assert_eq!(told(Request { method: "POST", ..fitting() }).unwrap(), "method is not GET or PUT");
    assert_eq!(told(Request::get("/a")).unwrap(), "header is not: not x-a~1+");
    assert_eq!(told(Request { query: None, ..fitting() }).unwrap(), "query parameter is not: q=1");
    assert_eq!(told(fitting()), None);
}

#[test]
fn errors_name_the_field() {
    assert_eq!(refused(wire::Match::default()), "path");
    assert_eq!(refused(wire(wire::r#match::Path::Regex("(".into()))), "regex");
    assert_eq!(refused(wire(wire::r#match::Path::Connect(false))), "connect");
    assert_eq!(refused(wire::Match { methods: vec![String::new()], ..prefix() }), "methods[0]");
    let header = |name: &str, value| wire::HeaderMatch { name: name.into(), value, invert: false };
    let with = |header| refused(wire::Match { headers: vec![header], ..prefix() });
    assert_eq!(with(header("x y", Some(wire::header_match::Value::Present(true)))), "headers[0].name");
    assert_eq!(with(header("x", None)), "headers[0].value");
    assert_eq!(with(header("x", Some(wire::header_match::Value::Regex("[".into())))), "headers[0].regex");
    assert_eq!(with(header("x", Some(wire::header_match::Value::Present(false)))), "headers[0].present");
    let query = |name: &str, value| {
        refused(wire::Match { query: vec![wire::QueryMatch { name: name.into(), value }], ..prefix() })
    };
    assert_eq!(query("", Some(wire::query_match::Value::Present(true))), "query[0].name");
    assert_eq!(query("q", None), "query[0].value");
    assert_eq!(query("q", Some(wire::query_match::Value::Regex("[".into()))), "query[0].regex");
}
