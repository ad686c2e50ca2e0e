//! A worker that starts while control is away.

use crate::client::{connect_tls, get};
use crate::control::Control;
use crate::pki::Ca;
use crate::process::{Site, Worker, bytes_below};
use crate::table::{
    Table, answering, certificate, dynamic_upstream, endpoints, forwarding, listener, tls_listener,
};
use crate::until;

/// Waits until the worker's last change is on disk: a second worker cannot open the cache, so the file's size tells
/// nothing, but a worker that stops in order has written everything.
async fn stop(worker: Worker) {
    worker.signal(rustix::process::Signal::TERM);
    let status = worker.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_table_is_served_while_control_is_away() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(dynamic_upstream("u"))
        .with(forwarding("u", "u.test", "u"))
        .with(answering("a", "a.test", "cached"));
    session.put(&table).await;
    session.endpoints(endpoints("u", 1, site.at(21901))).await;
    session.beat(|_| true).await;
    drop(session);
    drop(control);
    // Control's end changes nothing.
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "cached");
    stop(worker).await;

    let worker = site.worker();
    let ready = worker.ready().await;
    assert!(ready.contains("table: from cache, version 1.1, age "), "{ready}");
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "cached");
    // The endpoints are there as well: refused (503), and not waited for.
    assert_eq!(get(site.at(21080), "u.test").await.unwrap().status, 503);

    // Control comes back: it learns what the worker has and sends only what differs.
    let mut control = Control::start(&site.socket()).await;
    let mut session = control.session().await;
    assert_eq!(session.have.len(), 4);
    let next = table.with(answering("a", "a.test", "fresh"));
    assert_eq!(next.delta(&session.have).upserts.len(), 1);
    session.put(&next).await;
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "fresh");
    until("the table to be control's", || async {
        let ready = worker.admin("/readyz?verbose").await.ok()?.body;
        (ready.contains("table: version 1.1") && ready.contains("link: connected")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_comes_back_with_its_table() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "hello"));
    session.put(&table).await;
    // What is on disk by the time of the kill is what counts: wait for it without looking at a clock.
    let cache = site.data().join("worker-0-cache");
    until("the cache to be written", || async {
        bytes_below(&cache).windows(6).any(|w| w == b"a.test").then_some(())
    })
    .await;
    drop(control);
    worker.kill().await;
    until("the sockets to be gone", || async { get(site.at(21080), "a.test").await.err() }).await;

    let worker = site.worker();
    let ready = worker.ready().await;
    assert!(ready.contains("from cache"), "{ready}");
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_are_cached_only_under_a_seal() {
    for sealed in [true, false] {
        let site = Site::new();
        let key_file = site.folder.path().join("cache.key");
        std::fs::write(&key_file, [7; 32]).unwrap();
        let start = || {
            site.worker_with(|command| {
                if sealed {
                    command.arg("--cache-key-file").arg(&key_file);
                }
            })
        };
        let ca = Ca::new("ca");
        let server = ca.issue(&["a.test"]);
        let mut control = Control::start(&site.socket()).await;
        let worker = start();
        let mut session = control.session().await;
        let table = Table::default()
            .with(listener(site.address, 21080))
            .with(tls_listener(site.address, 21443, &[("cert", &[], false)]))
            .with(certificate("cert", &server, None))
            .with(answering("any", "*", "hello"));
        session.put(&table).await;
        drop(control);
        stop(worker).await;
        let disk = bytes_below(&site.data());
        assert!(!disk.windows(32).any(|w| w == &server.key[server.key.len() - 32..]), "a key in clear text");

        let worker = start();
        worker.ready().await;
        assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "hello");
        let config = ca.client(None, &["http/1.1"]);
        let tls = connect_tls(site.at(21443), &config, "a.test").await;
        assert_eq!(tls.is_ok(), sealed, "{:?}", tls.err());

        // With control, everything is there again.
        let mut control = Control::start(&site.socket()).await;
        let mut session = control.session().await;
        let missing = table.delta(&session.have).upserts.len();
        assert_eq!(missing > 0, !sealed);
        session.put(&table).await;
        let mut client = connect_tls(site.at(21443), &config, "a.test").await.unwrap();
        assert_eq!(client.get("a.test").await.unwrap().body, "hello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cache_is_no_obstacle() {
    let site = Site::new();
    let folder = site.data().join("worker-0-cache");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("conf"), "nonsense").unwrap();
    std::fs::write(folder.join("db"), [0xee; 4096]).unwrap();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    assert!(session.have.is_empty());
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "hello"));
    session.put(&table).await;
    worker.ready().await;
}
