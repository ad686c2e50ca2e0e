//! Static upstreams as YAML, and what comes of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::ir::{CertificateSource, Endpoints};
use crate::resource::{self, Spec};
use crate::translate::SecretFacts;

struct Secrets(BTreeMap<CertificateSource, SecretFacts>);

impl SecretReader for Secrets {
    fn secret(&mut self, source: &CertificateSource) -> Option<SecretFacts> {
        self.0.get(source).cloned()
    }
}

/// One with authorities, one with certificate and authorities.
fn secrets() -> Secrets {
    let facts = |has_certificate| SecretFacts { has_certificate, has_ca: true, ..SecretFacts::default() };
    let source = |name: &str| CertificateSource::Secret { namespace: "ns".into(), name: name.into() };
    Secrets([(source("ca"), facts(false)), (source("both"), facts(true))].into())
}

fn lowered(spec: &str) -> (Option<Lowered>, Vec<String>) {
    let text = format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: a, namespace: ns}}\nspec: {spec}\n"
    );
    let parsed = resource::parse(Path::new("in.yaml"), &text, "ns");
    let object =
        parsed.entries[0].object.clone().unwrap_or_else(|| panic!("{:?}", parsed.entries[0].findings));
    let Spec::Upstream(upstream) = &object.spec else { panic!("an upstream") };
    let mut notes = Notes::default();
    let made = lower(&object, upstream, "a_ns".into(), None, &mut secrets(), &mut notes);
    (made, notes.iter().map(|note| format!("{}: {}", note.path, note.message)).collect())
}

fn fine(spec: &str) -> Lowered {
    let (made, notes) = lowered(spec);
    assert!(notes.is_empty(), "{notes:?}");
    made.unwrap()
}

#[test]
fn addresses_are_endpoints_and_one_name_makes_all_be_looked_up() {
    let made = fine(
        "{static: {hosts: [{addr: 10.0.0.1, port: 80}, {addr: '::1', port: 81, loadBalancingWeight: 2}]}}",
    );
    let Endpoints::Fixed(list) = made.upstream.endpoints else { panic!("fixed") };
    assert_eq!(list.iter().map(|it| (it.port, it.weight)).collect::<Vec<_>>(), [(80, 1), (81, 2)]);
    assert!(made.upstream.tls.is_none() && made.dynamic.is_empty());

    let made = fine("{static: {hosts: [{addr: 10.0.0.1, port: 80}, {addr: a.example, port: 81}]}}");
    assert_eq!(made.upstream.endpoints, Endpoints::Discovered);
    assert_eq!(made.dynamic.iter().map(|it| &*it.host).collect::<Vec<_>>(), ["10.0.0.1", "a.example"]);
}

#[test]
fn port_443_turns_tls_on_unless_it_is_off() {
    let tls = |spec: &str| fine(spec).upstream.tls.is_some();
    assert!(tls("{static: {hosts: [{addr: a, port: 80}, {addr: a, port: 443}]}}"));
    assert!(!tls("{static: {useTls: false, hosts: [{addr: a, port: 443}]}}"));
    assert!(tls("{static: {useTls: true, hosts: [{addr: a, port: 80}]}}"));
    assert!(tls("{sslConfig: {}, static: {useTls: false, hosts: [{addr: a, port: 80}]}}"));
}

#[test]
fn the_server_name_of_a_host_is_its_own_then_its_dns_name() {
    let names = |spec: &str| {
        fine(spec).dynamic.into_iter().map(|it| it.sni.map(|it| it.to_string())).collect::<Vec<_>>()
    };
    let hosts = "hosts: [{addr: a.example, port: 443}, {addr: b.example, port: 443, sniAddr: c}, {addr: 10.0.0.1, port: 1}]";
    assert_eq!(
        names(&format!("{{static: {{{hosts}}}}}")),
        [Some("a.example".into()), Some("c".into()), None]
    );
    assert_eq!(
        names(&format!("{{static: {{autoSniRewrite: false, {hosts}}}}}")),
        [None, Some("c".into()), None]
    );
    assert_eq!(names("{static: {hosts: [{addr: a.example, port: 80}]}}"), [None]);
}

#[test]
fn authorities_always_verify() {
    let spec = |ssl: &str| format!("{{sslConfig: {{{ssl}}}, static: {{hosts: [{{addr: a, port: 80}}]}}}}");
    let tls = fine(&spec("secretRef: {name: both, namespace: ns}, sni: x")).upstream.tls.unwrap();
    assert!(tls.ca.is_some() && tls.client.is_some());
    let tls = fine(&spec("secretRef: {name: both, namespace: ns}, oneWayTls: true")).upstream.tls.unwrap();
    assert!(tls.ca.is_some() && tls.client.is_none());
    let tls =
        fine(&spec("secretRef: {name: ca, namespace: ns}, verifySubjectAltName: [x]")).upstream.tls.unwrap();
    assert!(tls.ca.is_some() && tls.client.is_none());
    let tls = fine(&spec("")).upstream.tls.unwrap();
    assert!(tls.ca.is_none() && tls.client.is_none());
    assert_eq!(lowered(&spec("verifySubjectAltName: [x]")).1.len(), 1);
    assert_eq!(
        lowered(&spec("secretRef: {name: gone, namespace: ns}")).1,
        ["spec.sslConfig.secretRef: SSL secret ns.gone not found"]
    );
}

#[test]
fn connections_and_balancers() {
    let made = fine(
        "{useHttp2: true, connectionConfig: {connectTimeout: 250ms, maxRequestsPerConnection: 7}, \
         loadBalancerConfig: {leastRequest: {}}, static: {hosts: [{addr: a, port: 80}]}}",
    );
    let upstream = made.upstream;
    assert_eq!(upstream.connect_timeout, Some(Duration::from_millis(250)));
    assert_eq!((upstream.max_requests_per_connection, upstream.http2), (7, true));
    assert_eq!(upstream.balancer, ir::Balancer::LeastRequest { choices: 2 });
}

#[test]
fn what_is_missing_is_named() {
    let (_, notes) = lowered("{static: {hosts: [{port: 80}, {addr: a}, {addr: 'a b', port: 70000}]}}");
    assert_eq!(notes.len(), 4, "{notes:?}");
    let (made, notes) = lowered("{}");
    assert!(made.is_none());
    assert_eq!(notes.len(), 1);
}
