use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::*;

fn upstream(name: &str, addr: &str) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: {name}, namespace: ns}}\n\
         spec:\n  static:\n    hosts:\n    - {{addr: {addr}, port: 80}}\n"
    )
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.entries().map(|entry| entry.id.name.to_string()).collect()
}

fn none() -> BTreeSet<PathBuf> {
    BTreeSet::new()
}

fn opened(folder: &Path) -> FileSet {
    let mut set = FileSet::new(folder, "default");
    set.open().unwrap();
    set
}

fn addr(loaded: &Loaded, name: &str) -> String {
    let entry = loaded.entries().find(|entry| &*entry.id.name == name).unwrap();
    match &entry.object.as_ref().unwrap().spec {
        crate::resource::Spec::Upstream(upstream) => {
            upstream.static_hosts.as_ref().unwrap().hosts[0].addr.clone()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_depth_and_every_spelling_of_the_extension_is_read() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "a"));
    write(dir.path(), "x/y/z/b.yml", upstream("b", "b"));
    write(dir.path(), "x/c.JSON", r#"{"kind":"Upstream","metadata":{"name":"c"},"spec":{"static":{}}}"#);
    write(dir.path(), "x/d.txt", upstream("d", "d"));
    write(dir.path(), "x/.e.yaml", upstream("e", "e"));
    write(dir.path(), ".git/f.yaml", upstream("f", "f"));
    write(dir.path(), "x/g.yaml~", upstream("g", "g"));
    let loaded = load(dir.path(), "default").unwrap();
    assert_eq!(names(&loaded), ["a", "c", "b"]);
    assert!(loaded.problems.is_empty());
}

#[test]
fn one_file_can_be_loaded_by_itself() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a", upstream("a", "a"));
    assert_eq!(names(&load(&dir.path().join("a"), "default").unwrap()), ["a"]);
}

#[test]
fn a_missing_folder_is_an_error() {
    let dir = TempDir::new().unwrap();
    assert!(load(&dir.path().join("none"), "default").is_err());
}

#[test]
fn nothing_is_read_twice_through_links_and_loops_end() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a/one.yaml", upstream("one", "x"));
    symlink("one.yaml", dir.path().join("a/two.yaml")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    symlink("..", dir.path().join("a/up")).unwrap();
    let loaded = load(dir.path(), "default").unwrap();
    assert_eq!(names(&loaded), ["one"]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
}

#[test]
fn a_kubernetes_mount_is_read_once_and_followed_through_its_swap() {
    let dir = TempDir::new().unwrap();
    let mount = dir.path();
    write(mount, "..2024_01/a.yaml", upstream("a", "old"));
    symlink("..2024_01", mount.join("..data")).unwrap();
    symlink("..data/a.yaml", mount.join("a.yaml")).unwrap();
    let mut set = opened(mount);
    assert_eq!(names(&set.loaded()), ["a"]);
    assert_eq!(addr(&set.loaded(), "a"), "old");

    write(mount, "..2024_02/a.yaml", upstream("a", "new"));
    symlink("..2024_02", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    fs::remove_dir_all(mount.join("..2024_01")).unwrap();
    assert!(set.rescan(&none()));
    assert_eq!(addr(&set.loaded(), "a"), "new");
    assert!(!set.rescan(&none()), "nothing differs the second time");
}

#[test]
fn a_link_that_leads_nowhere_keeps_what_was_read() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "..data/a.yaml", upstream("a", "x"));
    symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    let mut set = opened(dir.path());
    fs::rename(dir.path().join("..data"), dir.path().join("..gone")).unwrap();
    assert!(set.rescan(&none()));
    assert_eq!(names(&set.loaded()), ["a"]);
    assert!(set.loaded().problems[0].message.contains("stays in use"));
}

