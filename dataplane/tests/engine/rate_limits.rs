//! Buckets of the worker, and a user's own rate limit server.

use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::service::ratelimit::v3 as rls;
use portcullis_proto::policy::v1 as policy;
use rls::rate_limit_response::Code;

use crate::gateway::{any, to};
use crate::grpc::rate_limit_server;
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn local(scope: &str) -> policy::LocalRateLimit {
    let bucket = policy::TokenBucket { max_tokens: 2, tokens_per_fill: 1, fill_interval_ms: 3_600_000 };
    policy::LocalRateLimit { bucket: Some(bucket), scope: scope.into(), ..Default::default() }
}

async fn statuses(client: &mut Wire, count: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(status(&client.ask(GET).await.0));
    }
    all
}

#[tokio::test]
async fn a_bucket_is_shared_by_all_connections_or_each_has_its_own() {
    let up = Peer::always("ok").await;
    let shared = Gateway::start(Table::to(up).with(&[any(&local("shared by all"))])).await;
    let (mut one, mut two) = (Wire::connect(shared.address).await, Wire::connect(shared.address).await);
    assert_eq!(statuses(&mut one, 1).await, [200]);
    assert_eq!(statuses(&mut two, 2).await, [200, 429]);
    let (_, body) = one.ask(GET).await;
    assert_eq!(body, "local_rate_limited");
    let line = shared.lines(4).await.pop().unwrap();
    assert_eq!((&line["flags"], &line["reason"]), (&"RL".into(), &"local_rate_limited".into()));

    let own = policy::LocalRateLimit { per_connection: true, headers: true, ..local("own") };
    let own = Gateway::start(Table::to(up).with(&[any(&own)])).await;
    for _ in 0..2 {
        let mut client = Wire::connect(own.address).await;
        let (head, _) = client.ask(GET).await;
        assert_eq!(
            (header(&head, "x-ratelimit-limit"), header(&head, "x-ratelimit-remaining")),
            (Some("2"), Some("1"))
        );
        assert_eq!(statuses(&mut client, 2).await, [200, 429]);
    }
}

fn asking() -> policy::RateLimit {
    use policy::rate_limit_action::{Action, RequestHeaders};
    let header =
        RequestHeaders { header_name: "x-user".into(), descriptor_key: "user".into(), skip_if_absent: false };
    let action = policy::RateLimitAction { action: Some(Action::RequestHeaders(header)) };
    policy::RateLimit {
        upstream: "limits".into(),
        domain: "custom".into(),
        timeout_ms: 10_000,
        descriptors: vec![policy::Descriptor { actions: vec![action], limit: None }],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_server_counts_the_requests_that_make_a_descriptor() {
    let header_to = |key: &str, value: &str| core::HeaderValue {
        key: key.into(),
        value: value.into(),
        raw_value: vec![],
    };
    let server = rate_limit_server(move |request| {
        let many = request.descriptors[0].entries[0].value == "eve";
        Ok(rls::RateLimitResponse {
            overall_code: if many { Code::OverLimit } else { Code::Ok }.into(),
            response_headers_to_add: vec![header_to("x-plan", "free")],
            request_headers_to_add: vec![header_to("x-counted", "1")],
            ..Default::default()
        })
    })
    .await;
    let peer = Peer::bind().await;
    let table = Table::default()
        .upstream("up", &[peer.address], false)
        .upstream("limits", &[server.address], true)
        .route("/", to("up"), &[any(&asking())]);
    let gateway = Gateway::start(table).await;
    let (mut client, mut upstream, head) =
        gateway.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\nX-User: bob\r\n\r\n").await;
    assert_eq!(header(&head, "x-counted"), Some("1"));
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(header(&client.answer().await.0, "x-plan"), Some("free"));

    let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: h\r\nX-User: eve\r\n\r\n").await;
    assert_eq!((status(&head), header(&head, "x-envoy-ratelimited")), (429, Some("true")));
    assert_eq!(header(&head, "x-plan"), Some("free"));
    assert_eq!(gateway.lines(2).await.pop().unwrap()["flags"], "RL");

    // Without the header there is nothing to ask.
    client.send(GET).await;
    upstream.serve("ok").await;
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[0].domain.as_str(), asked[0].descriptors[0].entries[0].key.as_str()),
        ("custom", "user")
    );
}

#[tokio::test]
async fn without_a_server_requests_pass_or_are_denied_as_it_says() {
    let (nowhere, up) = (Peer::nowhere().await, Peer::always("ok").await);
    for (deny_on_fail, wanted) in [(false, 200), (true, 500)] {
        let rule = policy::EarlyRateLimit { limit: Some(policy::RateLimit { deny_on_fail, ..asking() }) };
        let table = Table::to(up).with(&[any(&rule)]).upstream("limits", &[nowhere], true);
        let gateway = Gateway::start(table).await;
        let mut client = Wire::connect(gateway.address).await;
        let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: h\r\nX-User: bob\r\n\r\n").await;
        assert_eq!(status(&head), wanted);
    }
}
