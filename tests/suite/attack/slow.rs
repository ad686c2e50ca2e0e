//! Clients that take their time, over HTTP/1.

use std::time::Duration;

use portcullis_tests::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::crowd::{connect, descriptors_for};
use super::honest::Honest;
use super::{Target, many};

/// Every connection of a crowd that was made with `say` ends, and gets an answer that begins with `wanted`, if it reads.
async fn end_all(crowd: Vec<TcpStream>, wanted: &str) {
    for mut stream in crowd {
        let answer = super::wire::until_end(&mut stream).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(wanted), "{:?} is not {wanted:?}", answer.lines().next());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_get_408() {
    let size = descriptors_for(many(1_000, 20_000));
    let target = Target::start("requestHeadersTimeout: 3s", &[]).await;
    let honest = Honest::begin(&target).await;
    let mut crowd = connect(target.gateway.http(), size, b"GET / HTTP/1.1\r\nHost: a.test\r\nX-").await;
    // Each sends a byte now and then: the time is that of the whole header.
    for _ in 0..2 {
        for stream in &mut crowd {
            let _ = stream.write_all(b"a").await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    end_all(crowd, "HTTP/1.1 408 ").await;
    assert!(target.metric("portcullis_local_replies_total", &["header_timeout"]).await >= size as u64);
    assert!(target.gateway.log().contains("header_timeout"));
    honest.end(&target, "slow headers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_get_408_and_half_open_ones_end() {
    let size = descriptors_for(many(400, 10_000));
    let target = Target::start("requestTimeout: 3s, streamIdleTimeout: 2s", &[]).await;
    let honest = Honest::begin(&target).await;
    let head = b"POST /never HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nabc";
    let silent = connect(target.gateway.http(), size / 2, head).await;
    let mut crumbs = connect(target.gateway.http(), size / 2, head).await;
    for _ in 0..6 {
        for stream in &mut crumbs {
            let _ = stream.write_all(b"a").await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    end_all(silent, "HTTP/1.1 408 ").await;
    end_all(crumbs, "HTTP/1.1 408 ").await;
    let replies = "portcullis_local_replies_total";
    let (idle, late) =
        (target.metric(replies, &["idle_timeout"]).await, target.metric(replies, &["request_timeout"]).await);
    // Of a large crowd not everybody gets a crumb in time.
    assert!(idle >= size as u64 / 2 && late > 0 && idle + late >= size as u64, "{idle} idle, {late} late");
    // Chunks that break off.
    let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    let broken = connect(target.gateway.http(), size / 4, head).await;
    drop(broken);
    until("nothing runs", async || {
        (target.metric("envoy_http_downstream_rq_active", &[]).await <= 4).then_some(())
    })
    .await;
    honest.end(&target, "slow bodies").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_are_cut_off_and_hold_little() {
    let size = descriptors_for(many(100, 3_000));
    let target = Target::start("streamIdleTimeout: 2s", &[]).await;
    let honest = Honest::begin(&target).await;
    let crowd = connect(target.gateway.http(), size, b"GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("all are cut off", async || {
        let idle = target.metric("portcullis_local_replies_total", &["idle_timeout"]).await;
        (idle >= size as u64).then_some(())
    })
    .await;
    until("no connection is left", async || (target.connections().await <= 8).then_some(())).await;
    let mut cut = 0;
    for mut stream in crowd {
        let mut all = Vec::new();
        // What the kernel still had to send it may give up without a word: then there is no end to be read.
        let _ = timeout(Duration::from_millis(250), stream.read_to_end(&mut all)).await;
        cut += usize::from(all.len() < super::BIG);
    }
    assert_eq!(cut, size, "none was sent everything");
    honest.end(&target, "readers that do not read").await;
}
