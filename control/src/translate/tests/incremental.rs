//! Random edits: what is made from memory is what is made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Memo, SecretFacts, Snapshot, translate};
use super::{accept, put};
use crate::compile;
use crate::ir::CertificateSource;
use crate::resource::{Kind, ObjectRef};

#[derive(Debug, Clone)]
enum Edit {
    Put(Kind, u8, u8),
    Delete(Kind, u8),
    /// The shell stores what was accepted.
    Accept,
    Secret(u8, u8),
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::VirtualService),
        4 => Just(Kind::RouteTable),
        2 => Just(Kind::Upstream),
        1 => Just(Kind::UpstreamGroup),
        1 => Just(Kind::RouteOption),
        1 => Just(Kind::VirtualHostOption),
        2 => Just(Kind::Gateway),
        1 => Just(Kind::MatchableHttpGateway),
        1 => Just(Kind::MatchableTcpGateway),
        1 => Just(Kind::Settings),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        10 => (kinds(), 0..4u8, any::<u8>()).prop_map(|(kind, name, form)| Edit::Put(kind, name, form)),
        2 => (kinds(), 0..4u8).prop_map(|(kind, name)| Edit::Delete(kind, name)),
        3 => Just(Edit::Accept),
        1 => (0..2u8, 0..4u8).prop_map(|(name, form)| Edit::Secret(name, form)),
    ];
    prop::collection::vec(edit, 1..40)
}

