use super::*;

fn record(name: &str, document: &str, order: u64) -> Record {
    Record {
        kind: "VirtualService".to_owned(),
        namespace: "gloo-system".to_owned(),
        name: name.to_owned(),
        document: document.to_owned(),
        order,
        first_seen_ms: 1,
        accepted_at_ms: 2,
        file: "/etc/a.yaml".to_owned(),
        line: 7,
        history: Vec::new(),
    }
}

#[test]
fn records_survive_a_restart_and_forgetting_removes_them() {
    let dir = tempfile::tempdir().unwrap();
    {
        let data = DataDir::lock(dir.path()).unwrap();
        let store = Store::open(&data);
        store
            .write(&[Change::Remember(record("a", "{}", 1)), Change::Remember(record("b", "{}", 2))])
            .unwrap();
    }
    let data = DataDir::lock(dir.path()).unwrap();
    let store = Store::open(&data);
    assert_eq!(store.load().unwrap(), [record("a", "{}", 1), record("b", "{}", 2)]);
    store.write(&[Change::Forget(record("a", "{}", 1).key())]).unwrap();
    assert_eq!(store.load().unwrap(), [record("b", "{}", 2)]);
}

#[test]
fn the_history_keeps_the_last_forms_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let store = Store::open(&data);
    for document in ["1", "2", "2", "3", "4", "5"] {
        store.write(&[Change::Remember(record("a", document, 1))]).unwrap();
    }
    let loaded = store.load().unwrap();
    let history: Vec<&str> = loaded[0].history.iter().map(|past| past.document.as_str()).collect();
    assert_eq!(loaded[0].document, "5");
    assert_eq!(history, ["4", "3", "2"]);
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _held = DataDir::lock(dir.path()).unwrap();
    let error = DataDir::lock(dir.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
}

#[test]
fn a_damaged_store_is_set_aside_and_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    std::fs::create_dir(dir.path().join(FOLDER)).unwrap();
    std::fs::write(dir.path().join(FOLDER).join("conf"), b"this is no sled configuration").unwrap();
    std::fs::write(dir.path().join(FOLDER).join("db"), vec![0xa5; 8192]).unwrap();
    let store = Store::open(&data);
    assert!(store.load().unwrap().is_empty());
    assert!(dir.path().join("control-store.damaged/conf").exists());
}

#[test]
fn a_record_that_cannot_be_read_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    let store = Store::open(&data);
    store.write(&[Change::Remember(record("a", "{}", 1))]).unwrap();
    let open = store.open.lock().unwrap().clone().unwrap();
    open.records.insert("VirtualService/x/y", "not json").unwrap();
    assert_eq!(store.load().unwrap(), [record("a", "{}", 1)]);
}

#[test]
fn a_folder_that_cannot_be_opened_costs_the_memory_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::lock(dir.path()).unwrap();
    // A file where the folder should be.
    let folder = dir.path().join(FOLDER);
    std::fs::write(&folder, "").unwrap();
    let store = Store::open(&data);
    assert!(store.load().unwrap().is_empty());
    let changes = [Change::Remember(record("a", "{}", 1))];
    store.write(&changes).unwrap_err();
    std::fs::remove_file(&folder).unwrap();
    store.write(&changes).unwrap();
    assert_eq!(store.load().unwrap(), [record("a", "{}", 1)]);
}
