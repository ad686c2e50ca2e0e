//! Listeners come and go at run time.

use crate::client::{connect, get};
use crate::control::Control;
use crate::process::Site;
use crate::table::{Table, answering, listener};
use crate::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_table_is_alive_and_not_ready() {
    let site = Site::new();
    let worker = site.worker();
    let health = until("the admin server", || async { worker.admin("/healthz").await.ok() }).await;
    assert_eq!(health.status, 200);
    let ready = worker.admin("/readyz?verbose").await.unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("no table yet"), "{}", ready.body);
    let metrics = worker.admin("/metrics").await.unwrap();
    assert!(metrics.head.contains("application/openmetrics-text"), "{}", metrics.head);
    assert!(metrics.body.contains("portcullis_link_connected 0"), "{}", metrics.body);
    assert!(metrics.body.ends_with("# EOF\n"));
    assert!(get(site.at(21080), "a.test").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_appear_and_disappear_without_touching_the_others() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    assert_eq!(session.hello.worker_id, "worker-0");
    assert_eq!(session.hello.proxy_name, "gateway-proxy");
    assert!(session.hello.policy_types.iter().any(|url| url.ends_with("portcullis.policy.v1.Headers")));
    assert_eq!(session.hello.pid, worker.child.id().unwrap());
    assert!(session.have.is_empty());

    let first = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "first"));
    assert_eq!(session.put(&first).await, []);
    // Acknowledged means that the port accepts.
    let mut kept = connect(site.at(21080)).await.unwrap();
    assert_eq!(kept.get("a.test").await.unwrap().body, "first");
    assert!(worker.ready().await.contains("2 threads"));

    let both = first.clone().with(listener(site.address, 21081));
    session.put(&both).await;
    let mut second = connect(site.at(21081)).await.unwrap();
    assert_eq!(second.get("a.test").await.unwrap().body, "first");
    assert_eq!(kept.get("a.test").await.unwrap().body, "first");

    // Only the routes change: a connection from before sees it with its next request.
    let changed = both.with(answering("a", "a.test", "second"));
    session.put(&changed).await;
    assert_eq!(kept.get("a.test").await.unwrap().body, "second");

    session.put(&changed.without(&format!("listener-{}-21081", site.address))).await;
    second.closed().await;
    until("the port to be closed", || async { connect(site.at(21081)).await.err() }).await;
    assert_eq!(kept.get("a.test").await.unwrap().body, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_reported_and_bound_when_it_is_free() {
    let site = Site::new();
    let squatter = std::net::TcpListener::bind(site.at(21081)).unwrap();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(listener(site.address, 21081))
        .with(answering("a", "a.test", "hello"));
    session.put(&table).await;
    let beat = session.beat(|beat| !beat.listener_errors.is_empty()).await;
    assert!(beat.listener_errors[0].reason.contains("in use"), "{beat:?}");
    // The other port is served, and the worker says what is wrong.
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "hello");
    assert!(worker.ready().await.contains("in use by another program"));
    drop(squatter);
    session.beat(|beat| beat.listener_errors.is_empty()).await;
    assert_eq!(get(site.at(21081), "a.test").await.unwrap().body, "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_are_closed_at_once() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let _worker = site.worker_with(|command| {
        command.args(["--max-connections", "1"]);
    });
    let mut session = control.session().await;
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "hello"));
    session.put(&table).await;
    let mut one = connect(site.at(21080)).await.unwrap();
    assert_eq!(one.get("a.test").await.unwrap().status, 200);
    assert!(get(site.at(21080), "a.test").await.is_err());
    drop(one);
    until("a free place", || async { get(site.at(21080), "a.test").await.ok() }).await;
}