/// Documents of every kind, right and wrong. Blank lines in front move the lines that findings name.
fn document(kind: Kind, name: u8, form: u8) -> String {
    let other = form / 16 % 4;
    let action = match form % 9 {
        0 => "directResponseAction: {status: 200}".to_owned(),
        1 => format!("routeAction: {{single: {{upstream: {{name: n{other}}}}}}}"),
        2 => format!("delegateAction: {{ref: {{name: n{other}, namespace: gloo-system}}}}"),
        3 => format!("delegateAction: {{selector: {{labels: {{app: a{}}}}}}}", other % 2),
        4 => format!("routeAction: {{upstreamGroup: {{name: n{other}, namespace: gloo-system}}}}"),
        5 => "directResponseAction: {status: 1}".to_owned(),
        6 => "noSuchAction: {}".to_owned(),
        7 => format!(
            "optionsConfigRefs: {{delegateOptions: [{{name: n{other}, namespace: gloo-system}}]}}, \
             routeAction: {{single: {{upstream: {{name: n{}}}}}}}",
            form % 4
        ),
        _ => "redirectAction: {httpsRedirect: true}".to_owned(),
    };
    let routes =
        format!("[{{{action}}}, {{matchers: [{{prefix: /x}}], directResponseAction: {{status: 201}}}}]");
    let spec = match kind {
        Kind::VirtualService => {
            let tls = match form / 64 {
                0 => format!("sslConfig: {{secretRef: {{name: s{}, namespace: gloo-system}}, sniDomains: [n{other}]}}, ", form % 2),
                _ => String::new(),
            };
            let options = match form % 5 {
                0 => format!("optionsConfigRefs: {{delegateOptions: [{{name: n{other}, namespace: gloo-system}}]}}, "),
                _ => String::new(),
            };
            // Few domains, so that they conflict.
            format!("{{{tls}virtualHost: {{domains: [d{}], {options}routes: {routes}}}}}", form % 3)
        }
        Kind::RouteTable => format!("{{weight: {}, routes: {routes}}}", form % 2),
        Kind::Upstream => match form % 4 {
            0 => "{static: {hosts: []}}".to_owned(),
            1 => format!("{{static: {{hosts: [{{addr: name.example, port: {}}}]}}}}", form.max(1)),
            2 => "{sslConfig: {secretRef: {name: s0, namespace: gloo-system}}, static: {hosts: [{addr: 10.0.0.1, port: 443}]}}".to_owned(),
            _ => format!("{{static: {{hosts: [{{addr: 10.0.0.{}, port: 80}}]}}}}", form),
        },
        Kind::UpstreamGroup => match form % 3 {
            0 => format!("{{destinations: [{{destination: {{upstream: {{name: n{other}}}}}, weight: {}}}]}}", form % 3),
            1 => format!(
                "{{destinations: [{{destination: {{upstream: {{name: n{other}}}}}, weight: 1, \
                 options: {{headerManipulation: {{requestHeadersToRemove: [x{form}]}}}}}}]}}"
            ),
            _ => "{destinations: []}".to_owned(),
        },
        Kind::RouteOption => format!("{{options: {{timeout: {}s, prefixRewrite: /a{}b}}}}", form, if form.is_multiple_of(3) { "//" } else { "/" }),
        Kind::VirtualHostOption => format!("{{options: {{retries: {{retryOn: 'w{}', numRetries: {form}}}}}}}", form % 3),
        Kind::Gateway if form.is_multiple_of(5) => format!(
            "{{bindAddress: '::', bindPort: {}, tcpGateway: {{tcpHosts: [{{name: a, \
             sslConfig: {{secretRef: {{name: s{}, namespace: gloo-system}}, sniDomains: [n{other}]}}, \
             destination: {{single: {{upstream: {{name: n{other}, namespace: gloo-system}}}}}}}}, \
             {{name: b, sslConfig: {{sniDomains: [n{}]}}, \
             destination: {{upstreamGroup: {{name: n{other}, namespace: gloo-system}}}}}}, \
             {{destination: {{forwardSniClusterName: {{}}}}}}]}}}}",
            8000 + u32::from(form % 3),
            form / 8 % 2,
            form / 64,
        ),
        Kind::Gateway if form % 5 == 1 => format!(
            "{{bindAddress: '::', bindPort: {}, hybridGateway: {{{}}}}}",
            8000 + u32::from(form % 3),
            match form / 8 % 4 {
                0 => format!(
                    "delegatedHttpGateways: {{selector: {{labels: {{app: a{}}}}}, \
                     sslConfig: {{secretRef: {{name: s{}, namespace: gloo-system}}}}, preventChildOverrides: {}}}, \
                     delegatedTcpGateways: {{}}",
                    form / 64 % 2,
                    form / 32 % 2,
                    form / 128 == 1
                ),
                1 => format!(
                    "delegatedHttpGateways: {{selector: {{}}, httpConnectionManagerSettings: {{via: v{}}}}}",
                    form / 64
                ),
                2 => format!("delegatedTcpGateways: {{ref: {{name: n{other}, namespace: gloo-system}}}}"),
                _ => format!(
                    "matchedGateways: [{{matcher: {{sslConfig: {{sniDomains: [n{}]}}}}, httpGateway: {{}}}}, \
                     {{matcher: {}, httpGateway: {{}}}}, \
                     {{matcher: {}, tcpGateway: {{tcpHosts: [{{destination: {{forwardSniClusterName: {{}}}}}}]}}}}]",
                    form / 32 % 2,
                    matcher(form / 16),
                    matcher(form / 32),
                ),
            },
        ),
        Kind::MatchableHttpGateway => format!(
            "{{matcher: {}, httpGateway: {{{}options: {{healthCheck: {{path: '{}'}}}}}}}}",
            matcher(form),
            if (form / 64).is_multiple_of(2) { "virtualServiceSelector: {app: a1}, " } else { "" },
            if form.is_multiple_of(7) { "" } else { "/health" },
        ),
        Kind::MatchableTcpGateway => format!(
            "{{matcher: {}, tcpGateway: {{tcpHosts: [{{name: t, destination: {{single: {{upstream: \
             {{name: n{other}, namespace: gloo-system}}}}}}}}{}]}}}}",
            matcher(form),
            if form.is_multiple_of(7) { ", {}" } else { "" },
        ),
        Kind::Gateway => format!(
            "{{bindAddress: '::', bindPort: {}, ssl: {}, httpGateway: {{{}}}, \
             routeOptions: {{mostSpecificHeaderMutationsWins: {}}}}}",
            8000 + u32::from(form % 3),
            (form / 8).is_multiple_of(2),
            if (form / 32).is_multiple_of(2) { "virtualServiceSelector: {app: a1}" } else { "" },
            (form / 16).is_multiple_of(2),
        ),
        _ => format!(
            "{{gloo: {{invalidConfigPolicy: {{replaceInvalidRoutes: {}}}}}, gateway: {{isolateVirtualHostsBySslConfig: {}}}}}",
            form.is_multiple_of(2),
            (form / 2).is_multiple_of(2),
        ),
    };
    let name = if kind == Kind::Settings { "default".to_owned() } else { format!("n{name}") };
    let lines = "\n".repeat(usize::from(form % 3));
    format!(
        "{lines}apiVersion: {}\nkind: {kind}\nmetadata: {{name: {name}, namespace: gloo-system, labels: {{app: a{}}}}}\nspec: {spec}\n",
        kind.api_version(),
        form / 32 % 2
    )
}

/// Few names and networks, so that they conflict.
fn matcher(form: u8) -> String {
    let ssl = match form % 3 {
        0 => format!(
            "sslConfig: {{sniDomains: [n{}], secretRef: {{name: s0, namespace: gloo-system}}}}, ",
            form / 3 % 4
        ),
        1 => "sslConfig: {}, ".to_owned(),
        _ => String::new(),
    };
    let prefix = match form / 16 % 3 {
        0 => "{addressPrefix: 10.0.0.0, prefixLen: 8}",
        1 => "{addressPrefix: x}",
        _ => "",
    };
    format!("{{{ssl}sourcePrefixRanges: [{prefix}]}}")
}

