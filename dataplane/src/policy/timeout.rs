//! Limit of the whole exchange, retries included. A setting of the engine, which measures it.

use std::time::Duration;

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Timeout";

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Timeout = registry::decode(bytes)?;
    builder.total_timeout((wire.total_ms > 0).then(|| Duration::from_millis(wire.total_ms)));
    Ok(())
}
