//! References between resources.

use serde::Deserialize;

/// `{name, namespace}`; an empty namespace means the one of the resource that holds the reference, where that is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ref {
    /// Name of the resource.
    pub name: String,
    /// Its namespace, or empty.
    pub namespace: String,
}

/// A message without fields: its presence is its meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Empty {}
