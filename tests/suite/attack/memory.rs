//! More than there is memory for.

use std::time::{Duration, Instant};

use portcullis_tests::wait::until;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::honest::resident;
use super::wire::{self, frame};
use super::{Target, many};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_runs_out_of_memory_sheds_and_comes_back() {
    let start = async |limit: u64| Target::start("", &[("PORTCULLIS_MAX_MEMORY", limit.to_string())]).await;
    // What the worker needs for itself depends on how it was built.
    let base = resident(start(1 << 40).await.worker());
    let limit = base * 3 / 2 + (128 << 20);
    let target = start(limit).await;
    let worker = target.worker();
    let address = target.gateway.http();
    let wide = frame(wire::WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    let requests: Vec<u8> = (0..100).flat_map(|n| wire::get(2 * n + 1, "/big")).collect();
    let overloads = "portcullis_overloads_total";
    let begun = Instant::now();
    let mut crowd: Vec<TcpStream> = Vec::new();
    let mut highest = 0;
    while target.metric(overloads, &["tight"]).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} bytes of {limit}", resident(worker));
        for _ in 0..5 {
            let mut stream = wire::connect(address, 0x7fff_ffff, true).await;
            stream.write_all(&[wide.clone(), requests.clone()].concat()).await.unwrap();
            crowd.push(stream);
        }
        highest = highest.max(resident(worker));
    }
    // It goes on, whether it is let in or not.
    let refused = "portcullis_downstream_connections_refused_total";
    let hello = [wire::PREFACE, &frame(wire::SETTINGS, 0, 0, b""), &requests].concat();
    let mut tries = 0;
    while tries < many(50, 1_000) || target.metric(refused, &["overload"]).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no connection is refused");
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let _ = stream.write_all(&hello).await;
            crowd.push(stream);
        }
        highest = highest.max(resident(worker));
        tries += 1;
    }
    assert!(target.gateway.log().contains("memory is scarce"), "it says so");
    assert!(highest < limit * 2, "{highest} of {limit}");
    // The attacker stays, and the worker comes back all the same: its connections are ended.
    until("calm", async || (target.metric("portcullis_overload_level", &[]).await == 0).then_some(())).await;
    target.gateway.until_get("a.test", "/", |answer| answer.status == 200).await;
    assert_eq!(target.worker(), worker, "it is the same process");
    drop(crowd);
}
