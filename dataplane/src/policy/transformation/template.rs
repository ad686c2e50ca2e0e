//! A transformation by templates, compiled once when the table is built.
//!
//! The body's JSON is read first, then the extractors; the new body and the metadata come of what the message was, then
//! the headers are set one after the other, removed, added to, and last the new body takes its place.

use std::borrow::Cow;
use std::cell::RefCell;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::template::{self, Extractor, Message, Mode, Notation, Template};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};

use super::head::{self, Field, Head};
use crate::policy::metadata;

/// Name that a transformation gives the span of a request; a slot.
#[derive(Debug)]
pub struct SpanName(pub String);

#[derive(Debug)]
pub(super) struct TemplateTransform {
    advanced: bool,
    leave_unparsed: bool,
    ignore_parse_error: bool,
    extractors: Extractors,
    set: Box<[(Field, Template)]>,
    remove: Box<[http::HeaderName]>,
    append: Box<[(Field, Template)]>,
    body: BodyForm,
    metadata: Box<[Metadata]>,
    span: Option<Template>,
}

/// By name.
type Extractors = Box<[(Box<str>, Source, Extractor)]>;

#[derive(Debug)]
enum Source {
    Header(Box<str>),
    Body,
}

#[derive(Debug)]
enum BodyForm {
    /// Left as it is.
    Keep,
    Passthrough,
    Replace(Template),
    MergeExtractors,
    MergeKeys(Box<[(Box<str>, Template, bool)]>),
}

#[derive(Debug)]
struct Metadata {
    namespace: Box<str>,
    key: Box<str>,
    template: Template,
    json: bool,
}

/// The random texts of this request by the pattern that they stand for; a slot.
#[derive(Debug, Default)]
struct Randoms(Vec<(Box<str>, String)>);

/// A message as templates see it.
struct View<'v> {
    head: &'v dyn Head,
    body: Option<&'v str>,
    results: &'v [(&'v str, String)],
    randoms: &'v RefCell<Randoms>,
}

impl Message for View<'_> {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head.get(name)
    }
    fn request_header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head.of_request(name)
    }
    fn extraction(&self, name: &str) -> Option<&str> {
        self.results.iter().find(|(known, _)| *known == name).map(|(_, result)| result.as_str())
    }
    fn body(&self) -> Option<&str> {
        self.body
    }
    fn dynamic_metadata(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.head.slots().get::<metadata::Metadata>()?.get(namespace, key)
    }
    fn random(&self, pattern: &str) -> String {
        let mut randoms = self.randoms.borrow_mut();
        if let Some((_, random)) = randoms.0.iter().find(|(known, _)| **known == *pattern) {
            return random.clone();
        }
        let mut bytes = [0; 16];
        // It may stand for a nonce, so that it must not be guessed.
        let random = match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => BASE64_STANDARD_NO_PAD.encode(bytes),
            Err(_) => String::new(),
        };
        randoms.0.push((pattern.into(), random.clone()));
        random
    }
}

impl TemplateTransform {
    /// Whether the body has to be here, whole, before this can run.
    pub(super) fn reads_body(&self) -> bool {
        match &self.body {
            BodyForm::Passthrough => false,
            BodyForm::Keep => {
                let headers = self.set.iter().chain(&self.append).map(|(_, template)| template);
                let metadata = self.metadata.iter().map(|metadata| &metadata.template);
                headers.chain(metadata).chain(&self.span).any(Template::needs_body)
                    || self.extractors.iter().any(|(_, source, _)| matches!(source, Source::Body))
            }
            _ => true,
        }
    }

    /// Whether a message without a body may have one afterwards.
    pub(super) fn makes_body(&self) -> bool {
        !matches!(self.body, BodyForm::Passthrough | BodyForm::Keep)
    }

