//! Endpoints in: finds the addresses behind upstreams that name hosts instead of addresses.
//!
//! Owns one lookup task per distinct DNS name and the endpoint sets made from the answers. Sets go straight to the
//! sessions, without a translation. A lookup that fails never empties a set: the last answer stays, and only a name that
//! is said not to exist loses its addresses, after a grace.

mod actor;
mod lookup;
mod resolver;
mod sets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portcullis_proto::table::v1::EndpointSet;

pub use actor::run;

use crate::ordered::Ordered;

/// All endpoint sets that are known.
#[derive(Default)]
pub struct Endpoints {
    /// By wire name of the upstream.
    pub sets: Ordered<Arc<str>, Arc<EndpointSet>>,
}
