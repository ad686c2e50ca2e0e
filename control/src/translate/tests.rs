//! Tests of translation as a whole. What single cases give is in the golden cases; here is what must hold for all.

mod incremental;
mod isolation;
mod replaced;
mod scale;
mod walk;

use std::path::Path;
use std::sync::Arc;

use super::{Accepted, Memo, Snapshot, State, Translated, translate};
use crate::resource::{self, Kind, ObjectRef};

/// A snapshot of documents.
fn snapshot(text: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    put(&mut snapshot, text);
    snapshot
}

/// Adds or replaces resources.
fn put(snapshot: &mut Snapshot, text: &str) {
    let parsed = resource::parse(Path::new("in.yaml"), text, "gloo-system");
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    for entry in parsed.entries {
        snapshot.entries.insert(entry.id.clone(), entry);
    }
}

/// What the shell does after a translation: forms that are not rejected are the accepted ones.
fn accept(snapshot: &mut Snapshot, translated: &Translated) {
    for (id, report) in &translated.report.objects {
        let object = snapshot.entries.get(id).and_then(|entry| entry.object.clone());
        let Some(object) = object.filter(|_| report.state() != State::Rejected) else { continue };
        let next = snapshot.accepted.len() as u64;
        let order = snapshot.accepted.get(id).map_or(next, |accepted| accepted.order);
        snapshot.accepted.insert(id.clone(), Accepted { object, order });
    }
}

fn state(translated: &Translated, kind: Kind, name: &str) -> State {
    let id = ObjectRef::new(kind, "gloo-system", name);
    translated.report.objects.get(&id).map_or(State::Rejected, |report| report.state())
}

/// What is said about a resource.
fn said(translated: &Translated, kind: Kind, name: &str) -> Vec<String> {
    let id = ObjectRef::new(kind, "gloo-system", name);
    let findings = translated.report.objects.get(&id).map(|it| it.findings.as_slice()).unwrap_or_default();
    findings.iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
}

fn table(name: &str, routes: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec: {{routes: [{routes}]}}\n"
    )
}

fn fresh(snapshot: &Snapshot) -> Translated {
    translate(snapshot, &mut Memo::default())
}

/// Names of the virtual hosts of the default proxy.
fn hosts(translated: &Translated) -> Vec<String> {
    let proxy = translated.ir.proxies.get("gateway-proxy");
    proxy.into_iter().flat_map(|proxy| &proxy.hosts).map(|host| host.name.to_string()).collect()
}

fn vs(name: &str, domain: &str, routes: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec: {{virtualHost: {{domains: ['{domain}'], routes: [{routes}]}}}}\n"
    )
}

#[test]
fn the_namespace_of_gateways_and_settings_is_the_own_one() {
    let mut snapshot = snapshot(&vs("a", "*", "{directResponseAction: {status: 200}}"));
    snapshot.own_namespace = Arc::from("mine");
    put(
        &mut snapshot,
        "kind: Gateway\napiVersion: gateway.solo.io/v1\nmetadata: {name: g, namespace: mine}\n\
         spec: {bindAddress: '::', bindPort: 1234, httpGateway: {}}\n",
    );
    let translated = fresh(&snapshot);
    let listeners = &translated.ir.proxies["gateway-proxy"].listeners;
    assert_eq!(listeners.iter().map(|it| it.port).collect::<Vec<_>>(), [1234]);
}

#[test]
fn without_any_virtual_service_nothing_is_bound() {
    let snapshot = snapshot(
        "kind: Upstream\nmetadata: {name: a}\nspec: {static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n",
    );
    assert!(fresh(&snapshot).ir.proxies.is_empty());
}
