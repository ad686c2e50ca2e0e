//! Active checks and outlier detection: who gets requests, and who does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use portcullis_proto::table::v1 as table;
use portcullis_proto::table::v1::health_check::Checker;
use tokio::net::TcpListener;

use crate::gateway::{endpoint, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// An endpoint that answers everything by `name` and one of two statuses: for `/health`, and for all else.
struct Fickle {
    address: SocketAddr,
    health: Arc<AtomicU16>,
    rest: Arc<AtomicU16>,
}

impl Fickle {
    async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (health, rest) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200)));
        let (own_health, own_rest) = (health.clone(), rest.clone());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (health, rest) = (own_health.clone(), own_rest.clone());
                tokio::spawn(async move {
                    let mut wire = Wire::new(tcp);
                    while let Some(head) = wire.next_head().await {
                        let status = if head.starts_with("GET /health ") { &health } else { &rest };
                        let status = status.load(Relaxed);
                        let answer =
                            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                        wire.send(answer).await;
                    }
                });
            }
        });
        Fickle { address, health, rest }
    }
}

fn upstream(addresses: &[SocketAddr]) -> table::Upstream {
    table::Upstream {
        name: "up".into(),
        endpoints: addresses.iter().copied().map(endpoint).collect(),
        update_merge_window_ms: Some(0),
        ..Default::default()
    }
}

fn check(checker: Checker) -> Option<table::HealthCheck> {
    Some(table::HealthCheck {
        timeout_ms: 1000,
        interval_ms: 10,
        no_traffic_interval_ms: 10,
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        checker: Some(checker),
        ..Default::default()
    })
}

fn http() -> Checker {
    Checker::Http(table::HttpCheck { path: "/health".into(), ..Default::default() })
}

async fn gateway(upstream: table::Upstream) -> Gateway {
    Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), &[])).await
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let line = format!("envoy_cluster_{name}{{envoy_cluster_name=\"up\"}} ");
    let metrics = gateway.metrics();
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    value.unwrap_or_else(|| panic!("no {line} in {metrics}")).parse().unwrap()
}

async fn wait_for(gateway: &Gateway, name: &str, value: u64) {
    let wait = async {
        while metric(gateway, name) != value {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), wait).await;
    waited.unwrap_or_else(|_| panic!("{name} does not become {value}: {}", gateway.metrics()));
}

/// Waits until these answer, and nobody else.
async fn answered_by(gateway: &Gateway, names: &[&str]) {
    let wait = async { while who(gateway).await != names {} };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), wait).await;
    assert!(waited.is_ok(), "not {names:?}: {}", gateway.metrics());
}

