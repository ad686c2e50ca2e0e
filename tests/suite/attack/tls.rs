//! Clients that do not keep to TLS.

use std::io::Read as _;
use std::time::Duration;

use portcullis_tests::client::{Tls, Version, send};
use portcullis_tests::pki::Ca;
use portcullis_tests::wait::until;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::crowd::{connect, descriptors_for};
use super::honest::Honest;
use super::{Target, many};
use crate::{forward, virtual_service};

/// A target with a certificate, and a client that trusts it.
async fn secure() -> (Target, Tls, Ca) {
    let target = Target::start("", &[]).await;
    let ca = Ca::new("attack");
    target.gateway.write("secret.yaml", &ca.issue(&["s.test"]).secret("s", None));
    let ssl = "spec:\n  sslConfig: {secretRef: {name: s, namespace: gloo-system}, sniDomains: [s.test]}\n";
    let host = virtual_service("s", "['s.test']", &forward("/", "b")).replace("spec:\n", ssl);
    target.gateway.write("s.yaml", &host);
    let tls = Tls::trusting(&ca);
    until("TLS", async || tls.get(target.gateway.https(), "s.test", "/").await.ok()).await;
    (target, tls, ca)
}

/// A client that has not said anything, and its first message.
fn hello(alpn: Vec<Vec<u8>>) -> (rustls::ClientConnection, Vec<u8>) {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore::empty();
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn;
    let name = ServerName::try_from("s.test").unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    (client, bytes)
}

/// The same message in records of `size` bytes each.
fn in_records(record: &[u8], size: usize) -> Vec<u8> {
    let (head, message) = record.split_at(5);
    let records = message.chunks(size).flat_map(|piece| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&head[..3], &length, piece].concat()
    });
    records.collect()
}

