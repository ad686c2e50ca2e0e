//! Processes that die.

use portcullis_tests::client;
use portcullis_tests::gateway::{Gateway, send};
use portcullis_tests::wait::until;

use crate::{forward, two_versions, virtual_service};

#[tokio::test]
async fn traffic_goes_on_without_control_and_up_brings_it_back() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    let before = gateway.children("portcullis-control");
    assert_eq!(before.len(), 1, "{}", gateway.log());
    send(before[0], "KILL");
    for _ in 0..20 {
        assert_eq!(gateway.get("a.test", "/").await.status, 200);
    }
    until("a new control process", async || {
        let now = gateway.children("portcullis-control");
        (now.len() == 1 && now != before).then_some(())
    })
    .await;
    gateway.ready().await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v2")));
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_and_the_other_serves_meanwhile() {
    let gateway = Gateway::new().workers(2);
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    let before = gateway.children("portcullis-dataplane");
    assert_eq!(before.len(), 2, "{}", gateway.log());
    send(before[0], "KILL");
    // The kernel closes the dead worker's listener: new connections all go to the other one.
    until("both workers again", async || {
        let answer = client::request(gateway.http(), "GET", "a.test", "/", &[], "").await;
        // A connection that was already queued for the dead worker is reset by the kernel; any answer is the right one.
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 200);
        }
        let now = gateway.children("portcullis-dataplane");
        (now.len() == 2 && now != before).then_some(())
    })
    .await;
    gateway.ready().await;
    for _ in 0..20 {
        assert_eq!(gateway.get("a.test", "/").await.status, 200);
    }
}

#[tokio::test]
async fn a_worker_starts_from_its_cache_while_control_is_down() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let ca = portcullis_tests::pki::Ca::new("test");
    gateway.write("secret.yaml", &ca.issue(&["s.test"]).secret("s", None));
    let ssl = "spec:\n  sslConfig: {secretRef: {name: s, namespace: gloo-system}, sniDomains: [s.test]}\n";
    let secure = virtual_service("s", "['s.test']", &forward("/", "v1")).replace("spec:\n", ssl);
    gateway.write("s.yaml", &secure);
    let gateway = gateway.start().await;
    let tls = portcullis_tests::client::Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "s.test", "/").await.ok()).await;
    // The cache is written beside the request path.
    until("the cache", async || gateway.log().contains("the table is in the cache").then_some(())).await;
    let cache = gateway.data.path().join("state/worker-0-cache");
    // Stopped, not killed: `up` would bring a dead one back at once.
    let control = gateway.children("portcullis-control")[0];
    send(control, "STOP");
    let worker = gateway.children("portcullis-dataplane")[0];
    send(worker, "KILL");
    until("a new worker that serves from its cache", async || {
        let now = gateway.children("portcullis-dataplane");
        if now.is_empty() || now[0] == worker {
            return None;
        }
        client::request(gateway.http(), "GET", "a.test", "/", &[], "").await.ok().filter(|a| a.status == 200)
    })
    .await;
    let ready = client::get(gateway.admin(1), "/readyz?verbose").await.unwrap();
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("cache"), "{}", ready.text());
    let secure =
        until("TLS from the cache", async || tls.get(gateway.https(), "s.test", "/").await.ok()).await;
    assert_eq!(secure.status, 200, "the sealed cache holds the key");
    for entry in std::fs::read_dir(&cache).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"), "{}", entry.path().display());
    }

    send(control, "CONT");
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v2")));
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
}

#[tokio::test]
async fn signals_drain_and_exit_zero() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::new();
        let _upstreams = two_versions(&gateway).await;
        gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
        gateway = gateway.start().await;
        assert_eq!(gateway.get("a.test", "/").await.status, 200);
        assert_eq!(gateway.stop(signal).await, Some(0), "SIG{signal}: {}", gateway.log());
        assert!(tokio::net::TcpStream::connect(gateway.http()).await.is_err(), "nothing is left behind");
    }
}
