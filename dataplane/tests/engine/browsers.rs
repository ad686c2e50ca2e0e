//! What browsers and chaos engineers care for: CORS, CSRF, faults.

use portcullis_proto::policy::v1 as policy;
use portcullis_proto::policy::v1::text_match::How;

use crate::gateway::any;
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

fn cors() -> prost_types::Any {
    any(&policy::Cors {
        origins: vec!["https://a.example".into()],
        origin_regexes: vec![r"https://[a-z]+\.b\.example".into()],
        allow_methods: "GET,PUT".into(),
        expose_headers: "x-a".into(),
        max_age: "60".into(),
        allow_credentials: true,
        ..Default::default()
    })
}

fn preflight(origin: &str) -> String {
    format!("OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\r\n")
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_is_answered_and_another_one_goes_on() {
    let upstream = Peer::always("upstream").await;
    let gateway = Gateway::start(Table::to(upstream).with(&[cors()])).await;
    let mut client = Wire::connect(gateway.address).await;
    for origin in ["https://a.example", "https://x.b.example"] {
        let (head, body) = client.ask(&preflight(origin)).await;
        assert_eq!((status(&head), body.as_str()), (200, ""));
        for (name, value) in [("origin", origin), ("credentials", "true"), ("methods", "GET,PUT")] {
            assert_eq!(header(&head, &format!("access-control-allow-{name}")), Some(value));
        }
        assert_eq!(header(&head, "access-control-allow-headers"), None);
        assert_eq!(header(&head, "access-control-expose-headers"), Some("x-a"));
        assert_eq!(header(&head, "access-control-max-age"), Some("60"));
    }
    let (head, body) = client.ask(&preflight("https://evil.example")).await;
    assert_eq!((status(&head), body.as_str()), (200, "upstream"));
    assert_eq!(header(&head, "access-control-allow-origin"), None);
    assert_eq!(gateway.lines(1).await[0]["reason"], "cors_preflight");
}

#[tokio::test]
async fn an_answer_tells_an_allowed_origin_and_nobody_else() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address).with(&[cors()])).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n\r\n").await;
    let (head, _) = client.answer().await;
    assert_eq!(header(&head, "access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(header(&head, "access-control-expose-headers"), Some("x-a"));
    assert_eq!(header(&head, "access-control-allow-methods"), None);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.serve("plain").await;
    assert_eq!(header(&client.answer().await.0, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_change_from_another_host_is_refused() {
    let suffix = policy::TextMatch { how: Some(How::Suffix(".friend".into())), ignore_case: true };
    let csrf = |enforced_per_million| {
        any(&policy::Csrf {
            enforced_per_million,
            shadowed_per_million: 1_000_000,
            origins: vec![suffix.clone()],
        })
    };
    let upstream = Peer::always("upstream").await;
    let gateway = Gateway::start(Table::to(upstream).with(&[csrf(1_000_000)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let cases = [
        ("GET", "", 200),
        ("POST", "", 403),
        ("POST", "Origin: https://h\r\n", 200),
        ("PUT", "Origin: https://h:8443\r\n", 403),
        ("PATCH", "Origin: null\r\n", 403),
        ("DELETE", "Referer: http://h/form?x=1\r\n", 200),
        ("POST", "Origin: https://evil\r\nReferer: http://h/\r\n", 403),
        ("POST", "Origin: https://Good.Friend\r\n", 200),
    ];
    for (method, field, wanted) in cases {
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\n{field}\r\n");
        let (head, body) = client.ask(&request).await;
        assert_eq!(status(&head), wanted, "{method} {field}");
        assert_eq!(body, if wanted == 403 { "Invalid origin" } else { "upstream" });
    }
    let shadow = Gateway::start(Table::to(upstream).with(&[csrf(0)])).await;
    let mut client = Wire::connect(shadow.address).await;
    let (head, _) = client.ask("POST / HTTP/1.1\r\nHost: h\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&head), 200);
    assert!(shadow.metrics().contains("envoy_http_csrf_missing_source_origin"));
}

#[tokio::test]
async fn an_abort_answers_and_a_delay_goes_before_it() {
    let peer = Peer::always("upstream").await;
    let fault = any(&policy::Fault {
        delay_per_million: 1_000_000,
        delay_ms: 20,
        abort_per_million: 1_000_000,
        abort_status: 418,
    });
    let gateway = Gateway::start(Table::to(peer).with(&[fault])).await;
    let began = std::time::Instant::now();
    let mut client = Wire::connect(gateway.address).await;
    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((status(&head), body.as_str()), (418, "fault filter abort"));
    assert!(began.elapsed() >= std::time::Duration::from_millis(20));
    let line = gateway.line().await;
    assert_eq!((line["flags"].as_str(), line["reason"].as_str()), (Some("DI,FI"), Some("fault_abort")));
}

#[tokio::test]
async fn a_delayed_request_goes_on_and_one_that_no_fault_hits_is_as_before() {
    let peer = Peer::always("upstream").await;
    let delay = any(&policy::Fault { delay_per_million: 1_000_000, delay_ms: 10, ..Default::default() });
    let gateway = Gateway::start(Table::to(peer).with(&[delay])).await;
    let mut client = Wire::connect(gateway.address).await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "upstream");
    assert_eq!(gateway.line().await["flags"], "DI");
}