/// The server's first message is a ServerHello.
async fn is_answered(stream: &mut TcpStream) -> bool {
    let mut head = [0; 6];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await;
    matches!(read, Ok(Ok(_))) && head[0] == 22 && head[5] == 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_may_come_in_pieces_and_has_a_largest_size() {
    let (target, _, _) = secure().await;
    let address = target.gateway.https();
    let (_, whole) = hello(vec![b"h2".to_vec()]);
    // Byte by byte, in two packets, in many records, in many records byte by byte.
    for (what, bytes, step) in [
        ("bytes", whole.clone(), 1),
        ("two packets", whole.clone(), whole.len() / 2 + 1),
        ("records", in_records(&whole, 16), usize::MAX),
        ("small records in bytes", in_records(&whole, 3), 7),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in bytes.chunks(step.min(bytes.len())) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(is_answered(&mut stream).await, "a hello in {what}");
    }
    // As large as honest ones never are: ended, whether it is one message or one that never ends.
    let (_, large) = hello((0..240).map(|n| format!("protocol-number-{n:0>200}").into_bytes()).collect());
    let endless = [&[22, 3, 1, 0x3f, 0xff, 1, 0xff, 0xff, 0xff, 3, 3][..], &[0; 16_373]].concat();
    for (what, bytes) in [("large", large), ("endless", endless.repeat(20))] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let answered = is_answered(&mut stream).await;
        assert!(what == "large" || !answered, "{what}");
    }
    let failures = "portcullis_downstream_tls_failures_total";
    until("it is counted", async || (target.metric(failures, &[]).await > 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_go_nowhere_end_and_cost_honest_clients_nothing() {
    let (target, tls, _) = secure().await;
    let honest = Honest::begin(&target).await;
    let address = target.gateway.https();
    let size = descriptors_for(many(300, 5_000));
    let (_, hello) = hello(vec![b"h2".to_vec()]);
    // Hellos without anything behind them, and what is no TLS at all.
    for say in [
        &hello[..],
        &hello[..40],
        b"GET / HTTP/1.1\r\nHost: s.test\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
        b"\x80\x2e\x01",
    ] {
        let crowd = connect(address, size, say).await;
        assert_eq!(tls.get(address, "s.test", "/").await.unwrap().status, 200);
        drop(crowd);
    }
    until("no connection is left", async || (target.connections().await <= 8).then_some(())).await;
    let failures = "portcullis_downstream_tls_failures_total";
    assert!(target.metric(failures, &[]).await >= size as u64, "each is counted");
    honest.end(&target, "handshakes that go nowhere").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tls_must_not_do_is_not_done() {
    let (target, tls, _) = secure().await;
    let address = target.gateway.https();
    // SSL 3, TLS 1.0 and 1.1 in the words of their time: version in the hello, no extension that says otherwise. The same words with TLS 1.2 are fine.
    for minor in 0..=3_u8 {
        let mut body = vec![3, minor];
        body.extend([7; 32]);
        body.extend([0, 0, 6, 0xc0, 0x0a, 0xc0, 0x09, 0xc0, 0x2b, 1, 0]);
        // The server name, so that it is the version that is refused; curves and signatures that fit.
        let name = [&[0, 0, 0, 11, 0, 9, 0, 0, 6][..], b"s.test"].concat();
        let others = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3, 0, 23, 0, 0];
        body.extend(u16::try_from(name.len() + others.len()).unwrap().to_be_bytes());
        body.extend([name, others.to_vec()].concat());
        let mut message = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
        message.extend(body);
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        let record = [&[22, 3, 1][..], &length, &message].concat();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        assert_eq!(is_answered(&mut stream).await, minor == 3, "version 3.{minor}; 3.3 is TLS 1.2");
    }
    // Bytes behind the handshake that are not encrypted; records that do not decrypt.
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0],
    ] {
        let mut stream = tls.connect(address, "s.test").await.unwrap();
        let (socket, _) = stream.get_mut();
        socket.write_all(garbage).await.unwrap();
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "a connection with garbage in it ends");
    }
    // HTTP/1 on a connection that agreed on HTTP/2, and the other way round.
    let mut stream = tls.clone().alpn(&["h2"]).connect(address, "s.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: s.test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    let mut stream = tls.clone().alpn(&["http/1.1"]).connect(address, "s.test").await.unwrap();
    stream.write_all(super::wire::PREFACE).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"), "{answer:?}");
    // Without the extension it is HTTP/1; as in Envoy also with protocols that are all unknown, and no other one than that.
    for protocols in [&[][..], &["smtp"]] {
        let stream = tls.clone().alpn(protocols).connect(address, "s.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        let answer = send(stream, Version::H1, "https", "GET", "s.test", "/", &[], "").await.unwrap();
        assert_eq!(answer.status, 200);
        let mut stream = tls.clone().alpn(protocols).connect(address, "s.test").await.unwrap();
        stream.write_all(b"EHLO s.test\r\nMAIL FROM:<a@b>\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renegotiation_and_compression_are_not_offered() {
    let (target, _, _) = secure().await;
    let address = target.gateway.https().to_string();
    // The reference client shows both.
    let run = |input: &'static str| {
        let address = address.clone();
        tokio::task::spawn_blocking(move || {
            let command = format!(
                "(sleep 1; printf '{input}'; sleep 1) | openssl s_client -connect {address} -servername s.test -tls1_2 \
                 -legacy_renegotiation -comp 2>&1"
            );
            let mut child = std::process::Command::new("timeout")
                .args(["20", "sh", "-c", &command])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .ok()?;
            let mut text = Vec::new();
            child.stdout.take()?.read_to_end(&mut text).ok()?;
            child.wait().ok()?;
            Some(String::from_utf8_lossy(&text).into_owned())
        })
    };
    let Some(plain) = run("GET / HTTP/1.0\\r\\n\\r\\n").await.unwrap().filter(|text| text.contains("Cipher"))
    else {
        // There is no openssl on this machine.
        return;
    };
    assert!(plain.contains("Compression: NONE"), "{plain}");
    assert!(
        plain.contains("Secure Renegotiation IS supported"),
        "the extension of RFC 5746 is answered: {plain}"
    );
    let again = run("R\\n").await.unwrap().unwrap();
    assert!(again.contains("RENEGOTIATING"), "the client tries: {again}");
    assert!(
        again.contains("no renegotiation") || again.contains("error") || again.contains("alert"),
        "{again}"
    );
}
