//! What users are told, and what is served all the same.

use super::super::{CertificateSource, Memo, SecretFacts, State, translate};
use super::{accept, fresh, hosts, put, said, snapshot, state, table, vs};
use crate::resource::Kind;

fn tls(name: &str, secret: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec: {{sslConfig: {{secretRef: {{name: {secret}, namespace: gloo-system}}}},\n\
         \x20 virtualHost: {{domains: [a.com], routes: [{{directResponseAction: {{status: 200}}}}]}}}}\n"
    )
}

#[test]
fn a_domain_is_not_kept_by_who_has_no_certificate() {
    let mut snapshot = snapshot(&tls("v1", "nope"));
    let source = CertificateSource::Secret { namespace: "gloo-system".into(), name: "good".into() };
    snapshot.secrets.insert(source, SecretFacts { has_certificate: true, ..SecretFacts::default() });
    let mut memo = Memo::default();
    let translated = translate(&snapshot, &mut memo);
    accept(&mut snapshot, &translated);
    put(&mut snapshot, &tls("v2", "good"));
    for translated in [translate(&snapshot, &mut memo), fresh(&snapshot)] {
        assert_eq!(state(&translated, Kind::VirtualService, "v1"), State::Warning);
        assert_eq!(state(&translated, Kind::VirtualService, "v2"), State::Accepted);
        assert_eq!(hosts(&translated), ["gloo-system_v2"]);
    }
}

#[test]
fn a_host_that_cannot_be_is_refused() {
    for host in ["a b/ü", ""] {
        let route = format!(
            "{{options: {{hostRewrite: '{host}'}}, routeAction: {{single: {{upstream: {{name: u}}}}}}}}"
        );
        let translated = fresh(&snapshot(&vs("a", "a", &route)));
        let about = said(&translated, Kind::VirtualService, "a");
        let start =
            format!("spec.virtualHost.routes[0].options.hostRewrite: hostRewrite: [{host}] is not a host");
        assert!(about.iter().any(|it| it.starts_with(&start)), "{about:?}");
        assert_eq!(state(&translated, Kind::VirtualService, "a"), State::Rejected);
    }
}

#[test]
fn a_child_may_test_a_header_of_its_parent_once_more() {
    let route = "{matchers: [{prefix: /, headers: [{name: h, value: a.*, regex: true}, {name: h, value: b, invertMatch: true}]}],\n\
         \x20  inheritableMatchers: true, delegateAction: {ref: {name: t, namespace: gloo-system}}}";
    let child =
        "{matchers: [{prefix: /, headers: [{name: h, value: ac}]}], directResponseAction: {status: 200}}";
    let text = vs("a", "a", route) + "---\n" + &table("t", child);
    let translated = fresh(&snapshot(&text));
    assert_eq!(said(&translated, Kind::VirtualService, "a"), Vec::<String>::new());
    let routes = &translated.ir.proxies["gateway-proxy"].hosts[0].host.routes;
    assert_eq!(routes[0].matcher.headers.len(), 3);
}

#[test]
fn settings_that_do_not_count() {
    let settings = |name: &str, namespace: &str| {
        format!(
            "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{}}\n"
        )
    };
    let text =
        [settings("default", "gloo-system"), settings("other", "gloo-system"), settings("default", "b")];
    let translated = fresh(&snapshot(&text.join("---\n")));
    assert!(said(&translated, Kind::Settings, "default").is_empty());
    let wanted = "not read: settings are those named default in namespace gloo-system";
    assert_eq!(said(&translated, Kind::Settings, "other"), [format!("metadata.name: {wanted}")]);
    let elsewhere = translated.report.objects.iter().find(|(id, _)| &*id.namespace == "b");
    assert!(elsewhere.is_some_and(|(_, report)| report.findings[0].path == "metadata.namespace"));
}

#[test]
fn a_domain_that_never_matches_is_served_with_a_warning() {
    let translated = fresh(&snapshot(&vs("a", "https://A.com", "{directResponseAction: {status: 200}}")));
    assert_eq!(
        said(&translated, Kind::VirtualService, "a"),
        ["spec.virtualHost.domains[0]: the domain [https://A.com] can never match: a host has no scheme"]
    );
    assert_eq!(hosts(&translated), ["gloo-system_a"]);
}

#[test]
fn a_group_without_a_namespace() {
    for (reference, hint) in [("name: g", true), ("name: g, namespace: x", false)] {
        let route = format!("{{routeAction: {{upstreamGroup: {{{reference}}}}}}}");
        let translated = fresh(&snapshot(&vs("a", "a", &route)));
        let about = said(&translated, Kind::VirtualService, "a");
        assert_eq!(about.iter().any(|it| it.ends_with("not found: this reference needs a namespace")), hint);
    }
}
