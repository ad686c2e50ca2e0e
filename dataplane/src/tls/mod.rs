//! TLS material made ready: what downstream and upstream handshakes have in common.
//!
//! Owns the choice of versions, suites and groups, certificates with their keys, trust in certificates and their names.
//! Everything here is built when configuration changes and only read during handshakes.

mod identity;
mod names;
mod ocsp;
pub mod peer;
mod provider;
pub mod server;
mod sessions;
mod trust;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use identity::certified_key;
pub use names::SubjectNames;
pub use provider::{Choices, Provider};
pub use sessions::{ClientSessions, ServerSessions};
pub use trust::{ClientVerifier, ServerVerifier, Trust};
