//! From messages to JSON, or to any bytes where the method gives `google.api.HttpBody`.

use std::collections::HashSet;

use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    SerializeOptions, Value,
};
use serde::Serialize as _;
use serde_json::ser::{CompactFormatter, PrettyFormatter, Serializer};
use thiserror::Error;

use crate::percent;

use super::request::{is_http_body, is_http_body_field};
use super::{Call, PrintOptions};

/// Messages within messages, those in an `Any` included.
pub const MAX_DEPTH: usize = 100;

const ANY: &str = "google.protobuf.Any";

/// Why a message has no JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unprintable {
    /// The bytes are not such a message.
    #[error("the answer is no {0}: {1}")]
    Undecodable(String, String),
    /// An `Any` of an unknown type, a time out of range, or such.
    #[error("the answer has no form as JSON: {0}")]
    NoForm(String),
    /// Messages within messages within messages.
    #[error("the answer is nested too deeply")]
    TooDeep,
}

/// How JSON is written.
pub(super) struct Printer {
    options: SerializeOptions,
    whitespace: bool,
    empty_fields: bool,
    /// For details of a status, where the descriptor has it.
    any: Option<MessageDescriptor>,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Printer {
    pub(super) fn new(print: PrintOptions, pool: &DescriptorPool) -> Self {
        let options = SerializeOptions::new()
            .skip_default_fields(!print.empty_fields)
            .use_enum_numbers(print.enum_numbers)
            .use_proto_field_name(print.proto_names);
        Self {
            options,
            whitespace: print.whitespace,
            empty_fields: print.empty_fields,
            any: any_of(pool.clone()),
        }
    }

    fn write(&self, message: &DynamicMessage) -> Result<Vec<u8>, Unprintable> {
        let mut out = Vec::new();
        self.text(
            &mut out,
            |serializer| message.serialize_with_options(serializer, &self.options),
            |serializer| message.serialize_with_options(serializer, &self.options),
        )?;
        Ok(self.ended(out))
    }

    fn write_value(&self, value: &serde_json::Value) -> Result<Vec<u8>, Unprintable> {
        let mut out = Vec::new();
        self.text(
            &mut out,
            |serializer| value.serialize(serializer),
            |serializer| value.serialize(serializer),
        )?;
        Ok(self.ended(out))
    }

    /// What stands on lines of its own ends the last one.
    fn ended(&self, mut out: Vec<u8>) -> Vec<u8> {
        if self.whitespace {
            out.push(b'\n');
        }
        out
    }

    /// Two closures for what is one: the formatters are two types.
    fn text<'o>(
        &self,
        out: &'o mut Vec<u8>,
        pretty: impl FnOnce(&mut Serializer<&'o mut Vec<u8>, PrettyFormatter<'static>>) -> serde_json::Result<()>,
        compact: impl FnOnce(&mut Serializer<&'o mut Vec<u8>, CompactFormatter>) -> serde_json::Result<()>,
    ) -> Result<(), Unprintable> {
        let written = if self.whitespace {
            pretty(&mut Serializer::with_formatter(out, PrettyFormatter::with_indent(b" ")))
        } else {
            compact(&mut Serializer::new(out))
        };
        written.map_err(|error| Unprintable::NoForm(error.to_string()))
    }

    fn value(&self, message: &DynamicMessage) -> Result<serde_json::Value, Unprintable> {
        message
            .serialize_with_options(serde_json::value::Serializer, &self.options)
            .map_err(|error| Unprintable::NoForm(error.to_string()))
    }
}

/// `Any` in the descriptor, which is given it where it has none.
fn any_of(mut pool: DescriptorPool) -> Option<MessageDescriptor> {
    if let Some(any) = pool.get_message_by_name(ANY) {
        return Some(any);
    }
    let global = DescriptorPool::global();
    let file = global.get_message_by_name(ANY)?.parent_file().file_descriptor_proto().clone();
    pool.add_file_descriptor_proto(file).ok()?;
    pool.get_message_by_name(ANY)
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Call {
    /// The answer is bytes as they are.
    #[must_use]
    pub fn gives_raw(&self) -> bool {
        match &self.rule.response {
            None => is_http_body(&self.rule.method.descriptor.output()),
            Some(field) => is_http_body_field(field),
        }
    }

    /// A message of the answer as JSON.
    ///
    /// # Errors
    /// It has none.
    pub fn json(&self, message: Bytes) -> Result<Vec<u8>, Unprintable> {
        let message = self.decoded(message)?;
        let Some(field) = &self.rule.response else { return self.printer.write(&message) };
        if let (Value::Message(inner), false) = (&*message.get_field(field), field.is_list()) {
            return self.printer.write(inner);
        }
        // Only messages can be written: this field is taken out of one that has nothing else.
        let mut only = DynamicMessage::new(message.descriptor());
        let set = only.try_set_field(field, message.get_field(field).into_owned());
        set.map_err(|error| Unprintable::NoForm(error.to_string()))?;
        let printed = self.printer.value(&only)?;
        let value = [field.json_name(), field.name()].into_iter().find_map(|name| printed.get(name).cloned());
        self.printer.write_value(&value.unwrap_or_else(|| empty(field)))
    }

    /// A message of the answer as its content type, where it has one, and its bytes.
    ///
    /// # Errors
    /// It is not such a message.
    pub fn raw(&self, message: Bytes) -> Result<(Option<String>, Bytes), Unprintable> {
        let message = self.decoded(message)?;
        let body = self.rule.response.as_ref().map(|field| message.get_field(field));
        let body = match &body {
            None => &message,
            Some(value) => match &**value {
                Value::Message(body) => body,
                _ => return Ok((None, Bytes::new())),
            },
        };
        let content_type =
            body.get_field_by_name("content_type").and_then(|it| it.as_str().map(str::to_owned));
        let data = body.get_field_by_name("data").and_then(|it| it.as_bytes().cloned());
        Ok((content_type.filter(|it| !it.is_empty()), data.unwrap_or_default()))
    }

    fn decoded(&self, message: Bytes) -> Result<DynamicMessage, Unprintable> {
        let output = self.rule.method.descriptor.output();
        let decoded = DynamicMessage::decode(output.clone(), message)
            .map_err(|error| Unprintable::Undecodable(output.full_name().to_owned(), error.to_string()))?;
        match self.rule.method.answers_any && !is_flat(&decoded, MAX_DEPTH) {
            true => Err(Unprintable::TooDeep),
            false => Ok(decoded),
        }
    }

    /// The status of a call that failed as JSON: what `grpc-status-details-bin` holds, else its code and `grpc-message`.
    /// `None` where its details have no JSON.
    #[must_use]
    pub fn status(&self, details: Option<&[u8]>, code: i32, message: &str) -> Option<Vec<u8>> {
        let details = match details {
            Some(text) => <Status as prost::Message>::decode(&*super::base64::decode(text)?).ok()?,
            None => Status { code, message: percent::decoded(message), details: Vec::new() },
        };
        let mut status = serde_json::Map::new();
        let all = self.printer.empty_fields;
        if all || details.code != 0 {
            status.insert("code".to_owned(), details.code.into());
        }
        if all || !details.message.is_empty() {
            status.insert("message".to_owned(), details.message.into());
        }
        if all || !details.details.is_empty() {
            let any = self.printer.any.as_ref()?;
            let mut list = Vec::new();
            for detail in &details.details {
                let mut message = DynamicMessage::new(any.clone());
                message.transcode_from(detail).ok()?;
                if !is_flat(&message, MAX_DEPTH) {
                    return None;
                }
                list.push(self.printer.value(&message).ok()?);
            }
            status.insert("details".to_owned(), list.into());
        }
        self.printer.write_value(&status.into()).ok()
    }
}

/// What stands for a field that is not there.
fn empty(field: &FieldDescriptor) -> serde_json::Value {
    match field.kind() {
        _ if field.is_list() => serde_json::Value::Array(Vec::new()),
        _ if field.is_map() => serde_json::Value::Object(serde_json::Map::new()),
        Kind::String | Kind::Bytes => "".into(),
        Kind::Bool => false.into(),
        Kind::Double | Kind::Float => 0.into(),
        Kind::Enum(values) => values.default_value().name().into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => "0".into(),
        Kind::Message(_) => serde_json::Value::Null,
        _ => 0.into(),
    }
}

/// Whether a message of this type may have an `Any` somewhere within it.
pub(super) fn may_hold_any(message: &MessageDescriptor) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![message.clone()];
    while let Some(message) = open.pop() {
        if message.full_name() == ANY {
            return true;
        }
        if seen.insert(message.full_name().to_owned()) {
            open.extend(message.fields().filter_map(|field| field.kind().as_message().cloned()));
        }
    }
    false
}

/// No more than `left` messages stand within one another, looking into each `Any`.
fn is_flat(message: &DynamicMessage, left: usize) -> bool {
    let Some(left) = left.checked_sub(1) else { return false };
    if message.descriptor().full_name() == ANY {
        let Ok(any) = message.transcode_to::<prost_types::Any>() else { return true };
        let name = any.type_url.rsplit_once('/').map_or("", |(_, name)| name);
        let Some(inner) = message.descriptor().parent_pool().get_message_by_name(name) else { return true };
        // What cannot be decoded cannot be written either.
        return DynamicMessage::decode(inner, &*any.value).map_or(true, |inner| is_flat(&inner, left));
    }
    message.fields().all(|(_, value)| is_flat_value(value, left))
}

fn is_flat_value(value: &Value, left: usize) -> bool {
    match value {
        Value::Message(message) => is_flat(message, left),
        Value::List(list) => list.iter().all(|value| is_flat_value(value, left)),
        Value::Map(map) => map.values().all(|value| is_flat_value(value, left)),
        _ => true,
    }
}
