//! The end-to-end suite: one module a subject. Every test runs the real programs over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod architecture;
mod canary;
mod cli;
mod dynamic;
mod health;
mod options;
mod protocols;
mod reload;
mod routing;
mod servers;
mod strictness;
mod survival;
mod tcp;
mod tls;
mod traces;
mod transcoding;

use std::net::SocketAddr;

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

/// A VirtualService with these domains and routes (YAML, indented by six).
fn virtual_service(name: &str, domains: &str, routes: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec:\n  virtualHost:\n    domains: {domains}\n    routes:\n{routes}"
    )
}

/// A route that forwards a prefix to one upstream.
fn forward(prefix: &str, upstream: &str) -> String {
    format!(
        "    - matchers: [{{prefix: {prefix}}}]\n      routeAction: {{single: {{upstream: {{name: {upstream}, namespace: gloo-system}}}}}}\n"
    )
}