#[test]
fn deleting_a_file_or_a_folder_takes_its_resources_away() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "x"));
    write(dir.path(), "sub/b.yaml", upstream("b", "x"));
    let mut set = opened(dir.path());
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    assert!(set.apply(&BTreeSet::from([dir.path().join("a.yaml")]), &none()));
    assert_eq!(names(&set.loaded()), ["b"]);
    fs::remove_dir_all(dir.path().join("sub")).unwrap();
    assert!(set.rescan(&none()));
    assert!(names(&set.loaded()).is_empty());
}

#[test]
fn a_deleted_root_folder_is_not_an_empty_one() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("config");
    write(&root, "a.yaml", upstream("a", "x"));
    let mut set = opened(&root);
    fs::rename(&root, dir.path().join("moved")).unwrap();
    assert!(set.rescan(&none()));
    assert_eq!(names(&set.loaded()), ["a"]);
    assert!(set.loaded().problems[0].message.contains("cannot be read"), "{:?}", set.loaded().problems);
    assert!(!set.rescan(&none()), "the same problem is no change");
    fs::rename(dir.path().join("moved"), &root).unwrap();
    assert!(set.rescan(&none()));
    assert!(set.loaded().problems.is_empty());
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_content() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "x"));
    write(dir.path(), "b.yaml", upstream("b", "x"));
    let mut set = opened(dir.path());
    for (content, why) in [(&b"\xff\xfe"[..], "not UTF-8"), (b"", "empty"), (b"  \n", "empty")] {
        write(dir.path(), "a.yaml", content);
        set.apply(&BTreeSet::from([dir.path().join("a.yaml")]), &none());
        let loaded = set.loaded();
        assert_eq!(names(&loaded), ["a", "b"]);
        assert!(loaded.problems[0].message.contains(why), "{:?}", loaded.problems);
        assert!(loaded.problems[0].location.as_ref().unwrap().file.ends_with("a.yaml"));
    }
    write(dir.path(), "a.yaml", "# on purpose\n");
    assert!(set.apply(&BTreeSet::from([dir.path().join("a.yaml")]), &none()));
    assert_eq!(names(&set.loaded()), ["b"]);
}

#[test]
fn a_broken_document_does_not_delete_what_it_may_have_been() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", format!("{}---\n{}", upstream("a", "x"), upstream("b", "x")));
    let mut set = opened(dir.path());
    let path = BTreeSet::from([dir.path().join("a.yaml")]);
    write(dir.path(), "a.yaml", format!("{}---\nkind: [\n", upstream("a", "z")));
    assert!(set.apply(&path, &none()));
    assert_eq!(names(&set.loaded()), ["a", "b"]);
    assert_eq!(addr(&set.loaded(), "a"), "z");
    assert_eq!(set.loaded().problems.len(), 1);
    write(dir.path(), "a.yaml", upstream("a", "z"));
    assert!(set.apply(&path, &none()));
    assert_eq!(names(&set.loaded()), ["a"]);
}

#[test]
fn of_two_definitions_the_first_by_path_counts_and_both_are_named() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "b.yaml", upstream("same", "second"));
    write(dir.path(), "a/z.yaml", upstream("same", "first"));
    let loaded = load(dir.path(), "default").unwrap();
    assert_eq!(loaded.entries.len(), 1);
    assert_eq!(addr(&loaded, "same"), "first");
    let message = &loaded.problems[0].message;
    assert!(message.contains("a/z.yaml:1:1") && message.contains("b.yaml:1:1"), "{message}");
    assert!(message.starts_with("Upstream ns.same is defined twice"), "{message}");
}

#[test]
fn an_unchanged_file_is_not_parsed_again() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "x"));
    write(dir.path(), "b.yaml", upstream("b", "x"));
    let mut set = opened(dir.path());
    let before = set.loaded();
    write(dir.path(), "b.yaml", upstream("b", "z"));
    assert!(set.apply(&BTreeSet::from([dir.path().join("b.yaml")]), &none()));
    let after = set.loaded();
    assert!(Arc::ptr_eq(&before.entries[0], &after.entries[0]));
    assert!(!Arc::ptr_eq(&before.entries[1], &after.entries[1]));
    write(dir.path(), "b.yaml", upstream("b", "z"));
    assert!(!set.apply(&BTreeSet::from([dir.path().join("b.yaml")]), &none()), "the same text is no change");
}

