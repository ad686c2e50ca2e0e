use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::{FilterChain, Kind as WireKind, Listener, Origin, Route, VirtualHost};
use portcullis_shared::version::{Digest, Version};

use super::{Listeners, Served, listeners, rows, workers};
use crate::compile::{Body, Key, Table, TableEntry};
use crate::config::{ProxyTable, Published};
use crate::ordered::Ordered;
use crate::publish::state::Refusal;
use crate::publish::{Acknowledged, Rollout, Worker};
use crate::resource::{Entry, Finding, Kind, Location, ObjectRef};
use crate::translate::{ObjectReport, Report};

const HOST: i32 = WireKind::VirtualHost as i32;
const LISTENER: i32 = WireKind::Listener as i32;

fn origin(kind: &str, name: &str) -> Option<Origin> {
    Some(Origin { kind: kind.to_owned(), namespace: "ns".to_owned(), name: name.to_owned() })
}

fn entry(content: &str, resource: Resource) -> Arc<TableEntry> {
    Arc::new(TableEntry { digest: Digest::of(content.as_bytes()), body: Body::Upsert(resource) })
}

/// One listener of Gateway `gw`, one virtual host of VirtualService `vs` with a route of RouteTable `rt`.
fn table(host: &str) -> Arc<Table> {
    let route = Route { origin: origin("RouteTable", "rt"), ..Route::default() };
    let virtual_host =
        VirtualHost { origin: origin("VirtualService", "vs"), routes: vec![route], ..VirtualHost::default() };
    let listener = Listener {
        origin: origin("Gateway", "gw"),
        address: "::".to_owned(),
        port: 8443,
        filter_chains: vec![FilterChain { tls: Some(Default::default()), ..FilterChain::default() }],
        ..Listener::default()
    };
    let mut table = Table::default();
    table.entries.insert((HOST, "vh".into()), entry(host, Resource::VirtualHost(virtual_host)));
    table.entries.insert((LISTENER, "l".into()), entry("l", Resource::Listener(listener)));
    Arc::new(table)
}

fn version(seq: u64) -> Version {
    Version { epoch: 1, seq }
}

fn published(table: &Arc<Table>, seq: u64) -> Published {
    let objects = [(Kind::VirtualService, "vs"), (Kind::RouteTable, "rt"), (Kind::Gateway, "gw")];
    let location = Location::file(Path::new("/etc/c/a.yaml"));
    let entries: Ordered<ObjectRef, Arc<Entry>> = objects
        .into_iter()
        .map(|(kind, name)| ObjectRef::new(kind, "ns", name))
        .map(|id| {
            let entry = Entry { id: id.clone(), object: None, findings: vec![], location: location.clone() };
            (id, Arc::new(entry))
        })
        .collect();
    let mut report = Report::default();
    let finding = Finding::warning("spec.routes[0]", "no such upstream");
    report.objects.insert(
        id(Kind::RouteTable, "rt"),
        ObjectReport { findings: vec![finding], using_last_accepted: false },
    );
    let first_seen = entries.keys().map(|id| (id.clone(), SystemTime::UNIX_EPOCH)).collect();
    Published {
        version: version(seq),
        proxies: BTreeMap::from([(
            "p".into(),
            ProxyTable { version: version(seq), table: Arc::clone(table) },
        )]),
        report: Arc::new(report),
        entries,
        first_seen: Arc::new(first_seen),
        problems: Arc::default(),
        notices: Arc::default(),
        keys: Arc::default(),
        took: Duration::ZERO,
    }
}

fn id(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, "ns", name)
}

fn worker(name: &str, acknowledged: Option<(u64, &Arc<Table>)>) -> Worker {
    Worker {
        session: 1,
        id: name.into(),
        proxy: "p".into(),
        pid: 1,
        build: String::new(),
        admin_address: String::new(),
        connected: SystemTime::UNIX_EPOCH,
        acknowledged: acknowledged
            .map(|(seq, table)| Acknowledged { version: version(seq), table: Arc::clone(table) }),
        refused: Arc::default(),
        listener_errors: Vec::new(),
        draining: false,
        active_connections: 0,
    }
}

fn refusing(mut worker: Worker, key: Key) -> Worker {
    let refusal = Refusal { path: "routes[0]".into(), reason: "no".into() };
    worker.refused = Arc::new(BTreeMap::from([(key, refusal)]));
    worker
}

