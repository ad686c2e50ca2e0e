//! Spans of a request: one for the gateway as a server, one for each try as a client, by OpenTelemetry's conventions for
//! HTTP; and the W3C trace context in and out (`traceparent`, `tracestate`).
//!
//! Without an exporter nothing is made, and a client's trace context passes through untouched. Must not wait: ended
//! spans go into the exporter's bounded queue.

use std::borrow::Cow;
use std::time::SystemTime;

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};
use portcullis_shared::table::{Place, Tracing};

use super::conn::ConnInfo;
use super::reply::Reason;
use super::strict::Head;
use crate::runtime::Route;
use crate::upstream::Upstream;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const X_CLIENT_TRACE_ID: HeaderName = HeaderName::from_static("x-client-trace-id");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

struct Fields<'a>(&'a HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }
    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The gateway's own span of a request.
pub(super) struct Server {
    tracer: SdkTracer,
    span: Span,
}

/// The span of one try.
pub(super) enum Client {
    Sampled(Box<Span>),
    /// Nobody will ever see it: the upstream gets the context of the gateway's own span.
    Unsampled(SpanContext),
}

impl Server {
    /// Begins the span of a request, as a child of the client's if it names one.
    pub(super) fn begin(tracer: &SdkTracer, head: &Head, info: &ConnInfo, started: SystemTime) -> Self {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Fields(&head.headers));
        let builder =
            SpanBuilder::from_name(method(&head.method)).with_kind(SpanKind::Server).with_start_time(started);
        let mut span = tracer.build_with_context(builder, &parent);
        // Most requests of a busy gateway are not sampled: they pay for their ids only.
        if span.is_recording() {
            span.set_attribute(KeyValue::new("http.request.method", method(&head.method)));
            span.set_attribute(KeyValue::new("url.path", head.path().to_owned()));
            span.set_attribute(KeyValue::new("url.scheme", head.scheme));
            let (host, port) = split_authority(&head.authority);
            span.set_attribute(KeyValue::new("server.address", host.to_owned()));
            if let Some(port) = port {
                span.set_attribute(KeyValue::new("server.port", i64::from(port)));
            }
            span.set_attribute(KeyValue::new("client.address", info.client.ip().to_string()));
            span.set_attribute(KeyValue::new("network.protocol.version", protocol_version(head.version)));
            if let Some(query) = head.target.query() {
                span.set_attribute(KeyValue::new("url.query", query.to_owned()));
            }
            if let Some(agent) =
                head.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok())
            {
                span.set_attribute(KeyValue::new("user_agent.original", agent.to_owned()));
            }
            if let Some(tracing) = &info.http.settings.tracing {
                tag(&mut span, head, tracing);
            }
        }
        Server { tracer: tracer.clone(), span }
    }

    /// The route is known: `GET /prefix*`.
    pub(super) fn route(&mut self, method: &Method, route: &Route) {
        if self.span.is_recording() {
            let template = route.template();
            match route.plan.tracing.as_ref().and_then(|tracing| tracing.descriptor.as_ref()) {
                Some(descriptor) => self.span.update_name(descriptor.to_string()),
                None => self.span.update_name(format!("{method} {template}")),
            }
            self.span.set_attribute(KeyValue::new("http.route", template.into_owned()));
        }
    }

    /// A policy gave it a name of its own.
    pub(super) fn rename(&mut self, name: &str) {
        self.span.update_name(name.to_owned());
    }

    /// Trace id in hexadecimal digits, for the access log.
    pub(super) fn trace_id(&self) -> [u8; 32] {
        let mut text = [0; 32];
        hexadecimal(&mut text, &self.span.span_context().trace_id().to_bytes());
        text
    }

    /// Somebody will see it.
    pub(super) fn is_sampled(&self) -> bool {
        self.span.span_context().is_sampled()
    }

    /// Begins the span of a try that asks `endpoint` for `path`, which has its query with it.
    pub(super) fn client(
        &self,
        head: &Head,
        upstream: &Upstream,
        endpoint: &Place,
        path: &str,
        attempt: u32,
    ) -> Client {
        if !self.span.is_recording() {
            return Client::Unsampled(self.span.span_context().clone());
        }
        let parent = Context::new().with_remote_span_context(self.span.span_context().clone());
        let scheme = if upstream.tls.is_some() { "https" } else { "http" };
        let server =
            endpoint.address().map_or_else(|| endpoint.to_string(), |address| address.ip().to_string());
        let builder =
            SpanBuilder::from_name(method(&head.method)).with_kind(SpanKind::Client).with_attributes([
                KeyValue::new("http.request.method", method(&head.method)),
                KeyValue::new("server.address", server),
                KeyValue::new("server.port", i64::from(endpoint.port())),
                KeyValue::new("url.full", format!("{scheme}://{endpoint}{path}")),
                KeyValue::new("portcullis.upstream", upstream.name.to_string()),
            ]);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if attempt > 1 {
            span.set_attribute(KeyValue::new(
                "http.request.resend_count",
                i64::from(attempt.saturating_sub(1)),
            ));
        }
        Client::Sampled(Box::new(span))
    }

    /// The request is over.
    pub(super) fn end(mut self, status: StatusCode, reason: Option<Reason>) {
        if self.span.is_recording() {
            self.span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
            if let Some(reason) = reason {
                self.span.set_attribute(KeyValue::new("portcullis.reason", reason.as_str()));
            }
            if status.is_server_error() {
                let kind =
                    reason.map_or_else(|| status.as_str().to_owned(), |reason| reason.as_str().to_owned());
                self.span.set_attribute(KeyValue::new("error.type", kind));
                self.span.set_status(Status::error(""));
            }
        }
        self.span.end();
    }
}