/// A pace at which only inotify can be the reason for what is seen in time.
const EVENTS_ONLY: Pace = Pace {
    settle: Duration::from_millis(5),
    longest: Duration::from_millis(100),
    writing: Duration::from_millis(200),
    gone: Duration::from_millis(50),
    rescan: Duration::from_secs(3600),
    unsure: Duration::from_millis(1),
};

struct Followed {
    task: tokio::task::JoinHandle<()>,
    seen: watch::Receiver<Option<Loaded>>,
}

impl Followed {
    fn start(folder: &Path, pace: Pace) -> Followed {
        let (sender, seen) = watch::channel(None);
        let folder = folder.to_owned();
        let task = tokio::spawn(async move {
            follow(folder, "default".to_owned(), pace, move |loaded| {
                sender.send_replace(Some(loaded));
            })
            .await;
        });
        Followed { task, seen }
    }

    async fn until(&self, what: &str, test: impl Fn(&Loaded) -> bool) -> Loaded {
        let mut seen = self.seen.clone();
        let wait = seen.wait_for(|seen| seen.as_ref().is_some_and(&test));
        match tokio::time::timeout(Duration::from_secs(20), wait).await {
            Ok(seen) => seen.unwrap().clone().unwrap(),
            Err(_) => panic!("not seen in time: {what}; now {:?}", self.seen.borrow().as_ref().map(names)),
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_every_sort_are_seen() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    write(root, "a.yaml", upstream("a", "one"));
    let followed = Followed::start(root, EVENTS_ONLY);
    followed.until("the first list", |loaded| names(loaded) == ["a"]).await;

    write(root, "a.yaml", upstream("a", "two"));
    followed.until("a write", |loaded| addr(loaded, "a") == "two").await;

    write(root, "b.yaml", upstream("b", "x"));
    followed.until("a create", |loaded| names(loaded) == ["a", "b"]).await;

    fs::rename(root.join("b.yaml"), root.join("c.yaml")).unwrap();
    let loaded = followed
        .until("a rename", |loaded| loaded.entries.iter().any(|e| e.location.file.ends_with("c.yaml")))
        .await;
    assert_eq!(names(&loaded), ["a", "b"]);

    // As editors save: a new file takes the name of the old one.
    write(root, ".a.yaml.tmp", upstream("a", "three"));
    fs::rename(root.join(".a.yaml.tmp"), root.join("a.yaml")).unwrap();
    followed.until("a replacement", |loaded| addr(loaded, "a") == "three").await;

    write(root, "sub/deep/d.yaml", upstream("d", "x"));
    followed.until("a folder", |loaded| names(loaded).contains(&"d".to_owned())).await;
    write(root, "sub/deep/d.yaml", upstream("d", "z"));
    followed.until("a write in the new folder", |loaded| addr(loaded, "d") == "z").await;

    fs::remove_dir_all(root.join("sub")).unwrap();
    followed.until("a deleted folder", |loaded| names(loaded) == ["a", "b"]).await;

    fs::remove_file(root.join("c.yaml")).unwrap();
    followed.until("a deletion", |loaded| names(loaded) == ["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swap_of_a_kubernetes_mount_is_seen() {
    let dir = TempDir::new().unwrap();
    let mount = dir.path();
    write(mount, "..2024_01/a.yaml", upstream("a", "old"));
    symlink("..2024_01", mount.join("..data")).unwrap();
    symlink("..data/a.yaml", mount.join("a.yaml")).unwrap();
    let followed = Followed::start(mount, EVENTS_ONLY);
    followed.until("the first list", |loaded| addr(loaded, "a") == "old").await;
    write(mount, "..2024_02/a.yaml", upstream("a", "new"));
    symlink("..2024_02", mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    followed.until("the swap", |loaded| addr(loaded, "a") == "new").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_written_is_waited_for() {
    use std::io::Write;
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "one"));
    let pace = Pace { writing: Duration::from_secs(3600), ..EVENTS_ONLY };
    let followed = Followed::start(dir.path(), pace);
    followed.until("the first list", |loaded| addr(loaded, "a") == "one").await;
    let mut file = fs::File::create(dir.path().join("a.yaml")).unwrap();
    file.write_all(upstream("a", "half").as_bytes()).unwrap();
    file.sync_all().unwrap();
    // Another file's change comes through meanwhile, and shows that the events before it were handled.
    write(dir.path(), "b.yaml", upstream("b", "x"));
    let loaded = followed.until("the other file", |loaded| names(loaded).len() == 2).await;
    assert_eq!(addr(&loaded, "a"), "one");
    file.write_all(b"    - {addr: more, port: 80}\n").unwrap();
    drop(file);
    followed.until("the finished file", |loaded| addr(loaded, "a") == "half").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_made_anew_is_never_missing() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "one"));
    let pace = Pace { gone: Duration::from_secs(3600), ..EVENTS_ONLY };
    let followed = Followed::start(dir.path(), pace);
    followed.until("the first list", |loaded| addr(loaded, "a") == "one").await;
    // Deleted, and renamed to a backup.
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    write(dir.path(), "b.yaml", upstream("b", "x"));
    let loaded = followed.until("the other file", |loaded| names(loaded).contains(&"b".to_owned())).await;
    assert_eq!(addr(&loaded, "a"), "one");
    write(dir.path(), "a.yaml", upstream("a", "two"));
    followed.until("the new file", |loaded| addr(loaded, "a") == "two").await;
    fs::rename(dir.path().join("a.yaml"), dir.path().join("a.yaml~")).unwrap();
    write(dir.path(), "c.yaml", upstream("c", "x"));
    let loaded = followed.until("the third file", |loaded| names(loaded).contains(&"c".to_owned())).await;
    assert_eq!(addr(&loaded, "a"), "two");
    // Renamed to a name that counts, it is gone at once.
    fs::rename(dir.path().join("b.yaml"), dir.path().join("d.yaml")).unwrap();
    followed
        .until("the rename", |loaded| loaded.entries.iter().any(|e| e.location.file.ends_with("d.yaml")))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_appears_later_is_waited_for_and_one_that_is_made_again_is_followed() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("config");
    let pace = Pace { rescan: Duration::from_millis(50), ..EVENTS_ONLY };
    let followed = Followed::start(&root, pace);
    write(&root, "a.yaml", upstream("a", "one"));
    followed.until("the first list", |loaded| names(loaded) == ["a"]).await;
    fs::remove_dir_all(&root).unwrap();
    let loaded = followed.until("the missing folder", |loaded| !loaded.problems.is_empty()).await;
    assert!(names(&loaded) == ["a"] || names(&loaded).is_empty(), "{:?}", names(&loaded));
    write(&root, "b.yaml", upstream("b", "one"));
    followed.until("the new folder", |loaded| names(loaded) == ["b"] && loaded.problems.is_empty()).await;
    write(&root, "b.yaml", upstream("b", "two"));
    followed.until("a write in it", |loaded| addr(loaded, "b") == "two").await;
}

#[test]
fn files_of_which_a_rescan_is_not_sure_are_read_later_but_not_while_they_are_written() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", upstream("a", "one"));
    write(dir.path(), "b.yaml", upstream("b", "one"));
    let mut set = opened(dir.path());
    assert!(!set.is_unsure(), "nothing is gained by reading at once again");
    // Read so soon after their last change, they may have changed within the same tick.
    assert!(!set.rescan(&none()));
    assert!(set.is_unsure());
    write(dir.path(), "a.yaml", upstream("a", "two"));
    write(dir.path(), "b.yaml", upstream("b", "two"));
    assert!(set.make_sure(10, &BTreeSet::from([dir.path().join("b.yaml")])));
    let loaded = set.loaded();
    assert_eq!((addr(&loaded, "a").as_str(), addr(&loaded, "b").as_str()), ("two", "one"));
    assert!(!set.is_unsure());
}
