//! The canonical document: JSON with sorted keys, canonical field names and nothing that does not count.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portcullis_shared::version::Digest;

use super::super::api::InlineKey;
use super::cx::{Spellings, address};
use super::node::{Meaning, Node, Scalar, Value};

/// What makes a text key material that must not be stored.
const INLINE_KEY_SIGN: &str = "PRIVATE KEY-----";

/// A JSON object that is being put together.
#[derive(Debug, Default)]
pub struct Object(BTreeMap<String, String>);

impl Object {
    /// Adds a text.
    pub fn text(&mut self, key: &str, value: &str) {
        let mut json = String::new();
        quote(&mut json, value);
        self.json(key, json);
    }

    /// Adds a map of texts, unless it is empty.
    pub fn map(&mut self, key: &str, map: &BTreeMap<String, String>) {
        if map.is_empty() {
            return;
        }
        let mut object = Object::default();
        map.iter().for_each(|(key, value)| object.text(key, value));
        self.json(key, object.finish());
    }

    /// Adds finished JSON.
    pub fn json(&mut self, key: &str, json: String) {
        self.0.insert(key.to_owned(), json);
    }

    /// The JSON text.
    pub fn finish(self) -> String {
        let mut out = String::from("{");
        for (index, (key, json)) in self.0.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            quote(&mut out, &key);
            out.push(':');
            out.push_str(&json);
        }
        out.push('}');
        out
    }
}

/// A tree as canonical JSON: what does not count is left out, an inline private key becomes its digest.
pub fn write(node: &Node, spellings: &Spellings) -> String {
    let mut out = String::new();
    put(&mut out, node, spellings);
    out
}

fn put(out: &mut String, node: &Node, spellings: &Spellings) {
    match &node.value {
        Value::Scalar(scalar) => put_scalar(out, scalar),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put(out, item, spellings);
            }
            out.push(']');
        }
        Value::Map(pairs) => {
            let mut object = Object::default();
            for pair in pairs.iter().filter(|pair| !pair.value.is_null()) {
                let key = match spellings.get(&address(pair)) {
                    Some(Some(name)) => name,
                    Some(None) => continue,
                    None => pair.key.as_str(),
                };
                let mut json = String::new();
                put(&mut json, &pair.value, spellings);
                object.json(key, json);
            }
            out.push_str(&object.finish());
        }
    }
}

fn put_scalar(out: &mut String, scalar: &Scalar) {
    match scalar.meaning {
        Meaning::Null => out.push_str("null"),
        Meaning::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Meaning::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Meaning::Float(value) if value.is_finite() => {
            let _ = write!(out, "{value}");
        }
        Meaning::Float(_) => quote(out, &scalar.text),
        Meaning::Text if scalar.text.contains(INLINE_KEY_SIGN) => {
            quote(out, &format!("{}{}", InlineKey::MARK, Digest::of(scalar.text.as_bytes())));
        }
        Meaning::Text => quote(out, &scalar.text),
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{85}') => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
