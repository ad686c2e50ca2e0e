//! Values of expressions, and how they compare and print.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::number::Numeric;

/// A value, borrowed from the message, the context or the template where it can be.
#[derive(Debug, Clone)]
pub(super) enum Val<'r> {
    Text(Cow<'r, str>),
    Json(Cow<'r, Value>),
}

impl<'r> Val<'r> {
    pub(super) fn borrowed(value: &'r Value) -> Self {
        Self::Json(Cow::Borrowed(value))
    }

    pub(super) fn owned(value: impl Into<Value>) -> Self {
        Self::Json(Cow::Owned(value.into()))
    }

    pub(super) fn empty() -> Self {
        Self::Text(Cow::Borrowed(""))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(value) => value.as_str(),
        }
    }

    /// What it is when it is no text.
    pub(super) fn json(&self) -> &Value {
        match self {
            Self::Json(value) => value,
            Self::Text(_) => &Value::Null,
        }
    }

    pub(super) fn number(&self) -> Option<Numeric> {
        match self {
            Self::Json(value) => value.as_number().map(Numeric::of),
            Self::Text(_) => None,
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Json(value) => value.into_owned(),
        }
    }

    /// Whether a copy would have to be made of it.
    pub(super) fn into_cow(self) -> Cow<'r, Value> {
        match self {
            Self::Text(text) => Cow::Owned(Value::String(text.into_owned())),
            Self::Json(value) => value,
        }
    }

    pub(super) fn truthy(&self) -> bool {
        match self.text() {
            Some(text) => !text.is_empty(),
            None => match self.json() {
                Value::Null => false,
                Value::Bool(value) => *value,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(text) => !text.is_empty(),
                Value::Array(list) => !list.is_empty(),
                Value::Object(map) => !map.is_empty(),
            },
        }
    }

    /// "a text", "a number".
    pub(super) fn describe(&self) -> &'static str {
        match (self.text(), self.json()) {
            (Some(_), _) => "a text",
            (_, Value::Null) => "null",
            (_, Value::Bool(_)) => "a boolean",
            (_, Value::Number(_)) => "a number",
            (_, Value::String(_)) => "a text",
            (_, Value::Array(_)) => "a list",
            (_, Value::Object(_)) => "an object",
        }
    }

    /// Order of values; of different types, that of the types.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.text(), other.text()) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => TEXT.cmp(&rank(other.json())),
            (None, Some(_)) => rank(self.json()).cmp(&TEXT),
            (None, None) => compare(self.json(), other.json()),
        }
    }
}

const TEXT: u8 = 5;

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::Object(_) => 3,
        Value::Array(_) => 4,
        Value::String(_) => TEXT,
    }
}

/// Order of JSON values; numbers by what they are worth.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (Numeric::of(a), Numeric::of(b)) {
            (Numeric::Whole(a), Numeric::Whole(b)) => a.cmp(&b),
            (a, b) => a.float().total_cmp(&b.float()),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne()).unwrap_or(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .zip(b)
            .map(|((key, a), (other, b))| key.cmp(other).then_with(|| compare(a, b)))
            .find(|o| o.is_ne())
            .unwrap_or(a.len().cmp(&b.len())),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// How much there is to copy, in steps.
pub(super) fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => (text.len() as u64 / 64).saturating_add(1),
        Value::Array(list) => list.iter().map(weight).sum::<u64>().saturating_add(1),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.len() as u64 / 64).saturating_add(weight(value))).sum::<u64>()
                + 1
        }
        _ => 1,
    }
}

/// A value as JSON text, keys in order.
pub fn dump(value: &Value) -> String {
    value.to_string()
}

/// A text as it stands inside a JSON string, without the quotes.
pub(super) fn escaped(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// The value at a path of keys and indexes.
pub(super) fn descend<'v>(value: &'v Value, path: &[Box<str>]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, part| member(value, part))
}

/// A member of an object or list.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(name),
        Value::Array(list) => name.parse::<usize>().ok().and_then(|index| list.get(index)),
        _ => None,
    }
}

/// Reads a body as JSON.
///
/// # Errors
/// Why it is none, in one line.
pub fn parse_body(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
}
