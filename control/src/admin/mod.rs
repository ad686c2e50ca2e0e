//! Questions about a running control process, on one address: `/healthz`, `/readyz`, `/metrics` for machines and the gRPC
//! service `portcullis.admin.v1.Admin` for the command line.
//!
//! Reads topics only, so it answers whatever else is going on. Must not change anything; holds no secret bytes. The
//! address is meant for the host itself (default 127.0.0.1): whoever reaches it may read the configuration.

mod grpc;
mod http;
mod metrics;

pub use http::{Admin, serve};
pub use metrics::Metrics;