/// Who answers a few requests.
async fn who(gateway: &Gateway) -> Vec<String> {
    let mut client = Wire::connect(gateway.address).await;
    let mut names = Vec::new();
    for _ in 0..8 {
        names.push(client.ask(GET).await.1);
    }
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn an_endpoint_that_fails_its_check_gets_no_requests_until_it_passes() {
    let (a, b) = (Fickle::start("a").await, Fickle::start("b").await);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut check = check(http()).unwrap();
    check.event_log_path = log.path().to_str().unwrap().into();
    let gateway =
        gateway(table::Upstream { health_check: Some(check), ..upstream(&[a.address, b.address]) }).await;
    answered_by(&gateway, &["a", "b"]).await;
    a.health.store(503, Relaxed);
    wait_for(&gateway, "membership_healthy", 1).await;
    answered_by(&gateway, &["b"]).await;
    a.health.store(200, Relaxed);
    wait_for(&gateway, "membership_healthy", 2).await;
    answered_by(&gateway, &["a", "b"]).await;
    assert!(metric(&gateway, "health_check_failure") > 0);
    let wait = async {
        loop {
            let events = std::fs::read_to_string(log.path()).unwrap();
            if events.contains("add_healthy_event") {
                return events;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let events = tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.expect("no event");
    let first: serde_json::Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!(first["eject_unhealthy_event"]["failure_type"], "ACTIVE");
    assert_eq!(first["host"]["socket_address"]["port_value"], a.address.port());
}

#[tokio::test]
async fn health_is_not_looked_at_in_panic_unless_that_is_off() {
    for (threshold, wanted) in [(None, 200), (Some(0.0), 503)] {
        let a = Fickle::start("a").await;
        a.health.store(500, Relaxed);
        let up = table::Upstream {
            health_check: check(http()),
            healthy_panic_threshold: threshold,
            ..upstream(&[a.address])
        };
        let gateway = gateway(up).await;
        wait_for(&gateway, "membership_healthy", 0).await;
        // What was found is counted a moment before it is chosen by.
        let ask = async {
            for asked in 1.. {
                let (head, body) = Wire::connect(gateway.address).await.ask(GET).await;
                if status(&head) == wanted {
                    return (body, gateway.lines(asked).await.pop().unwrap());
                }
            }
            unreachable!()
        };
        let (body, line) =
            tokio::time::timeout(std::time::Duration::from_secs(10), ask).await.expect("in time");
        if wanted == 503 {
            assert_eq!(body, "no healthy upstream");
            assert_eq!(line["flags"], "UH");
        }
    }
}

#[tokio::test]
async fn a_check_s_request_is_as_configured() {
    let peer = Peer::bind().await;
    let http = table::HttpCheck {
        host: "checked.example".into(),
        path: "/health?deep=1".into(),
        method: "POST".into(),
        add_headers: vec![table::CheckHeader { name: "x-a".into(), value: "1".into(), append: true }],
        remove_headers: vec!["user-agent".into()],
        expected: vec![table::StatusRange { start: 200, end: 300 }],
        service_name: "shop".into(),
        ..Default::default()
    };
    let gateway =
        gateway(table::Upstream { health_check: check(Checker::Http(http)), ..upstream(&[peer.address]) })
            .await;
    let mut wire = peer.accept().await;
    let head = wire.head().await;
    assert!(head.starts_with("POST /health?deep=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("checked.example"));
    assert_eq!((header(&head, "x-a"), header(&head, "user-agent")), (Some("1"), None));
    // It names another service.
    let cluster = "x-envoy-upstream-healthchecked-cluster";
    wire.send(format!("HTTP/1.1 204 No\r\n{cluster}: other\r\n\r\n")).await;
    wait_for(&gateway, "health_check_verify_cluster", 1).await;
    let mut wire = peer.accept().await;
    wire.head().await;
    wire.send(format!("HTTP/1.1 204 No\r\n{cluster}: shop-1\r\n\r\n")).await;
    wait_for(&gateway, "membership_healthy", 1).await;
    wire.head().await;
}

#[tokio::test]
async fn a_tcp_check_finds_its_bytes() {
    let peer = Peer::bind().await;
    let tcp = table::TcpCheck { send: "PING".into(), receive: vec!["PO".into(), "NG".into()] };
    let mut check = check(Checker::Tcp(tcp)).unwrap();
    check.timeout_ms = 200;
    let gateway = gateway(table::Upstream { health_check: Some(check), ..upstream(&[peer.address]) }).await;
    let mut wire = peer.accept().await;
    assert_eq!(wire.take(4).await, b"PING");
    wire.send("no").await;
    wait_for(&gateway, "health_check_network_failure", 1).await;
    assert_eq!(metric(&gateway, "membership_healthy"), 0);
    let mut wire = peer.accept().await;
    assert_eq!(wire.take(4).await, b"PING");
    wire.send("POxxNG").await;
    wait_for(&gateway, "membership_healthy", 1).await;
    assert_eq!(wire.take(4).await, b"PING", "on the same connection");
}

#[tokio::test]
async fn a_grpc_check_asks_for_a_service() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Arc::new(AtomicU16::new(2));
    let says = serving.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let says = says.clone();
            tokio::spawn(async move {
                let mut server = h2::server::handshake(tcp).await.unwrap();
                while let Some(Ok((request, mut respond))) = server.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let answer = http::Response::builder().header("content-type", "application/grpc");
                    let mut body = respond.send_response(answer.body(()).unwrap(), false).unwrap();
                    let message = [0, 0, 0, 0, 2, 8, u8::try_from(says.load(Relaxed)).unwrap()];
                    body.send_data(message.to_vec().into(), false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    let grpc = table::GrpcCheck { service_name: "shop".into(), ..Default::default() };
    let gateway =
        gateway(table::Upstream { health_check: check(Checker::Grpc(grpc)), ..upstream(&[address]) }).await;
    wait_for(&gateway, "membership_healthy", 0).await;
    serving.store(1, Relaxed);
    wait_for(&gateway, "membership_healthy", 1).await;
}

#[tokio::test]
async fn an_endpoint_on_which_requests_fail_is_left_out_for_a_while() {
    let (a, b) = (Fickle::start("a").await, Fickle::start("b").await);
    a.rest.store(500, Relaxed);
    let up = table::Upstream {
        outlier_detection: Some(table::OutlierDetection {
            interval_ms: 20,
            base_ejection_time_ms: 1000,
            consecutive_5xx: Some(3),
            max_ejection_percent: Some(50),
            ..Default::default()
        }),
        ..upstream(&[a.address, b.address])
    };
    let gateway = gateway(up).await;
    answered_by(&gateway, &["a", "b"]).await;
    wait_for(&gateway, "outlier_detection_ejections_active", 1).await;
    answered_by(&gateway, &["b"]).await;
    assert_eq!(metric(&gateway, "membership_healthy"), 1);
    assert_eq!(metric(&gateway, "outlier_detection_ejections_enforced_consecutive_5xx"), 1);
    a.rest.store(200, Relaxed);
    wait_for(&gateway, "outlier_detection_ejections_active", 0).await;
    answered_by(&gateway, &["a", "b"]).await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_left_out() {
    let (dead, b) = (Peer::nowhere().await, Fickle::start("b").await);
    let up = table::Upstream {
        outlier_detection: Some(table::OutlierDetection {
            interval_ms: 10_000,
            consecutive_5xx: Some(2),
            max_ejection_percent: Some(50),
            ..Default::default()
        }),
        ..upstream(&[dead, b.address])
    };
    let gateway = gateway(up).await;
    let mut client = Wire::connect(gateway.address).await;
    while metric(&gateway, "outlier_detection_ejections_active") == 0 {
        client.ask(GET).await;
    }
    answered_by(&gateway, &["b"]).await;
}
