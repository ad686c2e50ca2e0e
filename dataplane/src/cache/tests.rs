//! The journal and the store together, on real folders.

use portcullis_shared::database;

use super::seal::Sealer;
use super::store::Store;
use super::*;

fn entry(body: &'static [u8], secret: bool) -> Entry {
    Entry { digest: Digest::of(body), body: Bytes::from_static(body), secret }
}

fn key(kind: i32, name: &str) -> Key {
    (kind, name.into())
}

fn upserts<const N: usize>(entries: [(Key, Entry); N]) -> Changes {
    Changes {
        entries: entries.into_iter().map(|(k, e)| (k, Some(e))).collect(),
        version: Some(Version { epoch: 3, seq: 4 }),
        ..Changes::default()
    }
}

#[test]
fn what_is_written_comes_back_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    {
        let store = Store::open(&path, None).unwrap();
        store
            .write(&upserts([
                (key(1, "l"), entry(b"listener", false)),
                (key(2, "v"), entry(b"vhost", false)),
            ]))
            .unwrap();
        let mut next = Changes::default();
        next.entries.insert(key(2, "v"), None);
        next.endpoints
            .insert("u".into(), Some(EndpointSet { upstream: "u".into(), sequence: 9, endpoints: vec![] }));
        next.version = Some(Version { epoch: 3, seq: 5 });
        store.write(&next).unwrap();
    }
    let loaded = Store::open(&path, None).unwrap().load();
    assert_eq!(loaded.entries, [(key(1, "l"), entry(b"listener", false))]);
    assert_eq!(loaded.endpoints.len(), 1);
    assert_eq!(loaded.saved.unwrap().version, Version { epoch: 3, seq: 5 });
    assert_eq!(loaded.unusable, 0);
}

#[test]
fn private_keys_are_left_out_without_a_sealing_key_and_sealed_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let secret = upserts([(key(5, "c"), entry(b"PRIVATE-KEY-BYTES", true))]);
    {
        let store = Store::open(&path, None).unwrap();
        store.write(&secret).unwrap();
        assert_eq!(store.load().entries, []);
    }
    {
        let store = Store::open(&path, Sealer::new(&[1; 32])).unwrap();
        store.write(&secret).unwrap();
        assert_eq!(store.load().entries, [(key(5, "c"), entry(b"PRIVATE-KEY-BYTES", true))]);
    }
    for file in walk(&path) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(11).any(|w| w == b"PRIVATE-KEY"), "{file:?}");
    }
    let other = Store::open(&path, Sealer::new(&[2; 32])).unwrap().load();
    assert_eq!((other.entries.len(), other.unusable), (0, 1));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_damaged_folder_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    drop(Store::open(&path, None).unwrap());
    for file in walk(&path) {
        std::fs::write(file, [0xa5; 300]).unwrap();
    }
    let store = Store::open(&path, None).unwrap();
    assert_eq!(store.load().entries, []);
    store.write(&upserts([(key(1, "l"), entry(b"listener", false))])).unwrap();
    assert!(folder.path().join("cache.damaged").exists());
}

#[test]
fn a_reset_forgets_what_was_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("cache"), None).unwrap();
    store
        .write(&upserts([(key(1, "old"), entry(b"old", false)), (key(1, "kept"), entry(b"1", false))]))
        .unwrap();
    let mut reset = upserts([(key(1, "kept"), entry(b"2", false))]);
    reset.reset = true;
    store.write(&reset).unwrap();
    assert_eq!(store.load().entries, [(key(1, "kept"), entry(b"2", false))]);
}

#[test]
fn many_entries_are_written_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let many = |body: &'static [u8]| Changes {
        entries: (0..500).map(|n| (key(2, &format!("v{n:03}")), Some(entry(body, false)))).collect(),
        version: Some(Version { epoch: 1, seq: 1 }),
        ..Changes::default()
    };
    let bodies = |store: &Store| -> Vec<Bytes> {
        store.load().entries.into_iter().map(|(_, entry)| entry.body).collect()
    };
    {
        let store = Store::open(&path, None).unwrap();
        store.write(&upserts([(key(1, "l"), entry(b"kept", false))])).unwrap();
        store.write(&many(b"one")).unwrap();
        assert_eq!(bodies(&store).len(), 501);
        let mut two = many(b"two");
        two.entries.insert(key(2, "v007"), None);
        store.write(&two).unwrap();
    }
    // A write that did not end: its tree does not count, and is gone after the next start.
    {
        let db = database::open(&path, 1 << 20).unwrap();
        db.open_tree(99_u64.to_be_bytes()).unwrap().insert(b"t\x02v000", b"torn").unwrap();
    }
    let store = Store::open(&path, None).unwrap();
    let bodies = bodies(&store);
    assert_eq!(bodies.iter().filter(|body| **body == "two").count(), 499);
    assert_eq!(bodies.iter().filter(|body| **body == "kept").count(), 1);
    assert_eq!((bodies.len(), store.load().unusable), (500, 0));
    drop(store);
    assert_eq!(database::open(&path, 1 << 20).unwrap().tree_names().len(), 2);
}

#[test]
fn later_changes_win_and_a_batch_that_was_not_written_comes_back() {
    let journal = Arc::new(Journal::default());
    journal.record(upserts([(key(1, "a"), entry(b"1", false)), (key(1, "b"), entry(b"1", false))]));
    let failed = journal.take();
    journal.record(upserts([(key(1, "a"), entry(b"2", false))]));
    drop(failed);
    let mut batch = journal.take();
    let changes = batch.changes.take().unwrap();
    assert_eq!(changes.entries[&key(1, "a")], Some(entry(b"2", false)));
    assert_eq!(changes.entries[&key(1, "b")], Some(entry(b"1", false)));
    batch.written();
    assert!(journal.take().changes.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn the_writer_writes_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(Place::new(folder.path().join("cache"), None));
    let journal = Arc::new(Journal::default());
    journal.record(upserts([(key(1, "a"), entry(b"1", false))]));
    flush(&journal, &place).await.unwrap();
    assert_eq!(place.open().unwrap().load().entries.len(), 1);
}

#[tokio::test]
async fn what_a_predecessor_s_lock_kept_back_is_written_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(Place::new(folder.path().join("cache"), None));
    let predecessor = Place::new(folder.path().join("cache"), None);
    let held = predecessor.open().unwrap();
    held.write(&upserts([(key(1, "old"), entry(b"0", false))])).unwrap();
    let journal = Arc::new(Journal::default());
    journal.record(Changes { reset: true, ..upserts([(key(1, "a"), entry(b"1", false))]) });
    flush(&journal, &place).await.unwrap_err();
    drop((held, predecessor));
    flush(&journal, &place).await.unwrap();
    let names: Vec<Key> = place.open().unwrap().load().entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(names, [key(1, "a")]);
}

#[test]
fn the_folder_is_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/cache");
    let _store = Store::open(&path, None).unwrap();
    for made in [path.parent().unwrap(), &path] {
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", made.display());
    }
}
