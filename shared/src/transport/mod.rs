//! How control and workers reach each other: a unix socket with peer credentials on a host, mutual TLS between pods.
//!
//! There is no plain-text TCP mode. Whoever is let in has a [`PeerIdentity`]; what it may receive is decided from that
//! identity by the link server, not here.

mod client;
mod identity;
mod io;
mod server;
mod tls;

pub use client::{Target, connect};
pub use identity::PeerIdentity;
pub use io::Io;
pub use server::{Bind, Incoming, listen};
pub use tls::TlsFiles;

use std::path::PathBuf;

/// What can go wrong before a connection exists.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Another process already serves this socket.
    #[error("{path} is in use: another portcullis-control is running with this socket")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket or address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Path or address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate, key or CA file is missing or broken.
    #[error("{path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The other side cannot be reached.
    #[error("cannot reach {address}: {reason}")]
    Connect {
        /// Path or address.
        address: String,
        /// Why.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