/// Whether a request is traced: by its context where it brings one, else by chance.
pub(super) fn wanted(headers: &HeaderMap, tracing: Option<&Tracing>) -> bool {
    let Some(tracing) = tracing.filter(|_| !headers.contains_key(TRACEPARENT)) else { return true };
    let hit = |share: u32| share >= 10_000 || fastrand::u32(..10_000) < share;
    let forced = headers.contains_key(X_CLIENT_TRACE_ID) && hit(tracing.client_share);
    (forced || hit(tracing.random_share)) && hit(tracing.overall_share)
}

/// The tags that users have set.
fn tag(span: &mut Span, head: &Head, tracing: &Tracing) {
    for name in &tracing.request_headers {
        if let Some(value) = head.headers.get(name).and_then(|value| value.to_str().ok()) {
            span.set_attribute(KeyValue::new(name.to_string(), value.to_owned()));
        }
    }
    for (name, text) in &tracing.literals {
        span.set_attribute(KeyValue::new(name.to_string(), text.to_string()));
    }
    for (name, variable, default) in &tracing.environment {
        let value = std::env::var(&**variable).unwrap_or_else(|_| default.to_string());
        span.set_attribute(KeyValue::new(name.to_string(), value));
    }
}

impl Client {
    /// What the upstream is told of this span: its `traceparent`, and its `tracestate` if it has one. `None` leaves the
    /// client's context as it is.
    pub(super) fn context(&self) -> Option<(HeaderValue, Option<HeaderValue>)> {
        let context = match self {
            Client::Sampled(span) => span.span_context(),
            Client::Unsampled(context) => context,
        };
        if !context.is_valid() {
            return None;
        }
        let parent = traceparent(context).ok()?;
        let state = Some(context.trace_state()).filter(|state| **state != TraceState::NONE);
        let state = state.and_then(|state| HeaderValue::try_from(state.header()).ok());
        Some((parent, state.filter(|state| !state.is_empty())))
    }

    /// The try has a response header.
    pub(super) fn answered(self, status: StatusCode) {
        let Client::Sampled(mut span) = self else { return };
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_client_error() || status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// The try has failed.
    pub(super) fn failed(self, reason: Reason, detail: &str) {
        let Client::Sampled(mut span) = self else { return };
        span.set_attribute(KeyValue::new("error.type", reason.as_str()));
        span.set_status(Status::error(detail.to_owned()));
        span.end();
    }
}

/// `00-<trace>-<span>-<flags>` (W3C Trace Context, level 1).
fn traceparent(context: &SpanContext) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hexadecimal(&mut text[3..35], &context.trace_id().to_bytes());
    hexadecimal(&mut text[36..52], &context.span_id().to_bytes());
    if context.is_sampled() {
        text[54] = b'1';
    }
    HeaderValue::from_bytes(&text)
}

/// Two digits for each byte, as far as there is room.
fn hexadecimal(text: &mut [u8], bytes: &[u8]) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' - 10 + value };
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
        }
    }
}

/// The trace id of a client's `traceparent`, for the access log of a gateway that makes no spans.
pub(super) fn trace_id_of(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(TRACEPARENT)?.to_str().ok()?.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

fn split_authority(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

/// Without a copy for those that one meets.
fn method(method: &Method) -> Cow<'static, str> {
    match *method {
        Method::GET => "GET".into(),
        Method::POST => "POST".into(),
        Method::PUT => "PUT".into(),
        Method::PATCH => "PATCH".into(),
        Method::DELETE => "DELETE".into(),
        Method::HEAD => "HEAD".into(),
        Method::OPTIONS => "OPTIONS".into(),
        _ => method.to_string().into(),
    }
}

fn protocol_version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_decide_about_requests_without_a_context() {
        let tracing = |client_share, random_share, overall_share| Tracing {
            client_share,
            random_share,
            overall_share,
            ..Default::default()
        };
        let value = || HeaderValue::from_static("x");
        let forced = HeaderMap::from_iter([(X_CLIENT_TRACE_ID, value())]);
        let child = HeaderMap::from_iter([(TRACEPARENT, value())]);
        assert!(wanted(&HeaderMap::new(), None));
        assert!(!wanted(&HeaderMap::new(), Some(&tracing(10_000, 0, 10_000))));
        assert!(wanted(&HeaderMap::new(), Some(&tracing(0, 10_000, 10_000))));
        assert!(wanted(&forced, Some(&tracing(10_000, 0, 10_000))));
        assert!(!wanted(&forced, Some(&tracing(10_000, 10_000, 0))));
        assert!(wanted(&child, Some(&tracing(0, 0, 0))));
    }
}
