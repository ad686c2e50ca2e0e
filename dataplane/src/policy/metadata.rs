//! Values that policies leave for later ones and for the access log: Envoy's dynamic metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

/// By namespace and key; a slot of the request.
#[derive(Debug, Clone, Default)]
pub struct DynamicMetadata(BTreeMap<Box<str>, BTreeMap<Box<str>, Value>>);

impl DynamicMetadata {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.0.get(namespace)?.get(key)
    }

    /// The value at `namespace:key:..`, texts as they are and everything else as JSON.
    #[must_use]
    pub fn shown(&self, path: &str) -> Option<Cow<'_, str>> {
        let mut parts = path.split(':');
        let all = self.0.get(parts.next()?)?;
        let Some(key) = parts.next() else {
            return Some(Cow::Owned(serde_json::json!(all).to_string()));
        };
        let found = parts.try_fold(all.get(key)?, |value, part| value.get(part))?;
        Some(found.as_str().map_or_else(|| Cow::Owned(found.to_string()), Cow::Borrowed))
    }

    /// Sets a key.
    pub fn set(&mut self, namespace: &str, key: &str, value: Value) {
        self.0.entry(namespace.into()).or_default().insert(key.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_by_path() {
        let mut metadata = DynamicMetadata::default();
        metadata.set("ns", "text", json!("a"));
        metadata.set("ns", "deep", json!({ "b": {"c": 1} }));
        let shown = |path| metadata.shown(path).map(Cow::into_owned);
        assert_eq!(shown("ns:text").as_deref(), Some("a"));
        assert_eq!(shown("ns:deep:b").as_deref(), Some(r#"{"c":1}"#));
        assert_eq!(shown("ns:deep:b:c").as_deref(), Some("1"));
        assert_eq!(shown("ns").as_deref(), Some(r#"{"deep":{"b":{"c":1}},"text":"a"}"#));
        assert_eq!((shown("ns:no"), shown("no:text"), shown("ns:deep:x")), (None, None, None));
    }
}
