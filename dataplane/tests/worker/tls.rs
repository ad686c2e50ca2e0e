//! TLS by server name, client certificates, and certificates that change.

use std::io::ErrorKind;

use crate::client::{Client, connect_tls};
use crate::control::Control;
use crate::pki::Ca;
use crate::process::Site;
use crate::table::{Table, answering, certificate, tls_listener};

fn leaf<S>(client: &Client<tokio_rustls::client::TlsStream<S>>) -> Vec<u8> {
    let (_, session) = client.stream.get_ref();
    session.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_chooses_the_certificate() {
    let site = Site::new();
    let ca = Ca::new("ca");
    let (a, wild) = (ca.issue(&["a.test"]), ca.issue(&["*.wild.test"]));
    let mut control = Control::start(&site.socket()).await;
    let _worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(tls_listener(
            site.address,
            21443,
            &[("cert-a", &["a.test"], false), ("cert-wild", &["*.wild.test"], false)],
        ))
        .with(certificate("cert-a", &a, None))
        .with(certificate("cert-wild", &wild, None))
        .with(answering("any", "*", "secret"));
    assert_eq!(session.put(&table).await, []);

    let config = ca.client(None, &["http/1.1"]);
    let mut client = connect_tls(site.at(21443), &config, "a.test").await.unwrap();
    assert_eq!(leaf(&client), a.certificate.to_vec());
    assert_eq!(client.get("a.test").await.unwrap().body, "secret");
    let client = connect_tls(site.at(21443), &config, "b.wild.test").await.unwrap();
    assert_eq!(leaf(&client), wild.certificate.to_vec());
    assert_eq!(client.stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Both protocols: ours decides. A protocol nobody knows: none.
    let h2 = connect_tls(site.at(21443), &ca.client(None, &["http/1.1", "h2"]), "a.test").await.unwrap();
    assert_eq!(h2.stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut odd = connect_tls(site.at(21443), &ca.client(None, &["odd"]), "a.test").await.unwrap();
    assert_eq!(odd.get("a.test").await.unwrap().body, "secret");

    let error = connect_tls(site.at(21443), &config, "other.test").await.err().unwrap();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");

    // A certificate is replaced under a running listener; connections from before go on.
    let renewed = ca.issue(&["a.test"]);
    let mut before = connect_tls(site.at(21443), &config, "a.test").await.unwrap();
    session.put(&table.with(certificate("cert-a", &renewed, None))).await;
    let after = connect_tls(site.at(21443), &config, "a.test").await.unwrap();
    assert_eq!(leaf(&after), renewed.certificate.to_vec());
    assert_eq!(before.get("a.test").await.unwrap().body, "secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_asked_for_and_verified() {
    let site = Site::new();
    let (ca, clients) = (Ca::new("servers"), Ca::new("clients"));
    let server = ca.issue(&["a.test"]);
    let mut control = Control::start(&site.socket()).await;
    let _worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(tls_listener(site.address, 21443, &[("cert", &[], true)]))
        .with(certificate("cert", &server, Some(&clients.anchor())))
        .with(answering("any", "*", "secret"));
    assert_eq!(session.put(&table).await, []);

    let own = clients.issue(&["me"]);
    let config = ca.client(Some(&own), &["http/1.1"]);
    let mut client = connect_tls(site.at(21443), &config, "a.test").await.unwrap();
    assert_eq!(client.get("a.test").await.unwrap().body, "secret");

    let stranger = Ca::new("strangers").issue(&["me"]);
    for own in [None, Some(&stranger)] {
        let config = ca.client(own, &["http/1.1"]);
        // With TLS 1.3 the client learns of the refusal when it reads.
        let refused = match connect_tls(site.at(21443), &config, "a.test").await {
            Ok(mut client) => client.get("a.test").await.err(),
            Err(error) => Some(error),
        };
        assert!(refused.is_some(), "a client was let in without a good certificate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_on_a_tls_port_is_refused() {
    let site = Site::new();
    let ca = Ca::new("ca");
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    let table = Table::default()
        .with(tls_listener(site.address, 21443, &[("cert", &[], false)]))
        .with(certificate("cert", &ca.issue(&["a.test"]), None))
        .with(answering("any", "*", "secret"));
    session.put(&table).await;
    let mut client = crate::client::connect(site.at(21443)).await.unwrap();
    client.send("a.test", "/").await.unwrap();
    let error = client.answer().await.err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
    worker.counts("portcullis_downstream_tls_failures_total{").await;
}
