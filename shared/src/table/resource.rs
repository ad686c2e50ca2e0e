//! Any wire resource: what an upsert carries and a worker holds.

use std::{fmt, sync::Arc};

use portcullis_proto::{
    link::v1::{self as link, upsert::Resource as Wire},
    table::v1 as wire,
};

use super::{Certificate, Listener, Split, Upstream, VirtualHost, digest};
use crate::{Digest, Invalid};

/// Kinds of wire resources. The number never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Listener`].
    Listener = 1,
    /// [`VirtualHost`].
    VirtualHost = 2,
    /// [`Upstream`].
    Upstream = 3,
    /// [`Split`].
    Split = 4,
    /// [`Certificate`].
    Certificate = 5,
}

impl Kind {
    /// The number of the wire enum.
    pub fn wire(self) -> i32 {
        self as i32
    }
}

impl TryFrom<i32> for Kind {
    type Error = Invalid;

    fn try_from(number: i32) -> Result<Self, Invalid> {
        match wire::Kind::try_from(number) {
            Ok(wire::Kind::Listener) => Ok(Self::Listener),
            Ok(wire::Kind::VirtualHost) => Ok(Self::VirtualHost),
            Ok(wire::Kind::Upstream) => Ok(Self::Upstream),
            Ok(wire::Kind::Split) => Ok(Self::Split),
            Ok(wire::Kind::Certificate) => Ok(Self::Certificate),
            Ok(wire::Kind::Unspecified) | Err(_) => Err(Invalid::new("kind", format!("{number} is unknown"))),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listener => "listener",
            Self::VirtualHost => "virtual_host",
            Self::Upstream => "upstream",
            Self::Split => "split",
            Self::Certificate => "certificate",
        })
    }
}

/// A validated resource of any kind; cheap to clone.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each variant is its type")]
pub enum Resource {
    Listener(Arc<Listener>),
    VirtualHost(Arc<VirtualHost>),
    Upstream(Arc<Upstream>),
    Split(Arc<Split>),
    Certificate(Arc<Certificate>),
}

impl Resource {
    /// Which kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Listener(_) => Kind::Listener,
            Self::VirtualHost(_) => Kind::VirtualHost,
            Self::Upstream(_) => Kind::Upstream,
            Self::Split(_) => Kind::Split,
            Self::Certificate(_) => Kind::Certificate,
        }
    }

    /// The name, unique in its kind.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Listener(resource) => &resource.name,
            Self::VirtualHost(resource) => &resource.name,
            Self::Upstream(resource) => &resource.name,
            Self::Split(resource) => &resource.name,
            Self::Certificate(resource) => &resource.name,
        }
    }

    /// Decodes an upsert and verifies that its digest is that of its content.
    ///
    /// The digest is taken over the message as this build knows it: a field from a newer build that would be lost here
    /// makes the digests differ, so that the resource is refused and not half understood.
    pub fn decode(upsert: link::Upsert) -> Result<(Self, Digest), Invalid> {
        let claimed =
            Digest::from_slice(&upsert.digest).ok_or_else(|| Invalid::new("digest", "not 16 bytes"))?;
        let resource =
            upsert.resource.ok_or_else(|| Invalid::new("resource", "missing or of an unknown kind"))?;
        if digest(&resource) != claimed {
            return Err(Invalid::new("digest", "not the digest of the resource"));
        }
        Ok((Self::try_from(resource)?, claimed))
    }
}

impl TryFrom<Wire> for Resource {
    type Error = Invalid;

    fn try_from(wire: Wire) -> Result<Self, Invalid> {
        Ok(match wire {
            Wire::Listener(wire) => Self::Listener(Arc::new(wire.try_into()?)),
            Wire::VirtualHost(wire) => Self::VirtualHost(Arc::new(wire.try_into()?)),
            Wire::Upstream(wire) => Self::Upstream(Arc::new(wire.try_into()?)),
            Wire::Split(wire) => Self::Split(Arc::new(wire.try_into()?)),
            Wire::Certificate(wire) => Self::Certificate(Arc::new(wire.try_into()?)),
        })
    }
}

/// Which resource an upsert is about, before it is decoded: a rejection must name it.
pub fn identity(resource: &Wire) -> (Kind, &str) {
    match resource {
        Wire::Listener(wire) => (Kind::Listener, &wire.name),
        Wire::VirtualHost(wire) => (Kind::VirtualHost, &wire.name),
        Wire::Upstream(wire) => (Kind::Upstream, &wire.name),
        Wire::Split(wire) => (Kind::Split, &wire.name),
        Wire::Certificate(wire) => (Kind::Certificate, &wire.name),
    }
}

#[cfg(test)]
mod tests;
