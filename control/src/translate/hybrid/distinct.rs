//! Parts of a hybrid gateway that claim the same connections: one of them keeps them.

use std::collections::BTreeSet;

use portcullis_shared::routing::{ChainIndex, ChainMatch};
use portcullis_shared::table::ServerName;

use super::super::cx::Cx;
use super::super::gateway::Side;
use super::super::notes::Notes;
use super::Placed;
use crate::resource::ObjectRef;

/// The parts without those whose connections another one takes. Chains of VirtualServices come to it later.
pub fn distinct(cx: &mut Cx<'_>, gateway: &ObjectRef, parts: Vec<Placed>, notes: &mut Notes) -> Vec<Side> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    let mut index = ChainIndex::default();
    let contested = (0..).zip(&parts).any(|(at, part)| claim(&mut index, part, at).is_err());
    if contested {
        // What was accepted first keeps what it has.
        order.sort_by_cached_key(|at| {
            parts.get(*at).filter(|part| part.owner != *gateway).map(|part| cx.seniority(&part.owner))
        });
    }
    let mut index = ChainIndex::default();
    let mut lost = BTreeSet::new();
    for at in order {
        let Some(part) = parts.get(at) else { continue };
        let Err((what, by)) = claim(&mut index, part, at) else { continue };
        lost.insert(at);
        let holder = parts.get(by).filter(|by| by.owner != part.owner);
        let whose = match holder {
            Some(holder) => {
                format!("{} {}.{}", holder.owner.kind, holder.owner.namespace, holder.owner.name)
            }
            None => parts.get(by).map(|holder| holder.path.clone()).unwrap_or_default(),
        };
        let text = format!(
            "multiple filter chains with the same FilterChainMatch: {what} is already served by {whose}"
        );
        notes.error(&part.owner, format!("{}.matcher", part.path), text);
        if let Some(holder) = holder {
            let text = format!(
                "multiple filter chains with the same FilterChainMatch: {what} is also claimed by {} {}.{}, which is \
                 rejected: this one keeps it",
                part.owner.kind, part.owner.namespace, part.owner.name
            );
            notes.warning(&holder.owner, format!("{}.matcher", holder.path), text);
        }
    }
    let kept = parts.into_iter().enumerate().filter(|(at, _)| !lost.contains(at));
    kept.map(|(_, part)| part.side).collect()
}

/// Takes the connections of the chains that a part has without VirtualServices. An error says which of them are taken, and
/// by whom.
fn claim(index: &mut ChainIndex<usize>, part: &Placed, at: usize) -> Result<(), (String, usize)> {
    for (names, sources) in part.side.fixed() {
        let parsed: Vec<ServerName> = names.iter().filter_map(|name| ServerName::parse(name).ok()).collect();
        let matching = ChainMatch { server_names: &parsed, source_prefixes: sources };
        if let Err(taken) = index.insert(matching, at) {
            let name = taken.name.and_then(|name| parsed.get(name));
            let name = name.map_or_else(|| "every server name".to_owned(), |name| format!("[{name}]"));
            let from = taken.prefix.map(|prefix| format!(" from {prefix}")).unwrap_or_default();
            return Err((format!("{name}{from}"), taken.by));
        }
    }
    Ok(())
}
