//! The client's address from a balancer in front.

use tokio::io::AsyncWriteExt as _;

use crate::client::connect;
use crate::control::Control;
use crate::process::Site;
use crate::table::{Table, answering, proxied_listener};

#[tokio::test(flavor = "multi_thread")]
async fn the_header_names_the_client_and_is_required() {
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table =
        Table::default().with(proxied_listener(site.address, 21080)).with(answering("any", "*", "hello"));
    session.put(&table).await;

    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    v2.extend([198, 51, 100, 7, 192, 0, 2, 1, 0x10, 0x01, 0, 80]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    for (header, expected) in [
        (b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 80\r\n".to_vec(), "203.0.113.9:4321".to_owned()),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 4321 80\r\n".to_vec(), "[2001:db8::9]:4321".to_owned()),
        (v2, "198.51.100.7:4097".to_owned()),
        (local, "itself".to_owned()),
    ] {
        let mut client = connect(site.at(21080)).await.unwrap();
        let own = client.stream.local_addr().unwrap().to_string();
        // In one packet with the request: nothing behind the header may be lost.
        let mut bytes = header;
        bytes.extend(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
        client.stream.write_all(&bytes).await.unwrap();
        let answer = client.answer().await.unwrap();
        let expected = if expected == "itself" { own } else { expected };
        assert_eq!(answer.header("x-client"), Some(expected.as_str()), "{answer:?}");
        assert_eq!(answer.body, "hello");
        assert_eq!(client.get("a.test").await.unwrap().header("x-client"), Some(expected.as_str()));
    }

    let mut client = connect(site.at(21080)).await.unwrap();
    assert!(client.get("a.test").await.is_err(), "a request without the header was answered");
    worker.counts("reason=\"proxy_protocol\"} 1").await;
}
