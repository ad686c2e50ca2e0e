//! Every policy that this worker understands. A type that is not here rejects its route: nothing is skipped.

use portcullis_shared::invalid::Invalid;
use prost_types::Any;

use super::{PlanBuilder, headers, host_rewrite, path_rewrite, retry, timeout};

/// Decodes a policy message and puts it into a plan, as a policy that runs or as a setting of the engine.
type Install = fn(&[u8], &mut PlanBuilder) -> Result<(), Invalid>;

/// (type URL, how it is installed). The order means nothing here: control sends policies in execution order.
const POLICIES: &[(&str, Install)] = &[
    (headers::TYPE_URL, headers::install),
    (host_rewrite::TYPE_URL, host_rewrite::install),
    (path_rewrite::TYPE_URL, path_rewrite::install),
    (retry::TYPE_URL, retry::install),
    (timeout::TYPE_URL, timeout::install),
];

/// The type URLs that a worker names in its Hello.
pub fn type_urls() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|(url, _)| *url)
}

/// Decodes one policy into `builder`.
///
/// # Errors
/// A type that is not in the registry, or a message that does not decode or is not valid.
pub(super) fn install(any: &Any, builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let Some((_, install)) = POLICIES.iter().find(|(url, _)| *url == any.type_url) else {
        return Err(Invalid::new("type_url", format!("unknown policy \"{}\"", any.type_url)));
    };
    install(&any.value, builder)
}

/// The bytes of an Any as the message `M`.
pub(super) fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Invalid> {
    M::decode(bytes).map_err(|e| Invalid::new("value", format!("does not decode: {e}")))
}
