//! A message as a JSON body: its headers, its body as text, and for requests what the first line says.
//!
//! Of a repeated header or parameter the single maps show the last value, and the `multiValue` maps hold those that
//! repeat only.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use portcullis_shared::percent;
use serde_json::{Map, Value};

use super::head::Head;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Puts `body` into its envelope. `metadata`: path, method and query too, where this is a request.
pub(super) fn apply(head: &mut dyn Head, body: &mut Bytes, metadata: bool) -> Result<(), String> {
    let mut envelope = Map::new();
    if !body.is_empty() {
        let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8 text".to_owned())?;
        envelope.insert("body".to_owned(), text.into());
    }
    let mut headers = Pairs::default();
    for name in [":method", ":path", ":authority", ":scheme", ":status"] {
        if let Some(value) = head.pseudo(name) {
            headers.add(name.to_owned(), value.into_owned());
        }
    }
    for (name, value) in head.headers() {
        headers.add(name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    envelope.insert("headers".to_owned(), headers.last());
    if let (true, Some(target)) = (metadata, head.pseudo(":path")) {
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut parameters = Pairs::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            parameters.add(percent::decoded(name), percent::decoded(value));
        }
        let method = head.pseudo(":method").unwrap_or_default();
        envelope.insert("multiValueHeaders".to_owned(), headers.repeated());
        envelope.insert("queryString".to_owned(), query.into());
        envelope.insert("httpMethod".to_owned(), method.into());
        envelope.insert("path".to_owned(), path.into());
        envelope.insert("queryStringParameters".to_owned(), parameters.last());
        envelope.insert("multiValueQueryStringParameters".to_owned(), parameters.repeated());
    }
    *body = Value::Object(envelope).to_string().into();
    head.headers_mut().insert(&CONTENT_TYPE, JSON);
    Ok(())
}

/// Values by name, in their order.
#[derive(Default)]
struct Pairs(BTreeMap<String, Vec<String>>);

impl Pairs {
    fn add(&mut self, name: String, value: String) {
        self.0.entry(name).or_default().push(value);
    }

    fn last(&self) -> Value {
        let last = |values: &Vec<String>| Value::from(values.last().map(String::as_str).unwrap_or_default());
        Value::Object(self.0.iter().map(|(name, values)| (name.clone(), last(values))).collect())
    }

    fn repeated(&self) -> Value {
        let repeated = self.0.iter().filter(|(_, values)| values.len() > 1);
        Value::Object(repeated.map(|(name, values)| (name.clone(), values.clone().into())).collect())
    }
}