    /// Transforms a message. `body` is whole when it is given; else it is on its way and stays as it is.
    pub(super) fn apply(&self, head: &mut dyn Head, mut body: Option<&mut Bytes>) -> Result<(), String> {
        let original = body.as_deref().cloned().unwrap_or_default();
        let text = std::str::from_utf8(&original).ok();
        let mut context = self.context(&original)?;
        let results = self.extract(head, text)?;
        if !self.advanced {
            for (name, result) in &results {
                nest(&mut context, name, result)?;
            }
        }
        let randoms = head.slots_mut().get_mut::<Randoms>().map(std::mem::take).unwrap_or_default();
        let randoms = RefCell::new(randoms);
        let render = |template: &Template, head: &dyn Head| {
            let view = View { head, body: text, results: &results, randoms: &randoms };
            template.render(&context, &view).map_err(|error| error.to_string())
        };

        let new_body = match body {
            Some(_) => self.new_body(&context, |template| render(template, head))?,
            None => None,
        };
        for metadata in &self.metadata {
            let value = render(&metadata.template, head)?;
            if !value.is_empty() {
                store(head, metadata, value);
            }
        }
        if let Some(span) = &self.span {
            let name = render(span, head)?;
            if !name.is_empty() {
                head.slots_mut().put(SpanName(name));
            }
        }
        for (field, template) in &self.set {
            let value = render(template, head)?;
            match field {
                Field::Header(name) if value.trim().is_empty() => head.headers_mut().remove(name),
                Field::Header(name) => head.headers_mut().insert(name, head::value(&value)?),
                field => head.set_pseudo(field, &value)?,
            }
        }
        for name in &self.remove {
            head.headers_mut().remove(name);
        }
        for (field, template) in &self.append {
            let value = render(template, head)?;
            if let (Field::Header(name), false) = (field, value.trim().is_empty()) {
                head.headers_mut().append(name, head::value(&value)?);
            }
        }
        if !randoms.borrow().0.is_empty() {
            head.slots_mut().put(randoms.into_inner());
        }
        if let (Some(body), Some(new)) = (&mut body, new_body) {
            **body = new.into();
        }
        let empty = body.is_some_and(|body| body.is_empty());
        if empty && !matches!(self.body, BodyForm::Passthrough) {
            head.headers_mut().remove(&CONTENT_TYPE);
        }
        Ok(())
    }

    /// The body's JSON.
    fn context(&self, body: &[u8]) -> Result<Value, String> {
        if self.leave_unparsed || body.is_empty() {
            return Ok(Value::Null);
        }
        match template::parse_body(body) {
            Ok(value) => Ok(value),
            Err(_) if self.ignore_parse_error => Ok(Value::Null),
            Err(problem) => Err(problem),
        }
    }

    fn extract(&self, head: &dyn Head, body: Option<&str>) -> Result<Vec<(&str, String)>, String> {
        let mut results = Vec::with_capacity(self.extractors.len());
        for (name, source, extractor) in &self.extractors {
            let text = match source {
                Source::Body => Some(Cow::Borrowed(body.ok_or("the body is not UTF-8 text")?)),
                Source::Header(name) => head.get(name),
            };
            let result = text.map(|text| extractor.apply(&text)).transpose()?.unwrap_or_default();
            results.push((&**name, result));
        }
        Ok(results)
    }

    fn new_body(
        &self,
        context: &Value,
        render: impl Fn(&Template) -> Result<String, String>,
    ) -> Result<Option<String>, String> {
        Ok(match &self.body {
            BodyForm::Keep | BodyForm::Passthrough => None,
            BodyForm::Replace(template) => Some(render(template)?),
            BodyForm::MergeExtractors => Some(template::dump(context)),
            BodyForm::MergeKeys(keys) => {
                let mut merged = context.clone();
                for (key, template, override_empty) in keys {
                    let text = render(template)?;
                    if text.is_empty() && !override_empty {
                        continue;
                    }
                    let value = serde_json::from_str(&text)
                        .map_err(|error| format!("the value of the key {key} is not JSON: {error}"))?;
                    members(&mut merged, key)?.insert(key.to_string(), value);
                }
                Some(template::dump(&merged))
            }
        })
    }
}

/// Puts a text under a name with dots.
fn nest(context: &mut Value, name: &str, text: &str) -> Result<(), String> {
    let mut slot = context;
    for part in name.split('.') {
        slot = members(slot, name)?.entry(part).or_insert(Value::Null);
    }
    *slot = Value::from(text);
    Ok(())
}

/// The members of an object, which null may become.
fn members<'v>(value: &'v mut Value, name: &str) -> Result<&'v mut Map<String, Value>, String> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().ok_or_else(|| format!("{name} cannot be put into a JSON value that is no object"))
}

fn store(head: &mut dyn Head, metadata: &Metadata, text: String) {
    let value = match metadata.json {
        true => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        false => Value::String(text),
    };
    metadata::Metadata::note(head.slots_mut(), &metadata.namespace, &metadata.key, value);
}

