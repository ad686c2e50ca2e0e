use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::runtime::Http;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn guarded() -> (Guard<DuplexStream>, DuplexStream, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let address = "127.0.0.1:1".parse().unwrap();
    let info = Arc::new(ConnInfo {
        listener: "l".into(),
        chain: Arc::default(),
        route_config: Arc::default(),
        client: address,
        direct: address,
        local: address,
        sni: None,
        tls: None,
        own_uris: None,
        buckets: Arc::default(),
        refused: Arc::default(),
        http: Arc::new(Http::default()),
        metadata: None,
        id: 0,
    });
    let (near, far) = duplex(4096);
    (Guard::of_client(near, Arc::clone(&metrics), info), far, metrics)
}

/// Reads all that comes until the guard ends it.
async fn end(guard: &mut Guard<DuplexStream>) -> String {
    let mut buf = [0; 4096];
    loop {
        match guard.read(&mut buf).await {
            Ok(0) => return "closed by the client".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_carry_nothing_end_the_connection_and_others_do_not() {
    for (kind, wanted) in
        [(6, "frame_flood"), (4, "frame_flood"), (0x77, "frame_flood"), (1, "closed by the client")]
    {
        let (mut guard, mut client, metrics) = guarded();
        let flood = async {
            client.write_all(&[b'P'; PREFACE]).await.unwrap();
            for _ in 0..=limits::H2_FRAMES {
                if client.write_all(&frame(kind, 0x4, 1, b"")).await.is_err() {
                    return;
                }
            }
            client.shutdown().await.unwrap();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! { ended = end(&mut guard) => ended, () = flood => panic!("it waits") };
        assert_eq!(ended, wanted, "kind {kind}");
        let counted = metrics.ended.counts();
        assert_eq!(counted.iter().any(|(word, count)| *word == wanted && *count == 1), kind != 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_has_to_come_to_its_end() {
    let begun = Instant::now();
    for (bytes, wanted) in [
        (Vec::new(), limits::FIRST_BYTE),
        (vec![b'P'; PREFACE - 1], limits::FIRST_BYTE),
        // HEADERS without END_HEADERS, a part of a frame header, and a part of a payload.
        ([vec![b'P'; PREFACE], frame(1, 0, 1, b"abc")].concat(), limits::HEADER_DEADLINE),
        ([vec![b'P'; PREFACE], frame(4, 0, 0, b""), vec![0, 0]].concat(), limits::HEADER_DEADLINE),
        ([vec![b'P'; PREFACE], frame(1, 4, 1, b"abc")[..10].to_vec()].concat(), limits::HEADER_DEADLINE),
    ] {
        let begun = Instant::now().max(begun);
        let (mut guard, mut client, _metrics) = guarded();
        client.write_all(&bytes).await.unwrap();
        assert_eq!(end(&mut guard).await, "header_timeout", "{bytes:?}");
        let took = begun.elapsed();
        assert!(took >= wanted && took < wanted + Duration::from_secs(1), "{bytes:?}: {took:?}");
    }
    // Whole frames may be followed by silence.
    let (mut guard, mut client, _metrics) = guarded();
    client.write_all(&[vec![b'P'; PREFACE], frame(1, 4, 1, b"abc")].concat()).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(3600), end(&mut guard)).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_in_the_time_of_an_idle_stream() {
    let (mut guard, mut client, _metrics) = guarded();
    let begun = Instant::now();
    let (piece, slow) = (vec![0; 4096], limits::STREAM_IDLE / 2);
    let writing = async {
        loop {
            if let Err(error) = guard.write_all(&piece).await {
                return (error.to_string(), begun.elapsed());
            }
        }
    };
    let reading = async {
        // Slow is not stalled.
        for _ in 0..3 {
            tokio::time::sleep(slow).await;
            client.read_exact(&mut [0; 100]).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let (error, took) = tokio::select! { ended = writing => ended, () = reading => panic!("it waits") };
    assert_eq!(error, "stalled");
    assert!(took >= slow * 3 + limits::STREAM_IDLE && took < slow * 3 + limits::STREAM_IDLE * 2, "{took:?}");
}

#[tokio::test]
async fn what_the_library_refuses_is_counted() {
    let (mut guard, _client, metrics) = guarded();
    guard.write_all(&frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0])).await.unwrap();
    assert!(metrics.ended.counts().is_empty(), "a drain is no refusal");
    guard.write_all(&frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11, b't', b'o', b'o'])).await.unwrap();
    assert_eq!(metrics.ended.counts(), [("enhance_your_calm", 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_may_reset_streams_and_not_flood() {
    let (near, mut far) = duplex(1 << 20);
    let mut guard = Guard::of_upstream(near);
    let mut answers = frame(4, 0, 0, b"");
    for n in 0..2 * limits::H2_RESETS {
        answers.extend(frame(1, 0x4, 2 * n + 1, b"abc"));
        answers.extend(frame(3, 0, 2 * n + 1, &[0, 0, 0, 0]));
    }
    far.write_all(&answers).await.unwrap();
    let mut read = vec![0; answers.len()];
    guard.read_exact(&mut read).await.unwrap();
    let flood = async {
        let pings = frame(6, 0, 0, b"upstream").repeat(100);
        while far.write_all(&pings).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! { ended = end(&mut guard) => ended, () = flood => panic!("it waits") };
    assert_eq!(ended, "frame_flood");
}
