//! Who is told how many tries there were. A setting of the engine, which counts them.

use http::HeaderName;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.AttemptCount";

/// The field that says it.
pub const X_ENVOY_ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttemptCount {
    /// The upstream, with each try.
    pub request: bool,
    /// The client.
    pub response: bool,
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::AttemptCount = registry::decode(bytes)?;
    builder.attempt_count(AttemptCount { request: wire.request, response: wire.response });
    Ok(())
}
