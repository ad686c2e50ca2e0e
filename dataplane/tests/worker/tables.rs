//! What the worker answers to tables that are not quite right.

use portcullis_proto::link::v1::worker_frame::Frame as WorkerFrame;

use portcullis_shared::transport::Bind;

use crate::client::get;
use crate::control::Control;
use crate::pki::Ca;
use crate::process::Site;
use crate::table::{Table, answering, dynamic_upstream, endpoints, forwarding, from_the_future, listener};
use crate::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_a_wrong_digest_is_not_applied() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let _worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "old"));
    session.put(&table).await;
    let next = table.with(answering("a", "a.test", "new"));
    session.send_delta(&next, true).await;
    let WorkerFrame::Nack(nack) = session.answer().await else { panic!("not a Nack") };
    assert!(nack.table_digest_mismatch);
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "old");
    session.put(&next).await;
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_resource_is_named_and_everything_else_applies() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let _worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(answering("a", "a.test", "good"))
        .with(answering("b", "b.test", "before"));
    session.put(&table).await;
    let next = table
        .with(from_the_future("b", "b.test"))
        .with(from_the_future("c", "c.test"))
        .with(answering("d", "d.test", "new"));
    let mut rejected: Vec<(String, String)> = session
        .put(&next)
        .await
        .into_iter()
        .map(|rejected| (rejected.resource.unwrap().name, rejected.reason))
        .collect();
    rejected.sort();
    assert_eq!(rejected.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert!(rejected[0].1.contains("Unheard"), "{rejected:?}");
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "good");
    assert_eq!(get(site.at(21080), "d.test").await.unwrap().body, "new");
    // One keeps its previous form, the other never had one.
    assert_eq!(get(site.at(21080), "b.test").await.unwrap().body, "before");
    assert_eq!(get(site.at(21080), "c.test").await.unwrap().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_arrive_by_their_own_lane() {
    let site = Site::new();
    let backend = tokio::net::TcpListener::bind(site.at(21900)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = backend.accept().await.unwrap();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nbackend").await;
                }
            });
        }
    });
    let mut control = Control::start(&site.socket()).await;
    let _worker = site.worker();
    let mut session = control.session().await;
    // Before the upstream is known.
    session.endpoints(endpoints("u", 1, site.at(21900))).await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(dynamic_upstream("u"))
        .with(forwarding("a", "a.test", "u"));
    session.put(&table).await;
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "backend");
    // Nobody is there.
    session.endpoints(endpoints("u", 2, site.at(21901))).await;
    until("the new endpoints", || async {
        get(site.at(21080), "a.test").await.ok().filter(|answer| answer.status == 503)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_may_be_reached_over_mutual_tls() {
    let site = Site::new();
    let ca = Ca::new("link");
    let own = ca.link_files(site.folder.path(), "control", None);
    let files = ca.link_files(site.folder.path(), "worker", Some("spiffe://test/proxy/gateway-proxy"));
    let mut control = Control::start_on(Bind::Tls { address: site.at(21977), files: own }).await;
    let worker = site.worker_over(|command| {
        command.arg("--link-tcp").arg(site.at(21977).to_string());
        command.args(["--link-server-name", "control.test"]);
        command.arg("--link-ca").arg(&files.ca);
        command.arg("--link-cert").arg(&files.certificate);
        command.arg("--link-key").arg(&files.key);
    });
    let mut session = control.session().await;
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "hello"));
    session.put(&table).await;
    worker.ready().await;
    assert_eq!(get(site.at(21080), "a.test").await.unwrap().body, "hello");
}
