//! Ends of a worker.

use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::connect;
use crate::control::Control;
use crate::process::Site;
use crate::table::{Table, answering, dynamic_upstream, endpoints, forwarding, listener};
use crate::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_finished_before_the_end() {
    let site = Site::new();
    let backend = tokio::net::TcpListener::bind(site.at(21900)).await.unwrap();
    let mut control = Control::start(&site.socket()).await;
    let log = site.folder.path().join("access.log");
    let worker = site.worker_with(|command| {
        command.arg("--access-log").arg(&log);
    });
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(dynamic_upstream("u"))
        .with(forwarding("u", "u.test", "u"))
        .with(answering("a", "a.test", "idle"));
    session.endpoints(endpoints("u", 1, site.at(21900))).await;
    session.put(&table).await;

    let mut idle = connect(site.at(21080)).await.unwrap();
    assert_eq!(idle.get("a.test").await.unwrap().body, "idle");
    let mut busy = connect(site.at(21080)).await.unwrap();
    busy.send("u.test", "/").await.unwrap();
    let (mut stream, _) = backend.accept().await.unwrap();
    let mut request = [0; 4096];
    assert!(stream.read(&mut request).await.unwrap() > 0);

    worker.signal(Signal::TERM);
    session.beat(|beat| beat.draining).await;
    idle.closed().await;
    until("the port to be closed", || async { connect(site.at(21080)).await.err() }).await;
    let ready = worker.admin("/readyz").await.unwrap();
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: draining\n"));

    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    let answer = busy.answer().await.unwrap();
    assert_eq!(answer.body, "done");
    assert_eq!(answer.header("connection"), Some("close"));
    let status = worker.exit().await;
    assert!(status.success(), "{status}");
    // Not one line is missing.
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("u.test") && log.ends_with("\n"), "{log}");
    assert_eq!(log.lines().count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_is_bounded() {
    let site = Site::new();
    let backend = tokio::net::TcpListener::bind(site.at(21900)).await.unwrap();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker_with(|command| {
        command.args(["--drain-timeout", "100ms"]);
    });
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(dynamic_upstream("u"))
        .with(forwarding("u", "u.test", "u"));
    session.endpoints(endpoints("u", 1, site.at(21900))).await;
    session.put(&table).await;
    let mut busy = connect(site.at(21080)).await.unwrap();
    busy.send("u.test", "/").await.unwrap();
    let _held = backend.accept().await.unwrap();
    worker.signal(Signal::TERM);
    let status = worker.exit().await;
    assert!(status.success(), "{status}");
    busy.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let site = Site::new();
    let backend = tokio::net::TcpListener::bind(site.at(21900)).await.unwrap();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(dynamic_upstream("u"))
        .with(forwarding("u", "u.test", "u"));
    session.endpoints(endpoints("u", 1, site.at(21900))).await;
    session.put(&table).await;
    let mut busy = connect(site.at(21080)).await.unwrap();
    busy.send("u.test", "/").await.unwrap();
    let _held = backend.accept().await.unwrap();
    worker.signal(Signal::INT);
    session.beat(|beat| beat.draining).await;
    worker.signal(Signal::INT);
    assert_eq!(worker.exit().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_serves_nothing_ends_at_once() {
    let site = Site::new();
    let worker = site.worker();
    until("the admin server", || async { worker.admin("/healthz").await.ok() }).await;
    worker.signal(Signal::TERM);
    let status = worker.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervised_worker_ends_with_its_parent() {
    let site = Site::new();
    let mut worker = site.worker_with(|command| {
        command.env("PORTCULLIS_SUPERVISED", "1").stdin(Stdio::piped());
    });
    until("the admin server", || async { worker.admin("/healthz").await.ok() }).await;
    drop(worker.child.stdin.take());
    let status = worker.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_that_falls_silent_is_left() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "x"));
    session.put(&table).await;
    // Three beats without a word: the worker looks for another one, and goes on serving.
    session.ended().await;
    let second = control.session().await;
    assert_eq!(second.have.len(), 2);
    worker.ready().await;
}
