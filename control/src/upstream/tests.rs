//! Static upstreams as YAML, and what comes of them.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::ir::{CertificateSource, Endpoints};
use crate::resource::{self, Spec};
use crate::translate::SecretFacts;
use std::time::Duration;

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
    assert_eq!(upstream.balancing.balancer, ir::Balancer::LeastRequest { choices: 2 });
}

#[test]
fn what_is_missing_is_named() {
    let (_, notes) = lowered("{static: {hosts: [{port: 80}, {addr: a}, {addr: 'a b', port: 70000}]}}");
    assert_eq!(notes.len(), 4, "{notes:?}");
    let (made, notes) = lowered("{}");
    assert!(made.is_none());
    assert_eq!(notes.len(), 1);
}

fn problems(spec: &str) -> Vec<String> {
    let spec = format!("{{static: {{hosts: [{{addr: 10.0.0.1, port: 80}}]}}, {spec}}}");
    lowered(&spec).1
}

#[test]
fn a_health_check_needs_its_fields_and_one_checker() {
    let needed = problems("healthChecks: [{}]");
    assert_eq!(needed.len(), 5, "{needed:?}");
    assert!(needed[0].starts_with("spec.healthChecks[0].timeout: is needed"), "{needed:?}");
    let check = "timeout: 1s, interval: 1s, unhealthyThreshold: 1, healthyThreshold: 1";
    let of = |rest: &str| problems(&format!("healthChecks: [{{{check}, {rest}}}]"));
    assert!(of("tcpHealthCheck: {}").is_empty());
    assert!(of("httpHealthCheck: {path: /, expectedStatuses: [{start: 200, end: 300}]}").is_empty());
    assert!(of("grpcHealthCheck: {serviceName: a}").is_empty());
    let path = |notes: Vec<String>| notes[0].split(": ").next().unwrap_or_default().to_owned();
    assert_eq!(path(of("httpHealthCheck: {}")), "spec.healthChecks[0].httpHealthCheck.path");
    assert_eq!(
        path(of("httpHealthCheck: {path: /, expectedStatuses: [{start: 300, end: 200}]}")),
        "spec.healthChecks[0].httpHealthCheck.expectedStatuses[0]"
    );
    assert_eq!(
        path(of("tcpHealthCheck: {send: {text: 0x}}")),
        "spec.healthChecks[0].tcpHealthCheck.send.text"
    );
    assert_eq!(path(of("tcpHealthCheck: {}, initialJitter: -1s")), "spec.healthChecks[0].initialJitter");
    let two = problems(&format!("healthChecks: [{{{check}, tcpHealthCheck: {{}}}}, {{}}]"));
    assert_eq!(two, ["spec.healthChecks[1]: only one health check is possible"]);
}

#[test]
fn outlier_detection_needs_an_interval_and_percentages() {
    assert_eq!(problems("outlierDetection: {}").len(), 1);
    assert!(problems("outlierDetection: {interval: 1s, consecutive5xx: 3}").is_empty());
    assert_eq!(
        problems("outlierDetection: {interval: 1s, maxEjectionPercent: 101}"),
        ["spec.outlierDetection.maxEjectionPercent: 101 is not a percentage: write 0 to 100"]
    );
}

#[test]
fn numbers_of_balancing_are_checked() {
    let of = |config: &str| problems(&format!("loadBalancerConfig: {{{config}}}"));
    assert!(of("maglev: {}, healthyPanicThreshold: 0, updateMergeWindow: 0s").is_empty());
    assert_eq!(of("healthyPanicThreshold: 101").len(), 1);
    assert_eq!(of("ringHash: {ringHashConfig: {minimumRingSize: 10, maximumRingSize: 5}}").len(), 1);
    assert_eq!(of("ringHash: {ringHashConfig: {maximumRingSize: 9000000}}").len(), 1);
    assert_eq!(of("roundRobin: {slowStartConfig: {slowStartWindow: 1s, aggression: 0}}").len(), 1);
}

#[test]
fn labels_of_hosts_stand_under_envoy_lb() {
    let made = fine(
        "{static: {subsetSpec: {selectors: [{keys: [v, a]}]}, hosts: \
         [{addr: 10.0.0.1, port: 80, metadata: {envoy.lb: {v: one, n: 1}, other: {v: two}}}]}}",
    );
    let Endpoints::Fixed(list) = made.upstream.endpoints else { panic!("fixed") };
    let labels: Vec<_> = list[0].labels.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(labels, [("v", "one")], "only texts can be asked for");
    let keys = &made.upstream.balancing.subsets.unwrap().selectors[0].0;
    assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["a", "v"]);
}

#[test]
fn a_tunnel_needs_a_host_with_a_port_and_says_nothing_of_its_secrets() {
    let made = lowered(
        "{static: {hosts: [{addr: 10.0.0.1, port: 3128}]}, httpProxyHostname: 'a.test:443', \
         httpConnectHeaders: [{key: Proxy-Authorization, value: hunter2}], httpConnectSslConfig: {secretRef: {name: ca, namespace: ns}}}",
    );
    assert!(made.1.is_empty(), "{:?}", made.1);
    let upstream = made.0.unwrap().upstream;
    assert!(!format!("{upstream:?}").contains("hunter2"));
    let connect = upstream.connections.http_connect.unwrap();
    assert_eq!((&*connect.headers[0].name, &*connect.headers[0].value), ("proxy-authorization", "hunter2"));
    assert!(connect.tls.unwrap().ca.is_some() && upstream.tls.is_none());
    let told = problems("httpProxyHostname: a.test, httpConnectHeaders: [{key: a, value: \"hunter2\\n\"}]");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(!told.concat().contains("hunter2"));
}

#[test]
fn names_have_a_pace_and_addresses_have_none() {
    let pace = |options: &str| {
        let made = lowered(&format!("{{static: {{hosts: [{{addr: a.test, port: 80}}]}}, {options}}}"));
        (made.0.unwrap().pace, made.1.len())
    };
    let secs = Duration::from_secs;
    assert_eq!(pace("useHttp2: false"), (Pace { refresh: secs(5), respects_ttl: false }, 0));
    assert_eq!(
        pace("respectDnsTtl: true, dnsRefreshRate: 9s"),
        (Pace { refresh: secs(9), respects_ttl: true }, 0)
    );
    assert_eq!(pace("dnsRefreshRate: 999us"), (Pace { refresh: secs(5), respects_ttl: false }, 1));
    assert_eq!(problems("dnsRefreshRate: 9s").len(), 1);
    assert_eq!(problems("respectDnsTtl: false").len(), 1);
}

#[test]
fn options_of_both_versions_of_http_need_the_clients_choice() {
    let both = "useHttp2: true, connectionConfig: {http1ProtocolOptions: {properCaseHeaderKeyFormat: true}}";
    assert_eq!(problems(both).len(), 1);
    assert!(problems(&format!("{both}, protocolSelection: USE_DOWNSTREAM_PROTOCOL")).is_empty());
}

#[test]
fn a_pipe_is_an_endpoint_of_its_own() {
    let made = fine("{pipe: {path: /run/a.sock}}");
    assert_eq!(made.upstream.endpoints, Endpoints::Pipe("/run/a.sock".into()));
    assert!(made.upstream.tls.is_none() && made.dynamic.is_empty());
    for wrong in ["", "'@name'", &"a".repeat(108)] {
        assert_eq!(lowered(&format!("{{pipe: {{path: {wrong}}}}}")).1.len(), 1, "{wrong}");
    }
}
