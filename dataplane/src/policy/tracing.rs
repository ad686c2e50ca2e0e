//! How a route's requests show in traces. A setting of the engine, which makes the spans.

use std::sync::Arc;

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Tracing";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracing {
    /// Name of the span; none = method and route.
    pub descriptor: Option<Arc<str>>,
    /// Upstreams do not learn the context of the trace.
    pub no_propagation: bool,
    /// How many requests are traced, in place of what the listener says.
    pub shares: Option<Shares>,
}

/// How many requests are traced: parts of 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Of requests that force a trace.
    pub client: u32,
    /// Of all others.
    pub random: u32,
    /// Cap.
    pub overall: u32,
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Tracing = registry::decode(bytes)?;
    builder.tracing(Tracing {
        descriptor: (!wire.descriptor.is_empty()).then(|| wire.descriptor.into()),
        no_propagation: wire.no_propagation,
        shares: wire.shares.map(|it| Shares { client: it.client, random: it.random, overall: it.overall }),
    });
    Ok(())
}