/// Compiles the wire form.
pub(super) fn compile(wire: proto::TemplateTransform) -> Result<TemplateTransform, Invalid> {
    let notation = if wire.advanced { Notation::Pointer } else { Notation::Dot };
    let escape = wire.escape;
    let names: Vec<String> = wire.extractors.iter().map(|it| it.name.clone()).collect();
    let extracted = |name: &str| {
        let root = |known: &String| known.split('.').next() == Some(name);
        !wire.advanced && names.iter().any(root)
    };
    let text = |text: &str, field: String| {
        Template::compile(text, notation, escape, extracted).map_err(|error| Invalid::new(field, error))
    };
    let headers = |list: &[proto::HeaderTemplate], field: &str| {
        let one = |(at, header): (usize, &proto::HeaderTemplate)| {
            let name = Field::parse(&header.name)
                .map_err(|problem| Invalid::new(format!("{field}[{at}].name"), problem))?;
            Ok((name, text(&header.text, format!("{field}[{at}].text"))?))
        };
        list.iter().enumerate().map(one).collect::<Result<Box<[_]>, Invalid>>()
    };
    let set = headers(&wire.set, "set")?;
    let append = headers(&wire.append, "append")?;
    let remove = wire.remove.iter().enumerate().map(|(at, name)| match Field::parse(name) {
        Ok(Field::Header(name)) => Ok(name),
        _ => Err(Invalid::new(format!("remove[{at}]"), format!("bad header name \"{name}\""))),
    });
    let metadata = wire.metadata.iter().enumerate().map(|(at, it)| {
        Ok(Metadata {
            namespace: it.namespace.as_str().into(),
            key: it.key.as_str().into(),
            template: text(&it.text, format!("metadata[{at}].text"))?,
            json: it.json,
        })
    });
    let body = match &wire.body {
        None => BodyForm::Keep,
        Some(proto::template_transform::Body::Passthrough(_)) => BodyForm::Passthrough,
        Some(proto::template_transform::Body::MergeExtractors(_)) => BodyForm::MergeExtractors,
        Some(proto::template_transform::Body::Replace(template)) => {
            BodyForm::Replace(text(template, "replace".to_owned())?)
        }
        Some(proto::template_transform::Body::MergeKeys(keys)) => {
            let one = |(at, key): (usize, &proto::KeyTemplate)| {
                let template = text(&key.text, format!("merge_keys.keys[{at}].text"))?;
                Ok((key.key.as_str().into(), template, key.override_empty))
            };
            let keys = keys.keys.iter().enumerate().map(one);
            BodyForm::MergeKeys(keys.collect::<Result<_, Invalid>>()?)
        }
    };
    let span = (!wire.span_name.is_empty()).then(|| text(&wire.span_name, "span_name".to_owned()));
    Ok(TemplateTransform {
        remove: remove.collect::<Result<_, _>>()?,
        metadata: metadata.collect::<Result<_, Invalid>>()?,
        span: span.transpose()?,
        set,
        append,
        body,
        advanced: wire.advanced,
        leave_unparsed: wire.leave_unparsed,
        ignore_parse_error: wire.ignore_parse_error,
        extractors: extractors(&wire.extractors)?,
    })
}

fn extractors(list: &[proto::Extractor]) -> Result<Extractors, Invalid> {
    let one = |wire: &proto::Extractor| {
        let source = match &wire.source {
            Some(proto::extractor::Source::Header(name)) => Source::Header(name.as_str().into()),
            Some(proto::extractor::Source::Body(_)) => Source::Body,
            None => return Err(Invalid::new("source", "missing")),
        };
        let mode = match &wire.mode {
            None => Mode::Extract,
            Some(proto::extractor::Mode::SingleReplace(new)) => Mode::SingleReplace(new.as_str().into()),
            Some(proto::extractor::Mode::ReplaceAll(new)) => Mode::ReplaceAll(new.as_str().into()),
        };
        let extractor = Extractor::new(&wire.regex, wire.subgroup, mode)
            .map_err(|(field, problem)| Invalid::new(field, problem))?;
        Ok((wire.name.as_str().into(), source, extractor))
    };
    let list = list.iter().enumerate();
    list.map(|(at, wire)| one(wire).map_err(|e| e.under(format!("extractors[{at}]")))).collect()
}
