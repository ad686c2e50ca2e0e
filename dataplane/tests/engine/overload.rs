//! Requests while there is no memory for them.

use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

const GET: &str = "GET /path HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test]
async fn requests_are_refused_while_memory_is_gone_and_served_again() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut kept = Wire::connect(gateway.address).await;
    gateway.overload.see(990);
    kept.send(GET).await;
    let (head, body) = kept.answer().await;
    assert_eq!((status(&head), body.as_str()), (503, "overloaded"));
    assert_eq!(header(&head, "connection"), Some("close"));
    kept.ends().await;
    let line = gateway.line().await;
    assert_eq!(
        (&line["reason"], &line["flags"], &line["path"]),
        (&"overload".into(), &"OM".into(), &"/path".into())
    );
    assert!(gateway.metrics().contains("portcullis_local_replies_total{reason=\"overload\"} 1"));
    // Tight is not full: whoever is connected is served.
    gateway.overload.see(840);
    let (mut client, mut upstream, _) = gateway.forwarded(&peer, GET).await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(status(&client.answer().await.0), 200);
}
