//! With `replaceInvalidRoutes` an error in a route costs no more than the route.

use super::super::{State, Translated};
use super::{fresh, said, snapshot, state, table, vs};
use crate::ir::{Action, PathMatch};
use crate::resource::Kind;

const SETTINGS: &str = "apiVersion: gloo.solo.io/v1\nkind: Settings\n\
     metadata: {name: default, namespace: gloo-system}\n\
     spec: {gloo: {invalidConfigPolicy: {replaceInvalidRoutes: true, invalidRouteResponseCode: 418}}}\n";
const LAST: &str = "{matchers: [{prefix: /}], directResponseAction: {status: 200}}";

/// A virtual service with this route before a good one.
fn with(route: &str, tables: &[String]) -> Translated {
    let mut text = vec![SETTINGS.to_owned(), vs("a", "a", &format!("{route}, {LAST}"))];
    text.extend(tables.iter().cloned());
    fresh(&snapshot(&text.join("---\n")))
}

/// Path and status of each route.
fn answers(translated: &Translated) -> Vec<(String, u16)> {
    let routes = &translated.ir.proxies["gateway-proxy"].hosts[0].host.routes;
    let answer = |route: &crate::ir::Route| {
        let path = match &route.matcher.path {
            PathMatch::Prefix { text, .. } | PathMatch::Exact { text, .. } => text.to_string(),
            other => format!("{other:?}"),
        };
        match &route.action {
            Action::DirectResponse(answer) => (path, answer.status),
            other => panic!("{other:?}"),
        }
    };
    routes.iter().map(answer).collect()
}

fn expect(translated: &Translated, answer: &[(&str, u16)], message: &str) {
    let about = said(translated, Kind::VirtualService, "a");
    assert_eq!(state(translated, Kind::VirtualService, "a"), State::Warning, "{about:?}");
    assert!(about.iter().any(|it| it.contains(message)), "{about:?}");
    let answer: Vec<(String, u16)> =
        answer.iter().map(|(path, status)| ((*path).to_owned(), *status)).collect();
    assert_eq!(answers(translated), answer);
}

#[test]
fn what_a_route_does() {
    for (rest, message) in [
        ("", "route must specify an action"),
        ("redirectAction: {pathRedirect: /a//b}", "cannot contain [//]"),
        (
            "options: {regexRewrite: {pattern: {regex: '('}, substitution: x}}, directResponseAction: {status: 1}",
            "",
        ),
        ("delegateAction: {ref: {name: loop, namespace: gloo-system}}", "delegation cycle detected"),
    ] {
        let back = "{matchers: [{prefix: /x}], delegateAction: {ref: {name: loop, namespace: gloo-system}}}";
        let translated = with(&format!("{{matchers: [{{prefix: /x}}], {rest}}}"), &[table("loop", back)]);
        expect(&translated, &[("/x", 418), ("/", 200)], message);
    }
}

#[test]
fn a_delegating_route_with_the_wrong_matcher() {
    let route = "{matchers: [{exact: /x}], delegateAction: {ref: {name: t, namespace: gloo-system}}}";
    let translated = with(route, &[table("t", LAST)]);
    expect(&translated, &[("/x", 418), ("/", 200)], "must use a prefix matcher");
}

#[test]
fn a_matcher_that_cannot_be_is_left_out() {
    for (matcher, message) in [
        ("{regex: '/('}", "invalid regex [/(]"),
        ("{prefix: /a//b}", "cannot contain [//]"),
        ("{methods: [GET]}", "no path specifier provided"),
        ("{prefix: /h, headers: [{name: a, value: '(', regex: true}]}", "invalid regex [(]"),
    ] {
        let route =
            format!("{{matchers: [{matcher}, {{prefix: /y}}], directResponseAction: {{status: 201}}}}");
        let translated = with(&route, &[]);
        expect(&translated, &[("/y", 201), ("/", 200)], message);
        expect(&translated, &[("/y", 201), ("/", 200)], "this matcher is left out");
    }
}

#[test]
fn a_table_that_others_use_is_served_too() {
    let delegate = "{matchers: [{prefix: /x}], delegateAction: {ref: {name: t, namespace: gloo-system}}}";
    let tables = [table(
        "t",
        "{matchers: [{prefix: /x/a}]}, {matchers: [{prefix: /x}], directResponseAction: {status: 202}}",
    )];
    let translated = with(delegate, &tables);
    expect(&translated, &[("/x/a", 418), ("/x", 202), ("/", 200)], "on sub route table gloo-system.t");
    assert_eq!(state(&translated, Kind::RouteTable, "t"), State::Warning);
}
