//! Where a wire resource came from, for people: logs, spans, dumps.

use std::{fmt, sync::Arc};

use portcullis_proto::table::v1 as wire;

use crate::Invalid;

/// The user's resource that a wire resource or route was compiled from.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Kind, "VirtualService".
    pub kind: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl TryFrom<wire::Origin> for Origin {
    type Error = Invalid;

    fn try_from(wire: wire::Origin) -> Result<Self, Invalid> {
        Ok(Self { kind: wire.kind.into(), namespace: wire.namespace.into(), name: wire.name.into() })
    }
}

/// An absent origin is an empty one: it is never needed to serve a request.
impl TryFrom<Option<wire::Origin>> for Origin {
    type Error = Invalid;

    fn try_from(wire: Option<wire::Origin>) -> Result<Self, Invalid> {
        wire.map(Self::try_from).transpose().map(Option::unwrap_or_default)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.kind, self.namespace, self.name)
    }
}
