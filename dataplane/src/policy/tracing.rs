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
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Tracing = registry::decode(bytes)?;
    builder.tracing(Tracing {
        descriptor: (!wire.descriptor.is_empty()).then(|| wire.descriptor.into()),
        no_propagation: wire.no_propagation,
    });
    Ok(())
}
