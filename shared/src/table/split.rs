//! A weighted list of destinations kept apart from the routes that use it, so that a change of weights sends little.

use std::sync::Arc;

use portcullis_proto::table::v1 as wire;

use super::{Destination, Origin, field::required, route::destinations};
use crate::Invalid;

/// A weighted list of destinations with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// `<name>_<namespace>`.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Origin,
    /// At least one of them has weight.
    pub destinations: Vec<Destination>,
}

impl TryFrom<wire::Split> for Split {
    type Error = Invalid;

    fn try_from(wire: wire::Split) -> Result<Self, Invalid> {
        Ok(Self {
            name: required("name", wire.name)?,
            origin: Origin::try_from(wire.origin).map_err(|e| e.under("origin"))?,
            destinations: destinations(wire.destinations.unwrap_or_default())
                .map_err(|e| e.under("destinations"))?,
        })
    }
}

#[cfg(test)]
mod tests;
