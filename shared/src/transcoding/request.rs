//! From JSON, or from any bytes where the method takes `google.api.HttpBody`, to messages.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{BodyRule, Call, field};

/// Fields that a message does not have are left out: a client may be newer than its server.
const LENIENT: DeserializeOptions = DeserializeOptions::new().deny_unknown_fields(false);

/// The type whose content is an HTTP body as it is.
const HTTP_BODY: &str = "google.api.HttpBody";

impl Call {
    /// The body is taken as it is, whatever it is.
    #[must_use]
    pub fn takes_raw(&self) -> bool {
        match &self.rule.body {
            BodyRule::Nothing => false,
            BodyRule::Message => is_http_body(&self.rule.method.descriptor.input()),
            BodyRule::Field(field) => is_http_body_field(field),
        }
    }

    /// The body is looked at.
    #[must_use]
    pub fn takes_body(&self) -> bool {
        self.rule.body != BodyRule::Nothing
    }

    /// The message for a JSON body; no body at all is an empty message.
    ///
    /// # Errors
    /// The body is no JSON of that message. The text is for the client.
    pub fn message(&self, json: &[u8]) -> Result<Vec<u8>, String> {
        let input = self.rule.method.descriptor.input();
        let empty = json.is_empty();
        let mut message = match &self.rule.body {
            BodyRule::Message if !empty => parsed(&input, json)?,
            BodyRule::Field(field) if !empty => field_of(&input, field, json)?,
            _ => DynamicMessage::new(input),
        };
        field::apply(&self.bindings, &mut message);
        Ok(message.encode_to_vec())
    }

    /// The message for a body that is taken as it is. What path and query say goes with the first one of a stream.
    #[must_use]
    pub fn raw_message(&self, body: Bytes, content_type: &str, first: bool) -> Vec<u8> {
        let mut message = DynamicMessage::new(self.rule.method.descriptor.input());
        match &self.rule.body {
            BodyRule::Field(field) => {
                if let Value::Message(inner) = message.get_field_mut(field) {
                    fill(inner, body, content_type, first);
                }
            }
            BodyRule::Nothing | BodyRule::Message => fill(&mut message, body, content_type, first),
        }
        if first {
            field::apply(&self.bindings, &mut message);
        }
        message.encode_to_vec()
    }
}

pub(super) fn is_http_body(message: &MessageDescriptor) -> bool {
    message.full_name() == HTTP_BODY
}

pub(super) fn is_http_body_field(field: &FieldDescriptor) -> bool {
    !field.is_list() && field.kind().as_message().is_some_and(is_http_body)
}

fn fill(message: &mut DynamicMessage, body: Bytes, content_type: &str, first: bool) {
    // A descriptor that calls something else an HttpBody gets an empty one.
    if first && !content_type.is_empty() {
        let _ = message.try_set_field_by_name("content_type", Value::String(content_type.to_owned()));
    }
    let _ = message.try_set_field_by_name("data", Value::Bytes(body));
}

fn parsed(message: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, String> {
    let bad = |error: serde_json::Error| format!("the body is no {}: {error}", message.full_name());
    let mut reader = serde_json::Deserializer::from_slice(json);
    let parsed = DynamicMessage::deserialize_with_options(message.clone(), &mut reader, &LENIENT);
    let parsed = parsed.map_err(bad)?;
    reader.end().map_err(bad)?;
    Ok(parsed)
}

/// A message whose one field is the body.
fn field_of(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    json: &[u8],
) -> Result<DynamicMessage, String> {
    let mut whole = DynamicMessage::new(message.clone());
    if let (Kind::Message(inner), false, false) = (field.kind(), field.is_list(), field.is_map()) {
        let value = Value::Message(parsed(&inner, json)?);
        whole.try_set_field(field, value).map_err(|error| error.to_string())?;
        return Ok(whole);
    }
    let bad = |error: serde_json::Error| format!("the body is no \"{}\": {error}", field.name());
    let value: serde_json::Value = serde_json::from_slice(json).map_err(bad)?;
    let object = serde_json::Value::Object([(field.json_name().to_owned(), value)].into_iter().collect());
    DynamicMessage::deserialize_with_options(message.clone(), object, &LENIENT).map_err(bad)
}
