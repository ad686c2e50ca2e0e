//! Upstreams that misbehave in every way: the client gets the status and the log the reason that fit, a retry finds the
//! healthy one where the route says so, and the worker's memory stays what it was.

use std::net::SocketAddr;

use portcullis_tests::backend::upstream;
use portcullis_tests::client;
use portcullis_tests::gateway::{Gateway, holdings};
use portcullis_tests::load::named;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{forward, virtual_service};

/// What an upstream does with a connection after it has read a request.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Says this and closes.
    Says(&'static str),
    /// Says this and stays silent.
    Hangs(&'static str),
    /// Resets, with or without a word before.
    Resets(&'static str),
}

/// Name, manner, the status that the client gets (0: its answer is cut), and the reason in the log.
const MANNERS: [(&str, Manner, u16, &str); 11] = [
    ("closes", Manner::Says(""), 503, "upstream_reset"),
    ("resets", Manner::Resets(""), 503, "upstream_reset"),
    ("hangs", Manner::Hangs(""), 504, "timeout"),
    ("half-line", Manner::Says("HTTP/1.1 20"), 503, "upstream_reset"),
    ("half-head", Manner::Says("HTTP/1.1 200 OK\r\ncontent-le"), 503, "upstream_reset"),
    ("stuck-head", Manner::Hangs("HTTP/1.1 200 OK\r\ncontent-le"), 504, "timeout"),
    ("garbage", Manner::Says("\x01\x02 what is this\r\n\r\n"), 502, "upstream_protocol_error"),
    (
        "two-lengths",
        Manner::Says("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        502,
        "upstream_protocol_error",
    ),
    (
        "half-body",
        Manner::Says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        0,
        "upstream_truncated",
    ),
    (
        "half-chunk",
        Manner::Resets("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\nhalf"),
        0,
        "upstream_truncated",
    ),
    (
        "bad-chunk",
        Manner::Says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        0,
        "upstream_truncated",
    ),
];

async fn misbehaving(ip: std::net::Ipv4Addr, manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream, manner));
        }
    });
    address
}

async fn behave(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    match manner {
        Manner::Says(text) => stream.write_all(text.as_bytes()).await?,
        Manner::Hangs(text) => {
            stream.write_all(text.as_bytes()).await?;
            let _ = stream.read_u8().await;
        }
        Manner::Resets(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.flush().await?;
            // The word has to arrive before the reset takes it away.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            stream.set_zero_linger()?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_an_upstream_has_its_status_and_reason_and_costs_no_memory() {
    let gateway = Gateway::new();
    let healthy = named(gateway.ip, "healthy").await;
    let (mut upstreams, mut routes) = (upstream("healthy", healthy.address, ""), String::new());
    // Nobody listens there: the port was free a moment ago and is not bound again.
    let dead = SocketAddr::from((gateway.ip, 1));
    let mut cases = vec![("dead", 503, "connect_failed")];
    upstreams += &upstream("dead", dead, "");
    for (name, manner, status, reason) in MANNERS {
        upstreams += &upstream(name, misbehaving(gateway.ip, manner).await, "");
        cases.push((name, status, reason));
    }
    for (name, ..) in &cases {
        routes += &forward(&format!("/{name}/"), name);
        routes += "      options: {timeout: 1s}\n";
    }
    // A healthy endpoint beside a dead one, and the other one beside one that closes, each with a retry.
    let closes = misbehaving(gateway.ip, Manner::Says("")).await;
    for (name, bad) in [("retry-dead", dead), ("retry-closes", closes)] {
        upstreams += &format!(
            "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: {name}, namespace: gloo-system}}\nspec:\n  \
             static:\n    hosts:\n    - {{addr: {}, port: {}}}\n    - {{addr: {}, port: {}}}\n",
            bad.ip(),
            bad.port(),
            healthy.address.ip(),
            healthy.address.port()
        );
        routes += &forward(&format!("/{name}/"), name);
        routes +=
            "      options: {timeout: 5s, retries: {retryOn: 'connect-failure,reset', numRetries: 3}}\n";
    }
    gateway.write("upstreams.yaml", &upstreams);
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &routes));
    let gateway = gateway.start().await;
    let round = async |slow: bool| {
        for (name, status, _) in cases.iter().filter(|(_, status, _)| slow || *status != 504) {
            let answer =
                client::request(gateway.http(), "GET", "a.test", &format!("/{name}/"), &[], "").await;
            match (answer, status) {
                (Ok(answer), status) if *status > 0 => {
                    assert_eq!(answer.status, *status, "{name}: {}", answer.text())
                }
                (Err(_), 0) => {}
                (other, status) => panic!("{name}: {other:?} instead of {status}"),
            }
        }
        for name in ["retry-dead", "retry-closes"] {
            let answer = gateway.get("a.test", &format!("/{name}/")).await;
            assert_eq!((answer.status, answer.text()), (200, format!("healthy /{name}/")));
        }
    };
    round(true).await;
    for (name, _, reason) in &cases {
        portcullis_tests::wait::until(name, async || {
            let log = gateway.log();
            let line = log.lines().find(|line| line.contains(&format!("\"/{name}/\"")))?;
            assert!(line.contains(&format!("\"{reason}\"")), "{name}: {line}");
            Some(())
        })
        .await;
    }
    for _ in 0..20 {
        round(false).await;
    }
    let worker = gateway.children("portcullis-dataplane")[0];
    let before = holdings(worker);
    for _ in 0..60 {
        round(false).await;
    }
    let after = holdings(worker);
    assert!(after.0 < before.0 + 8 * 1024, "{before:?} KiB and files, then {after:?}");
    assert!(after.1 < before.1 + 16, "{before:?} KiB and files, then {after:?}");
}
