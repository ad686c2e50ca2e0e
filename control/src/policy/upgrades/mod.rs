//! `upgrades`: whether requests of a route may change to another protocol, or make tunnels.

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Levels, Policy};
use crate::ir;
use crate::resource::ProtocolUpgradeConfig;
use crate::translate::Notes;

/// The policy.
pub struct Upgrades;

impl Policy for Upgrades {
    fn option(&self) -> &'static str {
        "upgrades"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let found = levels.in_route("upgrades", |options| options.upgrades.as_ref())?;
        let mut lowered = wire::Upgrade::default();
        for (at, upgrade) in found.value.iter().enumerate() {
            let (name, place, spec) = match upgrade {
                ProtocolUpgradeConfig { websocket: Some(spec), .. } => {
                    ("websocket", &mut lowered.websocket, spec)
                }
                ProtocolUpgradeConfig { connect: Some(spec), .. } => ("CONNECT", &mut lowered.connect, spec),
                ProtocolUpgradeConfig { connect_terminate: Some(spec), .. } => {
                    lowered.connect_terminates = true;
                    // One type: what comes is a CONNECT either way.
                    ("CONNECT", &mut lowered.connect, spec)
                }
                _ => {
                    let text = "upgrades: a type is needed: websocket, connect or connectTerminate";
                    found.error(notes, &format!("[{at}]"), text);
                    continue;
                }
            };
            if place.is_some() {
                found.error(notes, &format!("[{at}]"), format!("upgrade config {name} is not unique"));
            }
            *place = Some(spec.enabled.unwrap_or(true));
        }
        (lowered != wire::Upgrade::default()).then(|| super::wire(&lowered))
    }
}
