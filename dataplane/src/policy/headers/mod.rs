//! Header manipulation of requests and responses, level by level in compiled order.
//!
//! Inside a level all removals come first; then every value is computed from the fields as they are at that moment;
//! then those that overwrite are set, and last the others are appended. A value that comes out empty changes nothing.

pub(crate) mod values;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::format::{Format, Values};
use portcullis_shared::invalid::Invalid;
use smallvec::SmallVec;

use super::Facts;
use super::metadata::DynamicMetadata;
use super::{Answer, Headers, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};
use values::{RequestValues, ResponseValues};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Headers";

/// Fields that HTTP defines with a single line: another value joins the first with a comma.
const JOINED: &[&str] = &[
    "accept",
    "accept-encoding",
    "access-control-allow-origin",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "expect",
    "keep-alive",
    "origin",
    "te",
    "user-agent",
    "vary",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

#[derive(Debug)]
struct Manipulation {
    request: Box<[Level]>,
    response: Box<[Level]>,
}

#[derive(Debug)]
struct Level {
    remove: Box<[HeaderName]>,
    add: Box<[Add]>,
}

#[derive(Debug)]
struct Add {
    name: HeaderName,
    value: Value,
    overwrite: bool,
    joined: bool,
}

#[derive(Debug)]
enum Value {
    Constant(HeaderValue),
    Computed(Format),
}

impl Policy for Manipulation {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        for level in &self.request {
            level.remove(cx.headers);
            let new = level.compute(&RequestValues {
                facts: cx.facts,
                headers: cx.headers.map(),
                metadata: cx.slots.get(),
            });
            apply(new, cx.headers);
        }
        Verdict::Continue
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        for level in &self.response {
            level.remove(cx.headers);
            let new = level.compute(&ResponseValues {
                request: RequestValues {
                    facts: cx.facts,
                    headers: cx.request_headers,
                    metadata: cx.slots.get(),
                },
                status: *cx.status,
                headers: cx.headers.map(),
            });
            apply(new, cx.headers);
        }
        Answer::Continue
    }
}

type New<'a> = SmallVec<[(&'a Add, HeaderValue); 8]>;

impl Level {
    fn remove(&self, headers: &mut dyn Headers) {
        for name in &self.remove {
            headers.remove(name);
        }
    }

    fn compute(&self, values: &dyn Values) -> New<'_> {
        self.add
            .iter()
            .filter_map(|add| {
                let value = match &add.value {
                    Value::Constant(value) => value.clone(),
                    // What a client sent may hold bytes that no field value may have: such a field is left out.
                    Value::Computed(format) => HeaderValue::from_str(&format.render(values, "")).ok()?,
                };
                (!value.is_empty()).then_some((add, value))
            })
            .collect()
    }
}

fn apply(new: New<'_>, headers: &mut dyn Headers) {
    for (add, value) in new.iter().filter(|(add, _)| add.overwrite) {
        headers.insert(&add.name, value.clone());
    }
    for (add, value) in new.into_iter().filter(|(add, _)| !add.overwrite) {
        match headers.map().get(&add.name).filter(|before| add.joined && !before.is_empty()) {
            Some(before) => {
                let joined = [before.as_bytes(), value.as_bytes()].join(&b","[..]);
                if let Ok(joined) = HeaderValue::from_bytes(&joined) {
                    headers.insert(&add.name, joined);
                }
            }
            None => headers.append(&add.name, value),
        }
    }
}

/// Levels that stand for themselves: those that run before anything else looks at a request, and those of a request of the
/// gateway's own.
#[derive(Debug)]
pub struct Early(Box<[Level]>);

impl Early {
    /// Compiles levels.
    ///
    /// # Errors
    /// The name or value that is none.
    pub fn build(levels: &[proto::HeaderLevel]) -> Result<Self, Invalid> {
        let one = |(i, wire): (usize, &proto::HeaderLevel)| {
            level(wire.clone()).map_err(|e| e.under(format!("[{i}]")))
        };
        levels.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Changes the fields of a request.
    pub(crate) fn apply(
        &self,
        headers: &mut http::HeaderMap,
        facts: &Facts<'_>,
        metadata: Option<&DynamicMetadata>,
    ) {
        for level in &self.0 {
            level.remove(headers);
            let new = level.compute(&RequestValues { facts, headers, metadata });
            apply(new, headers);
        }
    }

    /// Fields of a request that nobody has sent.
    pub(crate) fn fields(&self, values: &dyn Values) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        for level in &self.0 {
            let new = level.compute(values);
            apply(new, &mut headers);
        }
        headers
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Headers = registry::decode(bytes)?;
    let policy = Manipulation {
        request: levels(wire.request, "request")?,
        response: levels(wire.response, "response")?,
    };
    builder.push(TYPE_URL, Arc::new(policy));
    Ok(())
}

fn levels(wire: Vec<proto::HeaderLevel>, field: &str) -> Result<Box<[Level]>, Invalid> {
    wire.into_iter()
        .enumerate()
        .map(|(i, level)| self::level(level).map_err(|e| e.under(format!("{field}[{i}]"))))
        .collect()
}

fn level(wire: proto::HeaderLevel) -> Result<Level, Invalid> {
    let remove = wire.remove.iter().enumerate().map(|(i, text)| name(text, &format!("remove[{i}]")));
    let add =
        wire.add.iter().enumerate().map(|(i, add)| self::add(add).map_err(|e| e.under(format!("add[{i}]"))));
    Ok(Level { remove: remove.collect::<Result<_, _>>()?, add: add.collect::<Result<_, _>>()? })
}

fn add(wire: &proto::HeaderAdd) -> Result<Add, Invalid> {
    let name = name(&wire.name, "name")?;
    let format = Format::parse(&wire.value).map_err(|e| Invalid::new("value", e))?;
    let value = match format.constant() {
        Some(text) => Value::Constant(
            HeaderValue::from_str(text)
                .map_err(|_| Invalid::new("value", "has bytes that no header value may have"))?,
        ),
        None => Value::Computed(format),
    };
    let joined = JOINED.binary_search(&name.as_str()).is_ok();
    Ok(Add { name, value, overwrite: wire.overwrite, joined })
}

fn name(text: &str, field: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new(field, format!("bad header name \"{text}\"")))
}
