//! Values that policies leave for later ones and for the access log: Envoy's dynamic metadata.

use std::collections::BTreeMap;

use serde_json::Value;

/// By namespace and key; a slot of the request.
#[derive(Debug, Default)]
pub struct DynamicMetadata(BTreeMap<Box<str>, BTreeMap<Box<str>, Value>>);

impl DynamicMetadata {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.0.get(namespace)?.get(key)
    }

    /// Sets a key.
    pub fn set(&mut self, namespace: &str, key: &str, value: Value) {
        self.0.entry(namespace.into()).or_default().insert(key.into(), value);
    }
}
