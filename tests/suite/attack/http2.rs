//! What HTTP/2 lets a client do beside asking for something.

use std::time::Duration;

use portcullis_tests::wait::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::honest::Honest;
use super::wire::{self, frame};
use super::{Target, many};

/// Frames that an attacker sends at most before the gateway must have ended the connection.
const MOST: usize = 60_000;
/// Frames in one write.
const BATCH: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_that_carry_nothing_are_ended() {
    let target = Target::start("", &[]).await;
    let honest = Honest::begin(&target).await;
    let address = target.gateway.http();
    let setting = [&[0, 3][..], &100_u32.to_be_bytes()].concat();
    let floods: [(&str, Vec<u8>); 7] = [
        ("PING", frame(wire::PING, 0, 0, b"attacker")),
        ("SETTINGS", frame(wire::SETTINGS, 0, 0, &setting)),
        ("empty SETTINGS", frame(wire::SETTINGS, 0, 0, b"")),
        ("PRIORITY", frame(wire::PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("WINDOW_UPDATE", frame(wire::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("unknown", frame(0x77, 0, 0, b"")),
        ("unknown of a stream", frame(0xfe, 0xff, 3, b"")),
    ];
    for (number, (what, bytes)) in floods.iter().enumerate() {
        for _ in 0..many(1, 20) {
            let stream = wire::connect(address, 65_535, false).await;
            let piece = bytes.repeat(BATCH);
            let sent = wire::flood(stream, MOST / BATCH, |_| piece.clone()).await;
            assert!(sent.is_some(), "{what} goes on for ever");
        }
        let least = (number + 1) * many(1, 20);
        until(what, async || (target.ended("frame_flood").await >= least as u64).then_some(())).await;
    }
    honest.end(&target, "floods").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_inside_of_a_request_are_ended() {
    let target = Target::start("", &[]).await;
    let honest = Honest::begin(&target).await;
    let address = target.gateway.http();
    // A header that never ends, in frames that carry something, and in empty ones (CVE-2024-27316).
    let begun = frame(wire::HEADERS, wire::END_STREAM, 1, &wire::fields(false, "/"));
    for payload in [wire::literal("x-a", "b"), Vec::new()] {
        let more = frame(wire::CONTINUATION, 0, 1, &payload).repeat(BATCH);
        let stream = wire::connect(address, 65_535, false).await;
        let sent =
            wire::flood(stream, MOST / BATCH, |n| if n == 0 { begun.clone() } else { more.clone() }).await;
        assert!(sent.is_some(), "CONTINUATION goes on for ever");
    }
    // A body that is nothing, and one in crumbs, to an upstream that does not read.
    let post = frame(wire::HEADERS, wire::END_HEADERS, 1, &wire::fields(true, "/never"));
    for (what, payload) in [("empty", &b""[..]), ("tiny", b"z")] {
        let more = frame(wire::DATA, 0, 1, payload).repeat(BATCH);
        let stream = wire::connect(address, 65_535, false).await;
        let most = many(MOST, 20 * MOST) * 40;
        let sent =
            wire::flood(stream, most / BATCH, |n| if n == 0 { post.clone() } else { more.clone() }).await;
        assert!(what == "tiny" || sent.is_some(), "DATA that is {what} goes on for ever");
    }
    // One entry of the table, named again and again: a small header that would be large (a HPACK bomb).
    let value = "v".repeat(3000);
    let mut entry = vec![0x40, 1, b'n', 0x7f];
    entry.extend([(value.len() - 127) as u8 & 0x7f | 0x80, ((value.len() - 127) >> 7) as u8]);
    entry.extend(value.as_bytes());
    let bomb = [wire::fields(false, "/"), entry, vec![0xbe; 10_000]].concat();
    for _ in 0..many(5, 500) {
        let mut stream = wire::connect(address, 65_535, false).await;
        let header = frame(wire::HEADERS, wire::END_HEADERS | wire::END_STREAM, 1, &bomb);
        stream.write_all(&header).await.unwrap();
        wire::until_end(&mut stream).await;
    }
    until("what the library refused", async || {
        (target.ended("enhance_your_calm").await >= many(8, 503) as u64).then_some(())
    })
    .await;
    honest.end(&target, "floods inside of a request").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_back_what_it_asks_for_is_ended() {
    let target = Target::start("", &[]).await;
    let honest = Honest::begin(&target).await;
    let address = target.gateway.http();
    let pair = |n: usize, path: &str| {
        let stream = 2 * n as u32 + 1;
        [wire::get(stream, path), wire::reset(stream)].concat()
    };
    // As fast as it can (CVE-2023-44487): the library ends it, or we do.
    for _ in 0..many(2, 100) {
        let stream = wire::connect(address, 65_535, false).await;
        let sent = wire::flood(stream, MOST, |n| pair(n, "/never")).await;
        assert!(sent.is_some(), "rapid resets go on for ever");
    }
    // At a pace at which every request reaches the upstream. A worker that is busy sees several at once: then the library
    // may be the first to end it.
    for _ in 0..5 {
        let sent = paced(address).await;
        assert!(sent < 1_000, "{sent} requests were taken back");
        if target.ended("rapid_reset").await > 0 {
            break;
        }
    }
    assert!(target.ended("rapid_reset").await >= 1);
    honest.end(&target, "rapid resets").await;
}

/// Opens streams and resets each a moment later, until the gateway has enough; how many.
async fn paced(address: std::net::SocketAddr) -> u32 {
    let mut stream = wire::connect(address, 65_535, false).await;
    for sent in 0..5_000 {
        let id = 2 * sent + 1;
        for piece in [wire::get(id, "/never"), wire::reset(id)] {
            if stream.write_all(&piece).await.is_err() {
                return sent;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    5_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_client_may_take_back_some() {
    let target = Target::start("", &[]).await;
    let mut stream = wire::connect(target.gateway.http(), 65_535, false).await;
    for n in 0..1_500_u32 {
        let id = 2 * n + 1;
        let taken_back = n % 3 == 0;
        let request = wire::get(id, if taken_back { "/never" } else { "/" });
        stream.write_all(&request).await.unwrap();
        if taken_back {
            stream.write_all(&wire::reset(id)).await.unwrap();
        } else {
            // An answer ends with its body.
            let mut buf = [0; 4096];
            let got = stream.read(&mut buf).await.unwrap();
            assert!(got > 0, "ended after {n}");
        }
    }
    assert_eq!(target.ended("").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_do_not_move_are_ended_and_hold_little() {
    let target = Target::start("streamIdleTimeout: 1s", &[]).await;
    let honest = Honest::begin(&target).await;
    let address = target.gateway.http();
    let requests = |path: &str| (0..100).flat_map(|n| wire::get(2 * n + 1, path)).collect::<Vec<u8>>();
    let wide = frame(wire::WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    let mut crowd = Vec::new();
    for n in 0..many(12, 30) {
        // No window at all; a window for one byte; a window for everything, and a socket that takes nothing.
        let window = [0, 1, 0x7fff_ffff][n % 3];
        let mut stream = wire::connect(address, window, true).await;
        stream.write_all(&[wide.clone(), requests("/big")].concat()).await.unwrap();
        crowd.push(stream);
    }
    // Those with a window learn that their streams are reset; those that do not read are closed.
    until("the streams end", async || {
        let idle = target.metric("portcullis_local_replies_total", &["idle_timeout"]).await;
        (idle >= 50 * crowd.len() as u64).then_some(())
    })
    .await;
    until("connections that take nothing end", async || {
        (target.ended("stalled").await >= crowd.len() as u64 / 3).then_some(())
    })
    .await;
    until("nothing runs", async || {
        (target.metric("envoy_http_downstream_rq_active", &[]).await <= 4).then_some(())
    })
    .await;
    drop(crowd);
    honest.end(&target, "streams that do not move").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_over_http2_has_its_time_too() {
    let target = Target::start("requestHeadersTimeout: 1s", &[]).await;
    let address = target.gateway.http();
    // HEADERS that never end, and a frame of which a part comes.
    let open = frame(wire::HEADERS, wire::END_STREAM, 1, &wire::fields(false, "/"));
    let part = wire::get(1, "/")[..20].to_vec();
    for bytes in [open, part] {
        let mut stream = wire::connect(address, 65_535, false).await;
        stream.write_all(&bytes).await.unwrap();
        wire::until_end(&mut stream).await;
    }
    assert_eq!(target.ended("header_timeout").await, 2);
}
