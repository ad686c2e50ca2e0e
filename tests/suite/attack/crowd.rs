//! Many connections, and what happens when there are too many.

use std::net::SocketAddr;

use futures::StreamExt as _;
use portcullis_tests::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::honest::Honest;
use super::{Target, many};

/// How many connections fit this process's limit of open files, of those that are wanted.
pub fn descriptors_for(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    // The upstream of a test lives in its process too.
    wanted.min((files / 4).max(32))
}

/// So many connections that all say the same.
pub async fn connect(address: SocketAddr, size: usize, say: &[u8]) -> Vec<TcpStream> {
    let one = |_| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(say).await.unwrap();
        stream
    };
    futures::stream::iter(0..size).map(one).buffer_unordered(64).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let target = Target::start("", &[("PORTCULLIS_MAX_CONNECTIONS", "50".to_owned())]).await;
    let crowd = connect(target.gateway.http(), 200, b"").await;
    until("the limit holds", async || {
        let refused =
            target.metric("portcullis_downstream_connections_refused_total", &["connection_limit"]).await;
        (refused >= 140 && target.connections().await <= 50).then_some(())
    })
    .await;
    drop(crowd);
    target.gateway.until_get("a.test", "/", |answer| answer.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_connections_leave_nothing_behind() {
    let target = Target::start("", &[]).await;
    let honest = Honest::begin(&target).await;
    let size = descriptors_for(many(1_000, 20_000));
    for say in [&b""[..], b"G", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\n", b"\0\0\0\0", b"\r\n\r\n\r\n"] {
        for _ in 0..many(1, 5) {
            drop(connect(target.gateway.http(), size / 2, say).await);
        }
    }
    until("no connection is left", async || (target.connections().await <= 8).then_some(())).await;
    honest.end(&target, "floods of connections").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_descriptors_clients_are_turned_away_and_it_says_so() {
    let target = Target::start("", &[]).await;
    let worker = target.worker();
    let open = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().count();
    let limit = |files: usize| {
        let files = format!("--nofile={files}:1048576");
        let lowered =
            std::process::Command::new("prlimit").args(["--pid", &worker.to_string(), &files]).output();
        // Some systems do not let us raise the hard limit as well; the soft one is what counts.
        lowered.is_ok_and(|output| output.status.success())
            || std::process::Command::new("prlimit")
                .args(["--pid", &worker.to_string(), &files.replace("1048576", "")])
                .status()
                .is_ok_and(|status| status.success())
    };
    if !limit(open + 20) {
        // Without the tool nothing can be shown here; the unit test of the accept loop still holds.
        return;
    }
    let mut crowd = connect(target.gateway.http(), 100, b"").await;
    let refused = "portcullis_downstream_connections_refused_total";
    until("clients are turned away", async || {
        (target.gateway.log().contains("cannot accept; waiting")).then_some(())
    })
    .await;
    // The last ones learn it by the end of their connections.
    let mut buf = [0; 8];
    assert!(!matches!(crowd.last_mut().unwrap().read(&mut buf).await, Ok(1..)));
    drop(crowd);
    target.gateway.until_get("a.test", "/", |answer| answer.status == 200).await;
    assert!(limit(1024));
    assert!(target.metric(refused, &["file_descriptors"]).await >= 50);
    assert!(target.metric("portcullis_downstream_accept_errors_total", &[]).await >= 1);
}
