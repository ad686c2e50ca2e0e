//! How HTTP is spoken to an upstream.

use portcullis_proto::table::v1 as wire;

use crate::Invalid;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamHttp {
    /// HTTP/1 has trailers.
    pub trailers: bool,
}

impl TryFrom<wire::UpstreamHttp> for UpstreamHttp {
    type Error = Invalid;

    fn try_from(wire: wire::UpstreamHttp) -> Result<Self, Invalid> {
        Ok(Self { trailers: wire.trailers })
    }
}
