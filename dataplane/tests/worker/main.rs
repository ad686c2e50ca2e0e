//! The real worker process against a scripted control: what a table, its absence, signals and hard kills do to
//! connections of real clients.
//!
//! Every test has a loopback address of its own, so that all may use the same ports (unusual ones: a gateway that a
//! person runs on `::` would answer on every address), and waits for conditions only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod cache;
mod client;
mod control;
mod drain;
mod handover;
mod listeners;
mod pki;
mod process;
mod proxy_protocol;
mod table;
mod tables;
mod tcp;
mod tls;

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Long enough for a machine that is busy with other things; only failing tests wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A loopback address that no other test of this run has.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    // The process id keeps two runs on one machine apart.
    let pid = std::process::id();
    Ipv4Addr::new(
        127,
        20 + (pid / 250 % 60) as u8,
        (pid % 250) as u8 + 1,
        NEXT.fetch_add(1, Ordering::Relaxed),
    )
}

/// Waits until `probe` gives something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let waiting = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(found) => found,
        Err(_) => panic!("timed out waiting for {what}"),
    }
}
