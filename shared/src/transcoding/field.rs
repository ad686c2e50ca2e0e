//! Fields that a path or a query names, and texts made their values.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::base64;

/// A value for one field of the request, as the path or the query gives it.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    field: Vec<FieldDescriptor>,
    value: Value,
}

impl Binding {
    /// # Errors
    /// Why the text is no value of that field.
    pub(super) fn new(field: Vec<FieldDescriptor>, text: &str) -> Result<Self, String> {
        let Some(last) = field.last() else { return Err("no field is named".to_owned()) };
        let value = value(&last.kind(), text)?;
        Ok(Self { field, value })
    }

    fn is_list(&self) -> bool {
        self.field.last().is_some_and(FieldDescriptor::is_list)
    }
}

/// Sets what `bindings` say. What the body has set counts, then the last of them; values of lists are added in order.
pub(super) fn apply(bindings: &[Binding], message: &mut DynamicMessage) {
    let lists = bindings.iter().filter(|binding| binding.is_list());
    let others = bindings.iter().rev().filter(|binding| !binding.is_list());
    for binding in lists.chain(others) {
        set(message, &binding.field, &binding.value);
    }
}

fn set(message: &mut DynamicMessage, path: &[FieldDescriptor], value: &Value) {
    match path {
        [] => {}
        [last] if last.is_list() => {
            if let Value::List(list) = message.get_field_mut(last) {
                list.push(value.clone());
            }
        }
        [last] => {
            if !message.has_field(last) {
                // Checked when the binding was made.
                let _ = message.try_set_field(last, value.clone());
            }
        }
        [first, rest @ ..] => {
            if let Value::Message(inner) = message.get_field_mut(first) {
                set(inner, rest, value);
            }
        }
    }
}

/// The fields that a dotted path names, by their proto or JSON names. Only the last one may be repeated.
///
/// # Errors
/// There is no such field, or it cannot have a text's value.
pub(super) fn resolve<'n>(
    message: &MessageDescriptor,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<Vec<FieldDescriptor>, String> {
    let mut within = Some(message.clone());
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    for name in names {
        if let Some(above) = fields.last().filter(|above| above.is_list() || above.is_map()) {
            return Err(format!("the field \"{}\" is repeated", above.name()));
        }
        let Some(message) = within else {
            let above = fields.last().map_or("", FieldDescriptor::name);
            return Err(format!("the field \"{above}\" is not a message"));
        };
        let found = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
        let field =
            found.ok_or_else(|| format!("there is no field \"{name}\" in \"{}\"", message.full_name()))?;
        within = field.kind().as_message().cloned();
        fields.push(field);
    }
    Ok(fields)
}

/// Whether a text can stand for a value of this field.
pub(super) fn takes_text(field: &FieldDescriptor) -> bool {
    !field.is_map() && field.kind().as_message().is_none_or(|message| well_known(message).is_some())
}

enum WellKnown {
    /// One field that holds the value.
    Wrapper(FieldDescriptor),
    /// JSON has a text for it.
    Text,
}

fn well_known(message: &MessageDescriptor) -> Option<WellKnown> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    match name {
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
        | "BoolValue" | "StringValue" | "BytesValue" => message.get_field(1).map(WellKnown::Wrapper),
        "Timestamp" | "Duration" | "FieldMask" | "Value" => Some(WellKnown::Text),
        _ => None,
    }
}

fn value(kind: &Kind, text: &str) -> Result<Value, String> {
    fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("\"{text}\" is not {what}"))
    }
    Ok(match kind {
        Kind::Double => Value::F64(float(text)?),
        #[expect(clippy::cast_possible_truncation, reason = "the nearest one is what is meant")]
        Kind::Float => Value::F32(float(text)? as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number(text, "a 32-bit integer")?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number(text, "a 64-bit integer")?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number(text, "an unsigned 32-bit integer")?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number(text, "an unsigned 64-bit integer")?),
        Kind::Bool => Value::Bool(match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => true,
            "false" | "f" | "no" | "n" | "0" => false,
            _ => return Err(format!("\"{text}\" is neither true nor false")),
        }),
        Kind::String => Value::String(text.to_owned()),
        Kind::Bytes => {
            Value::Bytes(base64::decode(text).ok_or_else(|| format!("\"{text}\" is not base64"))?.into())
        }
        Kind::Enum(values) => Value::EnumNumber(match values.get_value_by_name(text) {
            Some(value) => value.number(),
            None => {
                let known = text.parse().ok().filter(|number| values.get_value(*number).is_some());
                known.ok_or_else(|| format!("\"{text}\" is not a value of \"{}\"", values.full_name()))?
            }
        }),
        Kind::Message(message) => Value::Message(match well_known(message) {
            Some(WellKnown::Wrapper(inner)) => {
                let mut wrapper = DynamicMessage::new(message.clone());
                let inner_value = value(&inner.kind(), text)?;
                let set = wrapper.try_set_field(&inner, inner_value);
                set.map_err(|error| error.to_string())?;
                wrapper
            }
            Some(WellKnown::Text) => {
                DynamicMessage::deserialize(message.clone(), serde_json::Value::from(text))
                    .map_err(|error| format!("\"{text}\": {error}"))?
            }
            None => return Err(format!("\"{}\" has no form as text", message.full_name())),
        }),
    })
}

fn float(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(|| format!("\"{text}\" is not a number")),
    }
}
