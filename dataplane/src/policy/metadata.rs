//! Values by namespace and key: what policies leave for later ones and for the access log (Envoy's dynamic metadata, a slot
//! of the request), and what users note on a route (a setting of the plan).

use std::borrow::Cow;
use std::collections::BTreeMap;

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::format::Typed;
use portcullis_shared::invalid::Invalid;
use prost_types::value::Kind;
use serde_json::{Map, Value};

use super::{PlanBuilder, Slots, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Metadata";

/// By namespace and key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<Box<str>, Map<String, Value>>);

impl Metadata {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.0.get(namespace)?.get(key)
    }

    /// The value at the end of `keys`, which lead from a namespace into objects.
    pub fn find<'k>(&self, namespace: &str, keys: impl IntoIterator<Item = &'k str>) -> Option<&Value> {
        let mut keys = keys.into_iter();
        let first = self.get(namespace, keys.next()?)?;
        keys.try_fold(first, |value, key| value.as_object()?.get(key))
    }

    /// The value at `namespace:key:..`, texts as they are and everything else as JSON.
    #[must_use]
    pub fn shown(&self, path: &str) -> Typed<'_> {
        let mut parts = path.split(':');
        let Some(all) = parts.next().and_then(|namespace| self.0.get(namespace)) else {
            return Typed::Absent;
        };
        let Some(key) = parts.next() else {
            return Typed::Json(Cow::Owned(serde_json::json!(all).to_string()));
        };
        let found = all.get(key).and_then(|first| parts.try_fold(first, |value, part| value.get(part)));
        match found {
            None => Typed::Absent,
            Some(Value::String(text)) => Typed::Text(Cow::Borrowed(text)),
            Some(value) => Typed::Json(Cow::Owned(value.to_string())),
        }
    }

    /// Sets a key.
    pub fn set(&mut self, namespace: &str, key: &str, value: Value) {
        self.0.entry(namespace.into()).or_default().insert(key.into(), value);
    }

    /// Notes a value for the rest of the request.
    pub fn note(slots: &mut Slots, namespace: &str, key: &str, value: Value) {
        if slots.get::<Metadata>().is_none() {
            slots.put(Metadata::default());
        }
        if let Some(all) = slots.get_mut::<Metadata>() {
            all.set(namespace, key, value);
        }
    }

    /// Notes all fields of a server's answer.
    pub fn note_all(slots: &mut Slots, namespace: &str, fields: prost_types::Struct) {
        for (key, value) in fields.fields {
            Metadata::note(slots, namespace, &key, json(value));
        }
    }
}

/// The value as JSON. A number that is whole is shown without a fraction.
fn json(value: prost_types::Value) -> Value {
    /// Below this every whole number has a form of its own.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::StringValue(text)) => text.into(),
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < WHOLE => {
            (number as i64).into()
        }
        Some(Kind::NumberValue(number)) => number.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
        Some(Kind::StructValue(object)) => {
            object.fields.into_iter().map(|(key, value)| (key, json(value))).collect()
        }
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Metadata = registry::decode(bytes)?;
    let one = |(i, it): (usize, proto::MetadataNamespace)| match serde_json::from_str(&it.json) {
        Ok(Value::Object(fields)) => Ok((it.name.into(), fields)),
        _ => Err(Invalid::new(format!("namespaces[{i}].json"), "is not a JSON object")),
    };
    let namespaces = wire.namespaces.into_iter().enumerate().map(one);
    builder.metadata(Metadata(namespaces.collect::<Result<_, _>>()?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_by_path() {
        let mut metadata = Metadata::default();
        metadata.set("ns", "text", json!("a"));
        metadata.set("ns", "deep", json!({ "b": {"c": 1} }));
        let shown = |path| format!("{:?}", metadata.shown(path));
        assert_eq!(shown("ns:text"), r#"Text("a")"#);
        assert_eq!(shown("ns:deep:b"), r#"Json("{\"c\":1}")"#);
        assert_eq!(shown("ns:deep:b:c"), r#"Json("1")"#);
        assert_eq!(shown("ns"), r#"Json("{\"deep\":{\"b\":{\"c\":1}},\"text\":\"a\"}")"#);
        assert_eq!([shown("ns:no"), shown("no:text"), shown("ns:deep:x")], ["Absent"; 3]);
        assert_eq!(metadata.find("ns", ["deep", "b", "c"]), Some(&json!(1)));
        assert_eq!(metadata.find("ns", ["text", "b"]), None);
        assert_eq!(metadata.find("ns", []), None);
    }

    #[test]
    fn what_a_server_says_is_noted_field_by_field() {
        let text = |text: &str| prost_types::Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let number = |number| prost_types::Value { kind: Some(Kind::NumberValue(number)) };
        let mut slots = Slots::default();
        Metadata::note(&mut slots, "ns", "kept", json!(true));
        let fields =
            [("a".to_owned(), text("x")), ("n".to_owned(), number(3.0)), ("f".to_owned(), number(0.5))];
        Metadata::note_all(&mut slots, "ns", prost_types::Struct { fields: fields.into() });
        let noted: &Metadata = slots.get().expect("noted");
        assert_eq!(
            format!("{:?}", noted.shown("ns")),
            r#"Json("{\"a\":\"x\",\"f\":0.5,\"kept\":true,\"n\":3}")"#
        );
    }

    #[test]
    fn what_a_route_has_is_an_object_for_each_namespace() {
        use prost::Message as _;
        let wire = |json: &str| proto::Metadata {
            namespaces: vec![proto::MetadataNamespace { name: "ns".into(), json: json.into() }],
        };
        let mut builder = PlanBuilder::default();
        install(&wire(r#"{"a":{"b":"c"}}"#).encode_to_vec(), &mut builder).expect("valid");
        let plan = builder.plan();
        assert_eq!(plan.metadata.expect("there").find("ns", ["a", "b"]), Some(&json!("c")));
        let error = install(&wire("[]").encode_to_vec(), &mut builder).expect_err("no object");
        assert_eq!(error.path, "namespaces[0].json");
    }
}
