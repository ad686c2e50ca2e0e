//! Trees to types: a lenient serde deserializer that collects every error with its place.

mod base64;
mod canonical;
mod catalogue;
mod cx;
mod de;
mod fields;
mod hint;
pub(super) mod node;
mod resolve;
pub(super) mod yaml;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::finding::{Finding, Location};
use super::positions;
use node::Node;

pub(crate) use base64::decode as decode_base64;
pub(super) use canonical::{Object as CanonicalObject, write as write_canonical};
pub(super) use hint::nearest;

/// Errors of one document beyond which it is not read further.
const ERROR_LIMIT: usize = 100;

/// What came out of a tree.
pub(super) struct Decoded<T> {
    /// The value, as far as it is right; `None` when nothing of it is.
    pub value: Option<T>,
    /// What was found, in the order of the text.
    pub findings: Vec<Finding>,
    /// Where the fields stand.
    pub positions: positions::Builder,
    /// How the canonical document differs from the tree.
    pub spellings: cx::Spellings,
}

/// Decodes a message. `prefix` is the path of the tree within its document.
///
/// A derived implementation stops at its first error. To find all of them the tree is decoded again without the values
/// that were found wrong, until nothing new is wrong; values are wrong seldom, so this costs nothing where it counts.
pub(super) fn decode<T: DeserializeOwned>(root: &Node, prefix: &str, file: &Arc<Path>) -> Decoded<T> {
    let mut bad = HashSet::new();
    let mut failures = Vec::new();
    loop {
        let cx = cx::Cx::new(file.clone(), prefix, bad.clone());
        let result = T::deserialize(de::De::new(root, &cx)).map_err(|fail| cx.placed(root, fail));
        let (mut findings, positions, spellings) = cx.finish();
        let (value, again) = match result {
            Ok(value) => (Some(value), false),
            Err(fail) => {
                let again = match fail.at {
                    Some(place) => {
                        let (line, column) = place.position;
                        let location = Location { file: file.clone(), line, column };
                        failures.push(Finding::error(place.path, fail.message).at(location));
                        place.node != cx::address(root) && bad.insert(place.node)
                    }
                    None => false,
                };
                (None, again)
            }
        };
        if !again || failures.len() >= ERROR_LIMIT {
            findings.append(&mut failures);
            findings.sort_by_key(|finding| finding.location.as_ref().map(|at| (at.line, at.column)));
            return Decoded { value, findings, positions, spellings };
        }
    }
}
