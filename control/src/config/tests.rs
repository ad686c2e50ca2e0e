use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::Restarts;
use tokio::time::timeout;

use super::build::{Builder, Built};
use super::memory::Memory;
use super::{Config, Published, run};
use crate::admin::Metrics;
use crate::keyring::Keys;
use crate::resource::{Kind, ObjectRef, parse};
use crate::store::{Change, DataDir, Record, Store};
use crate::topics::{Set, Topics};

const UPSTREAM: &str = "
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: NAME, namespace: gloo-system}
spec: {static: {hosts: [{addr: 192.0.2.1, port: PORT}]}}
";

fn upstream(name: &str, port: u16) -> String {
    UPSTREAM.replace("NAME", name).replace("PORT", &port.to_string())
}

fn id(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Upstream, "gloo-system", name)
}

/// A source that holds one file with these documents.
fn set(documents: &[String]) -> Set {
    let parsed = parse(Path::new("/etc/c/a.yaml"), &documents.join("\n---\n"), "gloo-system");
    Set {
        entries: parsed.entries,
        problems: parsed.problems,
        notices: parsed.notices,
        incomplete: Vec::new(),
    }
}

fn sources(set: Option<Set>) -> crate::topics::Sources {
    let topics = Topics::new(&["file"]);
    if let Some(set) = set {
        topics.sources.send_modify(|sources| sources.put("file", Arc::new(set)));
    }
    topics.sources.borrow().clone()
}

fn builder(memory: Memory) -> Builder {
    Builder::new(7, 0, "gloo-system".into(), memory)
}

fn build(builder: &mut Builder, set: Option<Set>) -> Built {
    builder.build(&sources(set), &Arc::new(Keys::default())).unwrap()
}

fn remembered(built: &Built) -> Vec<Record> {
    let record = |change: &Change| match change {
        Change::Remember(record) => Some(record.clone()),
        Change::Forget(_) => None,
    };
    built.changes.iter().filter_map(record).collect()
}

fn forgotten(built: &Built) -> Vec<String> {
    let key = |change: &Change| match change {
        Change::Forget(key) => Some(key.clone()),
        Change::Remember(_) => None,
    };
    built.changes.iter().filter_map(key).collect()
}

fn names(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.name.as_str()).collect()
}

#[test]
fn what_is_accepted_is_remembered_once_with_the_order_of_its_first_acceptance() {
    let mut builder = builder(Memory::default());
    let first = remembered(&build(&mut builder, Some(set(&[upstream("b", 80)]))));
    assert_eq!(names(&first), ["b"]);
    let same = build(&mut builder, Some(set(&[upstream("b", 80)])));
    assert!(same.changes.is_empty());
    let second = remembered(&build(&mut builder, Some(set(&[upstream("a", 80), upstream("b", 81)]))));
    assert_eq!(names(&second), ["a", "b"]);
    assert!(second[0].order > second[1].order, "a came later");
    assert_eq!(second[1].order, first[0].order, "an update keeps the order");
}

#[test]
fn versions_grow_and_name_the_epoch() {
    let mut builder = builder(Memory::default());
    let one = build(&mut builder, Some(set(&[]))).published.version;
    let two = build(&mut builder, Some(set(&[]))).published.version;
    assert_eq!((one.epoch, two.epoch), (7, 7));
    assert!(one < two);
}

#[test]
fn only_what_is_really_gone_is_forgotten() {
    let mut builder = builder(Memory::default());
    build(&mut builder, Some(set(&[upstream("a", 80), upstream("b", 80)])));

    let incomplete = Set { incomplete: vec![PathBuf::from("/etc/c/a.yaml")], ..set(&[upstream("a", 80)]) };
    let built = build(&mut builder, Some(incomplete));
    assert!(forgotten(&built).is_empty());
    assert!(
        built.published.entries.get(&id("b")).unwrap().object.is_none(),
        "an entry without a form stands in"
    );

    let folder = Set { incomplete: vec![PathBuf::from("/etc/c")], ..Set::default() };
    assert!(forgotten(&build(&mut builder, Some(folder))).is_empty());

    let elsewhere = Set { incomplete: vec![PathBuf::from("/etc/other.yaml")], ..set(&[upstream("a", 80)]) };
    let built = build(&mut builder, Some(elsewhere));
    assert_eq!(forgotten(&built), ["Upstream/gloo-system/b"]);
    assert!(!built.published.entries.contains_key(&id("b")));
}

#[test]
fn a_form_that_does_not_decode_leaves_the_accepted_one() {
    let mut builder = builder(Memory::default());
    build(&mut builder, Some(set(&[upstream("a", 80)])));
    let broken = upstream("a", 80).replace("static", "statical");
    let built = build(&mut builder, Some(set(&[broken])));
    assert!(built.changes.is_empty());
    assert!(built.published.entries.get(&id("a")).unwrap().rejected());
}

