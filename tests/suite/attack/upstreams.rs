//! Upstreams that do not keep to HTTP: whoever asked them gets an answer in time, and nobody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use portcullis_tests::backend::upstream;
use portcullis_tests::client;
use portcullis_tests::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::honest::Honest;
use super::wire::{self, frame};
use super::{Target, many};
use crate::virtual_service;

/// What each path is answered with: a start, and what follows it again and again; the statuses that a client may see,
/// 0 for an answer that breaks off.
const MISDEEDS: [(&str, &str, &str, &[u16]); 11] = [
    ("/silence", "", "", &[504]),
    (
        "/endless-status",
        "HTTP/1.1 200 O",
        "ooooooooooooooooooooooooooooooooooooooooooooooooooooooooo",
        &[502],
    ),
    ("/endless-fields", "HTTP/1.1 200 OK\r\n", "X-A: bcdefghijklmnopqrstuvwxyz\r\n", &[502]),
    ("/endless-value", "HTTP/1.1 200 OK\r\nX-A: ", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", &[502]),
    ("/informational", "", "HTTP/1.1 102 Processing\r\n\r\n", &[502]),
    ("/garbage", "SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\0\0\0\0\0\r\n", &[502]),
    ("/two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "", &[502]),
    (
        "/switching",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "abc",
        &[502],
    ),
    ("/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "", &[0, 502]),
    (
        "/endless-extension",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1",
        ";extension=of-a-chunk",
        &[0],
    ),
    (
        "/endless-trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        "X-A: bcdefghijklmnopqrstuvwxyz\r\n",
        &[0],
    ),
];

/// Serves connections by `serve`, until dropped.
async fn serve<F>(
    ip: std::net::Ipv4Addr,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    (address, serving)
}

async fn misbehave(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buf = vec![0; 16 << 10];
    let got = stream.read(&mut buf).await?;
    let head = String::from_utf8_lossy(&buf[..got]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (_, start, more, _) = MISDEEDS.iter().find(|(known, ..)| *known == path).unwrap_or(&MISDEEDS[0]);
    stream.write_all(start.as_bytes()).await?;
    let more = more.repeat(100);
    loop {
        if more.is_empty() {
            // Waits for us to lose patience.
            if stream.read(&mut buf).await? == 0 {
                return Ok(());
            }
        } else {
            stream.write_all(more.as_bytes()).await?;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_hostile_upstreams_are_answered_and_others_do_not_notice() {
    let target = Target::start("", &[]).await;
    let (address, serving) = serve(target.gateway.ip, misbehave).await;
    let wide = super::WIDE;
    target.gateway.write("hostile.yaml", &upstream("h", address, wide));
    let route = "    - matchers: [{prefix: /}]\n      options: {timeout: 2s}\n      \
                 routeAction: {single: {upstream: {name: h, namespace: gloo-system}}}\n";
    target.gateway.write("hostile-vs.yaml", &virtual_service("h", "['h.test']", route));
    target.gateway.until_get("h.test", "/two-lengths", |answer| answer.status == 502).await;
    let honest = Honest::begin(&target).await;
    let size = many(10, 300);
    for (path, _, _, wanted) in MISDEEDS {
        let http = target.gateway.http();
        let ask = |_| async move {
            let answer = client::request(http, "GET", "h.test", path, &[], "");
            let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
            answer.unwrap_or_else(|_| panic!("{path} is waited for")).map_or(0, |answer| answer.status)
        };
        let statuses: Vec<u16> = futures::stream::iter(0..size).map(ask).buffer_unordered(64).collect().await;
        for status in statuses {
            assert!(wanted.contains(&status), "{path} gives {status}");
        }
    }
    until("nothing runs", async || {
        (target.metric("envoy_http_downstream_rq_active", &[]).await <= 4).then_some(())
    })
    .await;
    honest.end(&target, "hostile upstreams").await;
    serving.abort();
}

/// An HTTP/2 server that floods whoever connects.
async fn flood(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(&frame(wire::SETTINGS, 0, 0, b"")).await?;
    let (mut reading, mut writing) = stream.split();
    let ping = frame(wire::PING, 0, 0, b"upstream").repeat(1_000);
    let writing = async {
        loop {
            writing.write_all(&ping).await?;
        }
    };
    let reading = async {
        let mut buf = vec![0; 1 << 16];
        while reading.read(&mut buf).await? > 0 {}
        Ok(())
    };
    tokio::select! { end = writing => end, end = reading => end }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_http2_upstream_keeps_no_other_request_from_being_served() {
    let target = Target::start("", &[]).await;
    let (address, serving) = serve(target.gateway.ip, flood).await;
    let wide = super::WIDE;
    target.gateway.write("flood.yaml", &upstream("f", address, &format!("  useHttp2: true\n{wide}")));
    let route = "    - matchers: [{prefix: /}]\n      options: {timeout: 2s}\n      \
                 routeAction: {single: {upstream: {name: f, namespace: gloo-system}}}\n";
    target.gateway.write("flood-vs.yaml", &virtual_service("f", "['f.test']", route));
    target.gateway.until_get("f.test", "/", |answer| answer.status != 404).await;
    let honest = Honest::begin(&target).await;
    for _ in 0..many(2, 20) {
        let status = target.gateway.get("f.test", "/").await.status;
        assert!(matches!(status, 502..=504), "{status}");
    }
    serving.abort();
    honest.end(&target, "a flooding upstream").await;
}
