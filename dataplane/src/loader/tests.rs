//! Transactions against a loader without actors.

use bytes::Bytes;
use portcullis_proto::link::v1::{ResourceId, Upsert, upsert::Resource as Wire};
use portcullis_proto::table::v1 as wire;
use portcullis_shared::table;
use portcullis_shared::version::{Digest, TableDigest};

use super::*;
use crate::cache::Journal;
use crate::cache::store::Store;
use crate::link::{Outcome, Transaction};

struct World {
    loader: Loader,
    topics: Topics,
    current: Arc<arc_swap::ArcSwap<Runtime>>,
    journal: Arc<Journal>,
}

impl World {
    fn new() -> Self {
        let current = Arc::new(arc_swap::ArcSwap::from_pointee(Runtime::default()));
        let journal = Arc::new(Journal::default());
        let topics = Topics {
            endpoints: Endpoints::new(Arc::clone(&current), Arc::clone(&journal)),
            journal: Arc::clone(&journal),
            published: Arc::new(tokio::sync::watch::Sender::new(Published {
                runtime: current.load_full(),
                generation: 0,
            })),
            loaded: Arc::default(),
        };
        Self { loader: Loader::new(topics.clone()), topics, current, journal }
    }

    fn apply(&mut self, transaction: Transaction) -> Vec<String> {
        match self.loader.apply(transaction) {
            Outcome::Applied { rejected } => {
                rejected.into_iter().map(|r| r.resource.map(|id| id.name).unwrap_or_default()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn have(&self) -> Vec<String> {
        self.loader.have().into_iter().map(|resource| resource.name).collect()
    }
}

fn listener(name: &str, port: u32) -> Upsert {
    table::upsert(Wire::Listener(wire::Listener {
        name: name.into(),
        address: "127.0.0.1".into(),
        port,
        filter_chains: vec![wire::FilterChain {
            name: "all".into(),
            serve: Some(wire::filter_chain::Serve::RouteConfig("main".into())),
            ..Default::default()
        }],
        ..Default::default()
    }))
}

/// A virtual host that answers `status`; an impossible status makes it one that cannot be built.
fn host(name: &str, status: u32) -> Upsert {
    let response = wire::DirectResponse { status, body: String::new() };
    table::upsert(Wire::VirtualHost(wire::VirtualHost {
        name: name.into(),
        route_configs: vec!["main".into()],
        domains: vec![format!("{name}.test")],
        routes: vec![wire::Route {
            name: "r".into(),
            r#match: Some(wire::Match {
                path: Some(wire::r#match::Path::Prefix("/".into())),
                ..Default::default()
            }),
            action: Some(wire::route::Action::DirectResponse(response)),
            ..Default::default()
        }],
        ..Default::default()
    }))
}

fn dynamic(name: &str) -> Upsert {
    table::upsert(Wire::Upstream(wire::Upstream {
        name: name.into(),
        dynamic_endpoints: true,
        ..Default::default()
    }))
}

fn endpoints(upstream: &str, sequence: u64, port: u32) -> wire::EndpointSet {
    let endpoint = wire::Endpoint { address: "127.0.0.1".into(), port, ..Default::default() };
    wire::EndpointSet { upstream: upstream.into(), sequence, endpoints: vec![endpoint] }
}

/// A transaction whose commit is right when the table is `table` after it.
fn transaction(table: &[&Upsert], upserts: &[&Upsert], removes: &[(wire::Kind, &str)]) -> Transaction {
    let mut digest = TableDigest::default();
    for upsert in table {
        let (kind, name) = table::identity(upsert.resource.as_ref().unwrap());
        digest.add(kind.wire(), name, &Digest::from_slice(&upsert.digest).unwrap());
    }
    Transaction {
        reset: false,
        upserts: upserts.iter().map(|upsert| (*upsert).clone()).collect(),
        removes: removes
            .iter()
            .map(|(kind, name)| ResourceId { kind: *kind as i32, name: (*name).to_owned() })
            .collect(),
        version: Version { epoch: 1, seq: 1 },
        table_digest: digest.get(),
    }
}

fn whole(table: &[&Upsert]) -> Transaction {
    Transaction { reset: true, ..transaction(table, table, &[]) }
}

#[test]
fn a_transaction_is_applied_as_a_whole_and_published_once() {
    let mut world = World::new();
    let (l, v) = (listener("l", 80), host("v", 200));
    assert_eq!(world.apply(whole(&[&l, &v])), Vec::<String>::new());
    assert_eq!(world.current.load().listeners().len(), 1);
    assert_eq!(world.loader.generation(), 1);
    assert_eq!(world.have().len(), 2);
    let loaded = world.topics.loaded.borrow().clone();
    assert_eq!((loaded.listeners, loaded.complete), (1, false));

    assert_eq!(world.apply(transaction(&[&v], &[], &[(wire::Kind::Listener, "l")])), Vec::<String>::new());
    assert_eq!(world.current.load().listeners().len(), 0);
}

#[test]
fn a_wrong_table_digest_changes_nothing() {
    let mut world = World::new();
    let (l, v) = (listener("l", 80), host("v", 200));
    world.apply(whole(&[&l]));
    assert_eq!(world.loader.apply(transaction(&[&v], &[&v], &[])), Outcome::Mismatch);
    assert_eq!(world.have(), ["l"]);
    assert_eq!(world.loader.generation(), 1);
    assert_eq!(world.apply(whole(&[&l, &v])), Vec::<String>::new());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut world = World::new();
    let nothing = Upsert { digest: Bytes::from_static(&[0; 16]), resource: None };
    assert!(matches!(world.loader.apply(transaction(&[], &[&nothing], &[])), Outcome::Refused(_)));
}

#[test]
fn a_rejected_resource_keeps_its_previous_form_also_in_the_cache() {
    let mut world = World::new();
    let (l, good, other) = (listener("l", 80), host("v", 200), host("w", 200));
    world.apply(whole(&[&l, &good]));
    let bad = host("v", 9);
    assert_eq!(world.apply(transaction(&[&l, &bad, &other], &[&bad, &other], &[])), ["v"]);
    let mut have = world.have();
    have.sort();
    assert_eq!(have, ["l", "w"], "a rejected resource is not something that runs");
    assert_eq!(world.topics.loaded.borrow().rejected, 1);

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache"), None).unwrap();
    world.journal.write_to(&store).unwrap();
    let mut restored = World::new();
    assert!(restored.loader.restore(store.load()));
    let runtime = restored.current.load_full();
    let kept = runtime.virtual_host("v").unwrap();
    assert!(kept.rejected.is_none());
    assert_eq!(runtime.virtual_host_count(), 2);

    // Mended: the new form goes to the cache.
    let mended = host("v", 204);
    assert!(world.apply(transaction(&[&l, &mended, &other], &[&mended], &[])).is_empty());
    world.journal.write_to(&store).unwrap();
    let digests: Vec<Digest> = store.load().entries.iter().map(|(_, entry)| entry.digest).collect();
    assert!(digests.contains(&Digest::from_slice(&mended.digest).unwrap()));
}

#[test]
fn a_resource_that_was_never_good_fails_closed_also_after_a_restart() {
    let mut world = World::new();
    let (l, bad) = (listener("l", 80), host("v", 9));
    assert_eq!(world.apply(whole(&[&l, &bad])), ["v"]);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache"), None).unwrap();
    world.journal.write_to(&store).unwrap();
    let mut restored = World::new();
    assert!(restored.loader.restore(store.load()));
    assert!(restored.current.load().virtual_host("v").unwrap().rejected.is_some());
    assert!(restored.topics.loaded.borrow().is_from_cache());
    assert!(restored.topics.loaded.borrow().complete);
}

#[test]
fn an_empty_cache_is_nothing_to_serve() {
    let mut world = World::new();
    assert!(!world.loader.restore(crate::cache::store::Loaded::default()));
    assert!(!world.topics.loaded.borrow().complete);
}

#[test]
fn endpoints_find_their_upstream_whichever_comes_first() {
    let mut world = World::new();
    let l = listener("l", 80);
    let (early, late) = (dynamic("early"), dynamic("late"));
    world.topics.endpoints.give(endpoints("late", 1, 1001));
    world.apply(whole(&[&l, &early]));
    world.topics.endpoints.give(endpoints("early", 2, 1002));
    world.apply(transaction(&[&l, &early, &late], &[&late], &[]));
    let port = |name: &str| {
        let upstream = Arc::clone(world.current.load().upstream(name).unwrap());
        upstream.endpoints().list()[0].address.port()
    };
    assert_eq!((port("early"), port("late")), (1002, 1001));

    // A new session counts from the start.
    world.topics.endpoints.give(endpoints("early", 1, 1));
    assert_eq!(port("early"), 1002, "older than what is there");
    world.topics.endpoints.begin_session();
    world.topics.endpoints.give(endpoints("early", 1, 1003));
    assert_eq!(port("early"), 1003);
}

#[test]
fn a_loader_that_was_restarted_replaces_the_cache() {
    let mut world = World::new();
    let (l, old) = (listener("l", 80), host("old", 200));
    world.apply(whole(&[&l, &old]));
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache"), None).unwrap();
    world.journal.write_to(&store).unwrap();

    world.loader = Loader::new(world.topics.clone());
    assert_eq!(world.have(), Vec::<String>::new());
    assert_eq!(world.current.load().listeners().len(), 1, "what is served stays");
    world.apply(transaction(&[&l], &[&l], &[]));
    world.journal.write_to(&store).unwrap();
    assert_eq!(store.load().entries.len(), 1);
}
