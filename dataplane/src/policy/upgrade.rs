//! Whether requests of a route may change to another protocol. A setting of the engine, which makes the tunnel.

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Upgrade";

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upgrade {
    websocket: Option<bool>,
    /// CONNECT; `None` = the listener decides.
    pub connect: Option<bool>,
    /// A CONNECT ends here: the upstream gets what comes through it, and no header.
    pub terminates: bool,
}

impl Upgrade {
    /// What the route says about a protocol, in lower case; `None` = nothing.
    #[must_use]
    pub fn allows(&self, protocol: &str) -> Option<bool> {
        self.websocket.filter(|_| protocol == "websocket")
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Upgrade = registry::decode(bytes)?;
    builder.upgrade(Upgrade {
        websocket: wire.websocket,
        connect: wire.connect,
        terminates: wire.connect_terminates,
    });
    Ok(())
}
