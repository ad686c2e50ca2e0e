//! The request engine through real sockets: a scripted client on one side, scripted upstreams on the other.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and its helpers with it"
)]

mod access_logs;
mod balancing;
mod bodies;
mod breakers;
mod browsers;
mod callouts;
mod connect;
mod connections;
mod ext_auth;
mod forwarding;
mod frames;
mod gateway;
mod grpc;
mod health;
mod http2;
mod policies;
mod rate_limits;
mod replies;
mod retries;
mod settings;
mod shadows;
mod stream_limits;
mod strict;
mod telemetry;
mod timeouts;
mod tls;
mod trailers;
mod transformations;
mod upgrades;
mod upstream_options;
mod whole;
mod wire;

pub use gateway::{Gateway, Table};
pub use wire::{Peer, Wire};
