//! Hostile clients, while honest ones go on: every attack ends in an answer or a closed connection with a reason in the
//! log or a metric, honest requests all succeed, and the worker's memory comes back.
//!
//! Short by default; `make attack` (`PORTCULLIS_ATTACK=long`) makes the crowds large.

mod crowd;
mod honest;
mod http2;
mod memory;
mod slow;
mod tls;
mod upstreams;
mod wire;

use http::Response;
use portcullis_tests::backend::{Scripted, body, scripted, upstream};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::{forward, virtual_service};

/// How many of something: in the short run, and in the long one.
fn many(short: usize, long: usize) -> usize {
    if std::env::var("PORTCULLIS_ATTACK").is_ok_and(|value| value == "long") { long } else { short }
}

/// The upstream is not what is attacked here: its circuit breakers would protect it from all clients alike.
const WIDE: &str =
    "  circuitBreakers: {maxConnections: 1000000, maxPendingRequests: 1000000, maxRequests: 1000000}\n";

/// Bytes of `/big`.
const BIG: usize = 8 << 20;

/// A gateway in front of one upstream that answers at once, with much (`/big`), or not at all (`/never`).
struct Target {
    gateway: Gateway,
    _backend: Scripted,
}

impl Target {
    /// With these `httpConnectionManagerSettings`, and these variables for its processes.
    async fn start(settings: &str, env: &[(&str, String)]) -> Self {
        let mut gateway = Gateway::new();
        let big = bytes::Bytes::from(vec![b'x'; BIG]);
        let backend = scripted(gateway.ip, move |request| {
            let big = big.clone();
            async move {
                match request.uri().path() {
                    "/big" => Response::new(body(big)),
                    "/never" => std::future::pending().await,
                    _ => Response::new(body("fine")),
                }
            }
        })
        .await;
        let options =
            format!("httpGateway: {{options: {{httpConnectionManagerSettings: {{{settings}}}}}}}\n");
        gateway.write("gateways.yaml", &gateway.listeners().replace("httpGateway: {}\n", &options));
        gateway.write("us.yaml", &upstream("b", backend.address, WIDE));
        gateway.write("vs.yaml", &virtual_service("b", "['*']", &forward("/", "b")));
        gateway.start_again(env).await;
        gateway.until_get("a.test", "/", |answer| answer.status == 200).await;
        Target { gateway, _backend: backend }
    }

    /// The worker's process.
    fn worker(&self) -> u32 {
        self.gateway.children("portcullis-dataplane")[0]
    }

    /// The sum of a metric's series that have all of `labels` in their line.
    async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = client::get(self.gateway.admin(1), "/metrics").await.unwrap().text();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Connections of clients that are open.
    async fn connections(&self) -> u64 {
        self.metric("portcullis_downstream_connections_active", &[]).await
    }

    /// HTTP/2 connections that were ended for this reason.
    async fn ended(&self, reason: &str) -> u64 {
        self.metric("portcullis_http2_connections_ended_total", &[reason]).await
    }
}