fn apply(snapshot: &mut Snapshot, edit: &Edit, memo: &mut Memo) {
    match edit {
        Edit::Put(kind, name, form) => put(snapshot, &document(*kind, *name, *form)),
        Edit::Delete(kind, name) => {
            let name = if *kind == Kind::Settings { "default".to_owned() } else { format!("n{name}") };
            snapshot.entries.remove(&ObjectRef::new(*kind, "gloo-system", name.as_str()));
        }
        Edit::Accept => {
            let translated = translate(snapshot, memo);
            accept(snapshot, &translated);
        }
        Edit::Secret(name, form) => {
            let source = CertificateSource::Secret {
                namespace: "gloo-system".into(),
                name: format!("s{name}").as_str().into(),
            };
            if *form == 0 {
                snapshot.secrets.remove(&source);
                return;
            }
            let facts = SecretFacts {
                digest: portcullis_shared::version::Digest::of(&[*form]),
                has_certificate: *form != 1,
                has_ca: form.is_multiple_of(2),
                problem: (*form == 3).then(|| "broken".to_owned()),
                content: None,
            };
            snapshot.secrets.insert(source, facts);
        }
    }
}

/// What is made from memory equals what is made anew; gives the tables.
fn same_as_full(
    snapshot: &Snapshot,
    memo: &mut Memo,
    compiled: &mut compile::Memo,
) -> Result<BTreeMap<Arc<str>, Arc<compile::Table>>, TestCaseError> {
    let incremental = translate(snapshot, memo);
    let full = translate(snapshot, &mut Memo::default());
    prop_assert_eq!(&incremental.report, &full.report);
    prop_assert_eq!(&incremental.wanted, &full.wanted);
    prop_assert_eq!(&incremental.dynamic, &full.dynamic);
    prop_assert_eq!(&incremental.ir, &full.ir);
    let incremental = compile::compile(&incremental.ir, &snapshot.secrets, compiled);
    let full = compile::compile(&full.ir, &snapshot.secrets, &mut compile::Memo::default());
    prop_assert_eq!(&incremental, &full);
    Ok(full)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn incremental_is_full(edits in edits()) {
        let mut snapshot = Snapshot::default();
        let (mut memo, mut compiled) = (Memo::default(), compile::Memo::default());
        for edit in &edits {
            apply(&mut snapshot, edit, &mut memo);
            for table in same_as_full(&snapshot, &mut memo, &mut compiled)?.values() {
                let invalid = compile::decode(table).invalid;
                prop_assert!(invalid.is_empty(), "a worker would refuse {:?}", invalid);
            }
        }
    }
}

/// Virtual services that are fine as they stand, each with a domain of its own, and edits that mostly leave them so.
#[derive(Debug, Clone)]
enum Quiet {
    /// Another weight.
    Weight(u8, u8),
    /// Another domain, perhaps somebody else's.
    Domain(u8, u8),
    /// Anything that the other test does.
    Other(Edit),
}

fn quiet() -> impl Strategy<Value = Vec<Quiet>> {
    let weight = || (0..6u8, 1..90u8).prop_map(|(name, weight)| Quiet::Weight(name, weight));
    let edit = prop_oneof![
        8 => weight(),
        1 => (0..6u8, 0..8u8).prop_map(|(name, domain)| Quiet::Domain(name, domain)),
        2 => Just(Quiet::Other(Edit::Accept)),
        1 => edits().prop_filter_map("empty", |edits| edits.into_iter().next().map(Quiet::Other)),
    ];
    prop::collection::vec(edit, 1..40)
}

fn weighted(name: u8, domain: u8, weight: u8) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: q{name}, namespace: gloo-system}}\n\
         spec: {{virtualHost: {{domains: [quiet{domain}], routes: [{{matchers: [{{prefix: /}}], routeAction: {{multi: \
         {{destinations: [{{weight: {weight}, destination: {{upstream: {{name: q}}}}}}]}}}}}}]}}}}\n"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_patched_translation_is_a_full_one(edits in quiet()) {
        let mut snapshot = Snapshot::default();
        put(&mut snapshot, "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: q, namespace: gloo-system}\n\
            spec: {static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n");
        let mut domains = [0, 1, 2, 3, 4, 5];
        (0..6).for_each(|name| put(&mut snapshot, &weighted(name, name, 10)));
        let (mut memo, mut compiled) = (Memo::default(), compile::Memo::default());
        for edit in &edits {
            match edit {
                Quiet::Weight(name, weight) => {
                    put(&mut snapshot, &weighted(*name, domains[usize::from(*name)], *weight));
                }
                Quiet::Domain(name, domain) => {
                    domains[usize::from(*name)] = *domain;
                    put(&mut snapshot, &weighted(*name, *domain, 20));
                }
                Quiet::Other(edit) => apply(&mut snapshot, edit, &mut memo),
            }
            same_as_full(&snapshot, &mut memo, &mut compiled)?;
        }
    }
}
