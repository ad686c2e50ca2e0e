//! `envoyMetadata` of routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A free object for each namespace.
pub type EnvoyMetadata = BTreeMap<String, Map<String, Value>>;
