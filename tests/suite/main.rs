//! The end-to-end suite: one module a subject. Every test runs the real programs over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod architecture;
mod attack;
mod canary;
mod changes;
mod cli;
mod dynamic;
mod failing;
mod health;
mod hybrid;
mod listeners;
mod notes;
mod options;
mod protocols;
mod reload;
mod routing;
mod sds;
mod secrecy;
mod servers;
mod strictness;
mod survival;
mod systemd;
mod tcp;
mod tls;
mod traces;
mod transcoding;
mod tunnels;
mod upstreams;

use std::net::SocketAddr;

use portcullis_tests::yaml::{forward, virtual_service};

/// Two demo upstreams `v1` and `v2` on a gateway's address, and their Upstream resources in the folder.
async fn two_versions(gateway: &portcullis_tests::gateway::Gateway) -> Vec<portcullis_tests::backend::Hello> {
    let mut running = Vec::new();
    let mut resources = String::new();
    for (name, port) in [("v1", 9001), ("v2", 9002)] {
        let address = SocketAddr::from((gateway.ip, port));
        running.push(portcullis_tests::backend::hello(address, name).await);
        resources.push_str(&portcullis_tests::backend::upstream(name, address, ""));
    }
    gateway.write("upstreams.yaml", &resources);
    running
}