fn rollout(workers: Vec<Worker>) -> Rollout {
    Arc::new(workers.into_iter().map(|worker| (Arc::clone(&worker.id), Arc::new(worker))).collect())
}

#[test]
fn an_object_is_served_by_the_workers_that_run_all_its_parts_in_their_present_form() {
    let (old, new) = (table("old"), table("new"));
    let elsewhere = Worker { proxy: "other".into(), ..worker("w5", None) };
    let rollout = rollout(vec![
        worker("w1", Some((2, &new))),
        worker("w2", Some((1, &old))),
        worker("w3", None),
        refusing(worker("w4", Some((2, &new))), (HOST, "vh".into())),
        elsewhere,
    ]);
    let served = Served::new(&published(&new, 2), rollout);
    assert_eq!(served.count(&id(Kind::VirtualService, "vs")), (1, 4));
    assert_eq!(served.count(&id(Kind::RouteTable, "rt")), (1, 4), "a delegated table is part of the host");
    assert_eq!(served.errors(&id(Kind::VirtualService, "vs")), ["w4: vh: routes[0]: no"]);
    assert!(served.errors(&id(Kind::Gateway, "gw")).is_empty());
    assert_eq!(served.count(&id(Kind::Gateway, "gw")), (3, 4), "its listener did not change");
    assert_eq!(served.count(&id(Kind::Upstream, "none")), (0, 0));
}

#[test]
fn a_listener_that_cannot_be_bound_is_not_served() {
    let table = table("new");
    let mut failing = worker("w1", Some((1, &table)));
    failing.listener_errors = vec![("l".to_owned(), "address in use".to_owned())];
    let served = Served::new(&published(&table, 1), rollout(vec![failing]));
    assert_eq!(served.count(&id(Kind::Gateway, "gw")), (0, 1));
    assert_eq!(served.errors(&id(Kind::Gateway, "gw")), ["w1: l: address in use"]);
    assert!(served.errors(&id(Kind::VirtualService, "vs")).is_empty());
    assert_eq!(served.count(&id(Kind::VirtualService, "vs")), (1, 1));
}

#[test]
fn the_state_of_a_worker_says_the_worst_that_is_known() {
    let (old, new) = (table("old"), table("new"));
    let published = published(&new, 2);
    let mut draining = refusing(worker("d", Some((2, &new))), (HOST, "vh".into()));
    draining.draining = true;
    let rollout = rollout(vec![
        worker("a", Some((2, &new))),
        worker("b", Some((1, &old))),
        refusing(worker("c", Some((2, &new))), (HOST, "vh".into())),
        draining,
        worker("e", None),
    ]);
    let listed = workers(Some(&published), &rollout, SystemTime::now());
    let states: Vec<_> = listed.iter().map(|worker| worker.state.as_str()).collect();
    assert_eq!(states, ["synced", "behind", "rejecting", "draining", "behind"]);
    assert_eq!(listed[0].version, "1.2");
    assert_eq!(listed[2].reason, "vh: routes[0]: no");
    assert_eq!(listed[4].version, "");
}

#[test]
fn rows_are_found_by_kind_namespace_and_name() {
    let table = table("x");
    let published = published(&table, 1);
    assert_eq!(rows(&published, None, "", "").count(), 3);
    assert_eq!(rows(&published, Some(Kind::Gateway), "ns", "gw").count(), 1);
    assert_eq!(rows(&published, Some(Kind::Gateway), "other", "").count(), 0);
    let served = Served::new(&published, Rollout::default());
    let row = rows(&published, Some(Kind::RouteTable), "", "").next().unwrap();
    let wire = row.to_wire(&published, &served, SystemTime::UNIX_EPOCH + Duration::from_secs(7));
    assert_eq!((wire.state.as_str(), wire.age_seconds), ("Warning", 7));
    assert_eq!(wire.findings[0].path, "spec.routes[0]");
    assert_eq!(wire.file, "/etc/c/a.yaml");
}

#[test]
fn listeners_are_named_as_urls() {
    let table = table("x");
    let both = |rollout: &Rollout| {
        let Listeners { served, unserved } = listeners(&published(&table, 1), rollout);
        (served.join(","), unserved.join(","))
    };
    let one = rollout(vec![worker("w", None)]);
    assert_eq!(both(&one), ("https://[::]:8443".to_owned(), String::new()));
    assert_eq!(both(&Rollout::default()), (String::new(), "https://[::]:8443 (proxy p)".to_owned()));
}
