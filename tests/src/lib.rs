//! The harness of the end-to-end tests: real processes, real sockets, one loopback address per test.
//!
//! Linux answers on all of 127.0.0.0/8, so every test takes an address of its own and may use the usual ports on it:
//! no two tests can meet, and none has to guess a free port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness fails loudly"
)]

pub mod backend;
pub mod client;
pub mod gateway;
pub mod peer;
pub mod pki;
pub mod wait;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// A loopback address that no other test of this run has.
#[must_use]
pub fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    // The process id keeps two runs on one machine apart.
    let pid = (std::process::id() % 120) as u8;
    Ipv4Addr::new(127, 100 + pid, (n / 200) as u8 + 1, (n % 200) as u8 + 1)
}

/// A program of this workspace, built beside the tests.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has an executable");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push(name);
    assert!(
        path.exists(),
        "{} is not built: run `make test`, or `cargo build --workspace` first",
        path.display()
    );
    path
}