#[test]
fn secrets_are_never_remembered() {
    let secret = "
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: s, namespace: gloo-system}
data: {tls.crt: Zm9v, tls.key: YmFy}
";
    let built = build(&mut builder(Memory::default()), Some(set(&[secret.to_owned()])));
    assert_eq!(built.published.entries.len(), 1);
    assert!(built.changes.is_empty());
}

#[test]
fn before_the_first_list_the_store_stands_in_and_without_it_there_is_nothing() {
    let mut first = builder(Memory::default());
    let records = remembered(&build(&mut first, Some(set(&[upstream("a", 80)]))));
    let nothing = builder(Memory::default()).build(&sources(None), &Arc::new(Keys::default()));
    assert!(nothing.is_none());

    let mut second = builder(Memory::load(records));
    let built = build(&mut second, None);
    assert!(built.published.entries.contains_key(&id("a")));
    assert!(built.changes.is_empty(), "nothing is forgotten");
}

#[test]
fn what_is_remembered_is_not_used_while_its_secrets_are_away() {
    let service = "
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: v, namespace: gloo-system}
spec:
  sslConfig: {secretRef: {name: s, namespace: gloo-system}}
  virtualHost:
    domains: ['*']
    routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]
";
    let secret = "{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: s, namespace: gloo-system}}";
    let documents = [service.to_owned(), secret.to_owned()];
    let mut first = builder(Memory::default());
    let parsed = set(&documents);
    let mut keys = Keys::default();
    keys.index = usable();
    let built = first.build(&sources(Some(parsed)), &Arc::new(keys)).unwrap();
    assert!(!built.blind);
    let records = remembered(&built);
    assert_eq!(names(&records), ["v"]);

    let blind = build(&mut builder(Memory::load(records)), None);
    assert!(blind.blind);
}

/// Facts of a secret that is fine.
fn usable() -> crate::translate::SecretIndex {
    use crate::translate::{CertificateSource, SecretFacts};
    let source = CertificateSource::Secret { namespace: "gloo-system".into(), name: "s".into() };
    [(source, SecretFacts { has_certificate: true, ..SecretFacts::default() })].into_iter().collect()
}

#[test]
fn a_table_keeps_its_version_while_it_stays_the_same() {
    let mut builder = builder(Memory::default());
    let versions = |built: &Built| -> BTreeMap<Arc<str>, u64> {
        built.published.proxies.iter().map(|(name, proxy)| (Arc::clone(name), proxy.version.seq)).collect()
    };
    let first = versions(&build(&mut builder, Some(set(&[upstream("a", 80)]))));
    assert_eq!(first, versions(&build(&mut builder, Some(set(&[upstream("a", 80)])))));
    let changed = versions(&build(&mut builder, Some(set(&[upstream("a", 81)]))));
    for (proxy, seq) in changed {
        assert!(seq > first[&proxy]);
    }
}

/// The actor on topics of its own, with a store in a folder of its own.
struct Running {
    topics: Topics,
    _dir: tempfile::TempDir,
    _data: DataDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(records: Vec<Record>) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let store = Store::open(&data);
    store.write(&records.into_iter().map(Change::Remember).collect::<Vec<_>>()).unwrap();
    let topics = Topics::new(&["file"]);
    let config = Config {
        topics: topics.clone(),
        metrics: Arc::new(Metrics::new(Restarts::default())),
        store,
        epoch: 7,
        own_namespace: "gloo-system".into(),
        quiet: Duration::from_millis(5),
        max: Duration::from_millis(100),
    };
    let task = tokio::spawn(async move {
        let _ = run(config).await;
    });
    Running { topics, _dir: dir, _data: data, task }
}

async fn published(topics: &Topics, holds: impl Fn(&Published) -> bool) -> Arc<Published> {
    let mut tables = topics.tables.subscribe();
    let wait = tables.wait_for(|published| published.as_ref().is_some_and(|published| holds(published)));
    timeout(Duration::from_secs(20), wait).await.unwrap().unwrap().clone().unwrap()
}

#[tokio::test]
async fn the_first_list_is_built_and_later_ones_after_it() {
    let running = start(Vec::new());
    let put = |documents: &[String]| {
        running.topics.sources.send_modify(|sources| sources.put("file", Arc::new(set(documents))));
    };
    put(&[upstream("a", 80)]);
    let first = published(&running.topics, |p| p.entries.contains_key(&id("a"))).await;
    put(&[upstream("a", 80), upstream("b", 80)]);
    let second = published(&running.topics, |p| p.entries.contains_key(&id("b"))).await;
    assert!(first.version < second.version);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_no_list_is_replaced_by_the_store_after_a_deadline() {
    let mut first = builder(Memory::default());
    let records = remembered(&build(&mut first, Some(set(&[upstream("a", 80)]))));
    let running = start(records);
    let began = tokio::time::Instant::now();
    let published = published(&running.topics, |_| true).await;
    assert!(published.entries.contains_key(&id("a")));
    assert!(began.elapsed() >= Duration::from_secs(3));
}
