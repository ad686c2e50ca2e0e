//! `upgrades`: whether requests of a route may change to another protocol.

use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Levels, Policy};
use crate::ir;
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
        let mut websocket = None;
        for (at, upgrade) in found.value.iter().enumerate() {
            match &upgrade.websocket {
                Some(_) if websocket.is_some() => {
                    found.error(notes, &format!("[{at}]"), "upgrades: websocket stands there twice");
                }
                Some(spec) => websocket = Some(spec.enabled.unwrap_or(true)),
                None => found.error(notes, &format!("[{at}]"), "upgrades: a protocol is needed: websocket"),
            }
        }
        websocket.map(|_| super::wire(&wire::Upgrade { websocket }))
    }
}
