//! Copies of requests to another upstream.

use portcullis_proto::policy::v1 as policy;

use crate::gateway::{any, to};
use crate::wire::header;
use crate::{Gateway, Peer, Table, Wire};

fn all() -> policy::Shadow {
    policy::Shadow { upstream: "shadow".into(), per_million: 1_000_000, ..Default::default() }
}

async fn gateway(up: &Peer, shadow: &Peer, rule: policy::Shadow) -> Gateway {
    let rewrite = policy::PathRewrite { rewrite: Some(policy::path_rewrite::Rewrite::Prefix("/new".into())) };
    let table = Table::default()
        .upstream("up", &[up.address], false)
        .upstream("shadow", &[shadow.address], false)
        .route("/old", to("up"), &[any(&rewrite), any(&rule)]);
    Gateway::start(table).await
}

#[tokio::test]
async fn a_copy_goes_out_as_the_request_does_and_nobody_waits_for_it() {
    let (up, shadow) = (Peer::bind().await, Peer::bind().await);
    let gateway = gateway(&up, &shadow, all()).await;
    let (mut client, mut upstream, _) =
        gateway.forwarded(&up, "GET /old?a=b HTTP/1.1\r\nHost: h.test:80\r\nX-A: 1\r\n\r\n").await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");
    let mut copy = shadow.accept().await;
    let head = copy.head().await;
    assert!(head.starts_with("GET /new?a=b HTTP/1.1\r\n"), "{head}");
    assert_eq!((header(&head, "host"), header(&head, "x-a")), (Some("h.test-shadow:80"), Some("1")));
    // From the gateway's own address, whichever that is here.
    let from = header(&head, "x-forwarded-for").and_then(|text| text.parse::<std::net::IpAddr>().ok());
    assert!(from.is_some(), "{head}");
    assert_eq!(header(&head, "x-envoy-internal"), Some("true"));
    // Its answer is read and dropped, so that the connection serves the next copy.
    copy.send("HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\nno!").await;
    client.send("GET /old HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.serve("ok").await;
    assert_eq!(client.answer().await.1, "ok");
}

#[tokio::test]
async fn the_body_is_copied_while_it_passes() {
    let (up, shadow) = (Peer::bind().await, Peer::bind().await);
    let gateway = gateway(&up, &shadow, all()).await;
    let (mut client, mut upstream, head) =
        gateway.forwarded(&up, "POST /old HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello").await;
    assert_eq!(header(&head, "content-length"), Some("10"));
    assert_eq!(upstream.take(5).await, b"hello");
    assert!(shadow.is_quiet(), "the copy waits for the whole body");
    client.send("world").await;
    assert_eq!(upstream.take(5).await, b"world");
    let mut copy = shadow.accept().await;
    assert_eq!(header(&copy.head().await, "content-length"), Some("10"));
    assert_eq!(copy.take(10).await, b"helloworld");
}

#[tokio::test]
async fn no_percentage_no_copy_and_no_upstream_no_harm() {
    let (up, shadow) = (Peer::bind().await, Peer::bind().await);
    for rule in
        [policy::Shadow { per_million: 0, ..all() }, policy::Shadow { upstream: "nowhere".into(), ..all() }]
    {
        let gateway = gateway(&up, &shadow, rule).await;
        let mut client = Wire::connect(gateway.address).await;
        client.send("GET /old HTTP/1.1\r\nHost: h\r\n\r\n").await;
        up.accept().await.serve("ok").await;
        client.answer().await;
    }
    assert!(shadow.is_quiet());
}
