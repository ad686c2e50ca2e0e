//! Matchers and requests over small alphabets, so that routes overlap and requests hit. Tests only.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{FieldName, HeaderMatcher, Matcher, PathMatcher, QueryMatcher, RequestView, ValueMatcher};

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) scheme: &'static str,
    pub(super) authority: &'static str,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            scheme: "http",
            authority: "a.example",
            path: path.into(),
            query: None,
            headers: HeaderMap::new(),
        }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &[u8]) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        self
    }

    pub(super) fn with_query(mut self, query: &str) -> Self {
        self.query = Some(query.into());
        self
    }

    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: self.method,
            scheme: self.scheme,
            authority: self.authority,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

const METHODS: [&str; 4] = ["GET", "POST", "CONNECT", "get"];
const AUTHORITIES: [&str; 3] = ["a.example", "b.example:80", ""];
const FIELDS: [&str; 8] = ["x-a", "x-b", "x-c", "host", ":path", ":scheme", ":method", ":unknown"];
const VALUES: [&str; 8] = ["1", "2", "", "12", "http", "a.example", "/a?a=1", "GET"];
const VALUE_REGEXES: [&str; 4] = ["[12]", "1?2?", ".*", "/a.*"];
const PATH_REGEXES: [&str; 13] = [
    ".*",
    "/.*",
    "/a.*",
    "/(a|b)/.*",
    ".*b",
    "(?i)/a.*",
    "/a/[ab]+",
    "/[^/]+",
    "/a|/b",
    "(/a)?/b",
    "/a",
    "/[ab]/[ab]",
    "/b.+",
];

// Compiled once: that is most of the work of a case.
static PATHS_BY_REGEX: LazyLock<Vec<PathMatcher>> =
    LazyLock::new(|| PATH_REGEXES.iter().map(|text| PathMatcher::regex(*text).unwrap()).collect());
static VALUES_BY_REGEX: LazyLock<Vec<ValueMatcher>> =
    LazyLock::new(|| VALUE_REGEXES.iter().map(|text| ValueMatcher::regex(*text).unwrap()).collect());

fn value() -> impl Strategy<Value = ValueMatcher> {
    prop_oneof![
        2 => Just(ValueMatcher::Present),
        4 => select(&VALUES[..]).prop_map(|text| ValueMatcher::Exact(text.into())),
        1 => select(VALUES_BY_REGEX.as_slice()),
    ]
}

fn header() -> impl Strategy<Value = HeaderMatcher> {
    (select(&FIELDS[..]), value(), proptest::bool::weighted(0.2)).prop_map(|(name, value, invert)| {
        HeaderMatcher { name: FieldName::parse(name).unwrap(), value, invert }
    })
}

fn path_text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "(/[abA]{0,2}){1,3}", 1 => "/[abA]{0,1}", 1 => Just("*".to_string())]
}

fn path() -> impl Strategy<Value = PathMatcher> {
    let text = || prop_oneof![path_text(), Just(String::new())].prop_map(String::into_boxed_str);
    prop_oneof![
        6 => (text(), any::<bool>()).prop_map(|(text, ignore_case)| PathMatcher::Prefix { text, ignore_case }),
        6 => (text(), any::<bool>()).prop_map(|(text, ignore_case)| PathMatcher::Exact { text, ignore_case }),
        4 => select(PATHS_BY_REGEX.as_slice()),
        1 => Just(PathMatcher::Connect),
    ]
}

fn query_matcher() -> impl Strategy<Value = QueryMatcher> {
    (select(&["a", "b"][..]), value()).prop_map(|(name, value)| QueryMatcher { name: name.into(), value })
}

fn conditions(path: impl Strategy<Value = PathMatcher>) -> impl Strategy<Value = Matcher> {
    let methods = prop_oneof![4 => Just(vec![]), 1 => vec(select(&METHODS[..]).prop_map(Into::into), 1..3)];
    let headers = prop_oneof![2 => Just(vec![]), 1 => vec(header(), 1..3)];
    let query = prop_oneof![3 => Just(vec![]), 1 => vec(query_matcher(), 1..3)];
    (path, methods, headers, query).prop_map(|(path, methods, headers, query)| Matcher {
        path,
        methods,
        headers,
        query,
    })
}

pub(super) fn matcher() -> impl Strategy<Value = Matcher> {
    conditions(path())
}

/// Few paths and many conditions, so that many routes share a path.
pub(super) fn crowded_matcher() -> impl Strategy<Value = Matcher> {
    let text = || select(&["/a", "/"][..]);
    conditions(prop_oneof![
        text().prop_map(PathMatcher::exact),
        text().prop_map(PathMatcher::prefix),
        select(&PATHS_BY_REGEX[..4]),
        Just(PathMatcher::Connect),
    ])
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let headers =
        vec((select(&["x-a", "x-b", "x-c", "x-d"][..]), select(&["1", "2", "", "12", "\u{e9}"][..])), 0..5);
    let query = option::of("([ab](=(1|2|12)?)?)?(&[ab](=(1|2)?)?){0,2}");
    let path = prop_oneof![9 => path_text(), 1 => Just(String::new()), 1 => Just("/a".to_string())];
    (select(&METHODS[..]), select(&["http", "https"][..]), select(&AUTHORITIES[..]), path, query, headers)
        .prop_map(|(method, scheme, authority, path, query, fields)| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                // The one letter above ASCII stands for a value that is not text.
                let value = if value == "\u{e9}" { &b"\xe9"[..] } else { value.as_bytes() };
                headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
            }
            Request { method, scheme, authority, path, query, headers }
        })
}
