//! Transformations of requests and responses by templates, at two places of the chain.
//!
//! The first entry whose matcher fits a request is taken, for it and for its response; where that says nothing of
//! responses, the first that fits the response. A message is held back only for a transformation that looks into its
//! body or replaces it. The body of a gRPC call is a stream and is left alone: such a call's headers are transformed as
//! if it had no body.

mod details;
mod envelope;
mod head;
mod log;
mod template;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, Method, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::{FieldName, HeaderMatcher, Matcher, RequestView};

use super::{Answer, LocalReply, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};
use head::Head;
pub use template::SpanName;

pub(super) const EARLY: &str = "/portcullis.policy.v1.EarlyTransformation";
pub(super) const REGULAR: &str = "/portcullis.policy.v1.Transformation";

/// The transformations of one place; `PLACE` keeps the state of the two apart.
#[derive(Debug)]
struct Stage<const PLACE: usize> {
    requests: Box<[RequestRule]>,
    responses: Box<[ResponseRule]>,
    /// Bytes of a body that is held back; none = those of the connection.
    limit: Option<usize>,
}

#[derive(Debug)]
struct RequestRule {
    matcher: Option<Matcher>,
    clear_route: bool,
    request: Option<Transform>,
    response: Option<Transform>,
}

#[derive(Debug)]
struct ResponseRule {
    headers: Box<[HeaderMatcher]>,
    details: Box<str>,
    response: Option<Transform>,
}

/// Which entry was taken for the request.
struct Chosen<const PLACE: usize>(usize);

/// What is done with one message.
#[derive(Debug)]
struct Transform {
    kind: Kind,
    log: bool,
}

#[derive(Debug)]
enum Kind {
    Template(Box<template::TemplateTransform>),
    Envelope { request_metadata: bool },
}

impl<const PLACE: usize> Policy for Stage<PLACE> {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let Some((at, rule)) = self.requests.iter().enumerate().find(|(_, rule)| rule.fits(cx)) else {
            return Verdict::Continue;
        };
        cx.slots.put(Chosen::<PLACE>(at));
        let Some(transform) = &rule.request else { return rule.pass(cx) };
        let leave = is_grpc(cx.headers.map())
            || cx.headers.map().contains_key(UPGRADE)
            || cx.method() == Method::CONNECT.as_str();
        match transform.wants(cx.has_body, leave) {
            Wants::Body => Verdict::Body { limit: self.limit.unwrap_or(cx.facts.buffer_limit) },
            Wants::Nothing => rule.run(transform, cx, Some(&mut Bytes::new())),
            Wants::Leave => rule.run(transform, cx, None),
        }
    }

    fn request_body(&self, cx: &mut RequestCx<'_>, body: &mut Bytes) -> Verdict {
        let at = cx.slots.get::<Chosen<PLACE>>().map(|chosen| chosen.0);
        match at.and_then(|at| self.requests.get(at)) {
            Some(rule) => match &rule.request {
                Some(transform) => rule.run(transform, cx, Some(body)),
                None => Verdict::Continue,
            },
            None => Verdict::Continue,
        }
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        let place = self.of_response(cx);
        let Some((place, transform)) = place.and_then(|place| Some((place, self.at(place)?))) else {
            return Answer::Continue;
        };
        let empty = cx.headers.map().get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        match transform.wants(cx.has_body && !empty, is_grpc(cx.headers.map())) {
            Wants::Body if cx.has_body => {
                cx.slots.put(Waiting::<PLACE>(place));
                Answer::Body { limit: self.limit.unwrap_or(cx.facts.buffer_limit) }
            }
            Wants::Body | Wants::Nothing => answer(transform, cx, Some(&mut Bytes::new())),
            Wants::Leave => answer(transform, cx, None),
        }
    }

    fn response_body(&self, cx: &mut ResponseCx<'_>, body: &mut Bytes) -> Answer {
        let place = cx.slots.get::<Waiting<PLACE>>().map(|waiting| waiting.0);
        match place.and_then(|place| self.at(place)) {
            Some(transform) => answer(transform, cx, Some(body)),
            None => Answer::Continue,
        }
    }
}

/// Where a response's transformation stands.
#[derive(Clone, Copy)]
enum Place {
    Request(usize),
    Response(usize),
}

/// The transformation that waits for the body of the response.
struct Waiting<const PLACE: usize>(Place);

impl<const PLACE: usize> Stage<PLACE> {
    fn of_response(&self, cx: &ResponseCx<'_>) -> Option<Place> {
        if let Some(Chosen(at)) = cx.slots.get::<Chosen<PLACE>>()
            && self.requests.get(*at).is_some_and(|rule| rule.response.is_some())
        {
            return Some(Place::Request(*at));
        }
        self.responses.iter().position(|rule| rule.fits(cx)).map(Place::Response)
    }

    fn at(&self, place: Place) -> Option<&Transform> {
        match place {
            Place::Request(at) => self.requests.get(at)?.response.as_ref(),
            Place::Response(at) => self.responses.get(at)?.response.as_ref(),
        }
    }
}

impl RequestRule {
    fn fits(&self, cx: &RequestCx<'_>) -> bool {
        let Some(matcher) = &self.matcher else { return true };
        let (path, query) = match cx.path().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (cx.path(), None),
        };
        matcher.matches(&RequestView {
            method: cx.method(),
            scheme: cx.facts.scheme,
            authority: cx.authority(),
            path,
            query,
            headers: cx.headers.map(),
        })
    }

    fn run(&self, transform: &Transform, cx: &mut RequestCx<'_>, body: Option<&mut Bytes>) -> Verdict {
        match transform.apply(&mut head::Request(cx), body) {
            Ok(()) => self.pass(cx),
            Err(problem) => Verdict::Reply(refusal(&problem)),
        }
    }

    fn pass(&self, cx: &mut RequestCx<'_>) -> Verdict {
        *cx.reroute |= self.clear_route;
        Verdict::Continue
    }
}

impl ResponseRule {
    fn fits(&self, cx: &ResponseCx<'_>) -> bool {
        if !self.details.is_empty() && !details::are(&self.details, cx.details) {
            return false;
        }
        // The status stands in the place of the method, see `header_matcher`.
        let view = RequestView {
            method: cx.status.as_str(),
            scheme: "",
            authority: "",
            path: "",
            query: None,
            headers: cx.headers.map(),
        };
        self.headers.iter().all(|header| header.matches(&view))
    }
}

/// What a transformation needs of the body.
enum Wants {
    /// All of it.
    Body,
    /// Nothing, as there is none.
    Nothing,
    /// Nothing, it goes its own way.
    Leave,
}

impl Transform {
    /// `leave`: the body is a stream that must not be held back.
    fn wants(&self, has_body: bool, leave: bool) -> Wants {
        let (reads, makes) = match &self.kind {
            Kind::Template(template) => (template.reads_body(), template.makes_body()),
            Kind::Envelope { .. } => (true, true),
        };
        match (leave, has_body) {
            (true, _) => Wants::Leave,
            (false, true) if reads => Wants::Body,
            (false, true) => Wants::Leave,
            (false, false) if makes => Wants::Body,
            (false, false) => Wants::Nothing,
        }
    }

    fn apply(&self, head: &mut dyn Head, mut body: Option<&mut Bytes>) -> Result<(), String> {
        if self.log {
            log::message("before", head, body.as_deref());
        }
        let result = match (&self.kind, body.as_deref_mut()) {
            (Kind::Template(template), body) => template.apply(head, body),
            (Kind::Envelope { request_metadata }, Some(body)) => {
                envelope::apply(head, body, *request_metadata)
            }
            (Kind::Envelope { .. }, None) => Ok(()),
        };
        if self.log {
            log::message("after", head, body.as_deref());
        }
        result
    }
}

fn answer(transform: &Transform, cx: &mut ResponseCx<'_>, body: Option<&mut Bytes>) -> Answer {
    match transform.apply(&mut head::Response(cx), body) {
        Ok(()) => Answer::Continue,
        Err(problem) => Answer::Reply(refusal(&problem)),
    }
}

fn refusal(problem: &str) -> LocalReply {
    LocalReply {
        status: StatusCode::BAD_REQUEST,
        reason: "transformation_failed",
        flag: "-",
        headers: Vec::new(),
        body: format!("bad request: {problem}").into(),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

pub(super) fn install_early(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::EarlyTransformation = registry::decode(bytes)?;
    builder.push(EARLY, Arc::new(stage::<0>(wire.stage)?));
    Ok(())
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Transformation = registry::decode(bytes)?;
    builder.push(REGULAR, Arc::new(stage::<1>(wire.stage)?));
    Ok(())
}

fn stage<const PLACE: usize>(wire: Option<proto::TransformationStage>) -> Result<Stage<PLACE>, Invalid> {
    let wire = wire.unwrap_or_default();
    let limit = (wire.body_limit != 0).then_some(wire.body_limit);
    let requests = each(wire.requests, "stage.requests", |rule| {
        Ok(RequestRule {
            matcher: rule.r#match.map(Matcher::try_from).transpose().map_err(|e| e.under("match"))?,
            clear_route: rule.clear_route,
            request: transform(rule.request, "request")?,
            response: transform(rule.response, "response")?,
        })
    })?;
    let responses = each(wire.responses, "stage.responses", |rule| {
        Ok(ResponseRule {
            headers: each(rule.headers, "headers", header_matcher)?,
            details: rule.details.into(),
            response: transform(rule.response, "response")?,
        })
    })?;
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Stage { requests, responses, limit })
}

/// A test on a response. Routing knows no status: it is read where a request has its method.
fn header_matcher(wire: portcullis_proto::table::v1::HeaderMatch) -> Result<HeaderMatcher, Invalid> {
    let mut matcher = HeaderMatcher::try_from(wire)?;
    matcher.name = match matcher.name {
        FieldName::UnknownPseudo(name) if &*name == ":status" => FieldName::Method,
        FieldName::Header(name) => FieldName::Header(name),
        other => FieldName::UnknownPseudo(other.as_str().into()),
    };
    Ok(matcher)
}

fn each<W, T>(list: Vec<W>, field: &str, one: impl Fn(W) -> Result<T, Invalid>) -> Result<Box<[T]>, Invalid> {
    list.into_iter()
        .enumerate()
        .map(|(at, wire)| one(wire).map_err(|e| e.under(format!("{field}[{at}]"))))
        .collect()
}

fn transform(wire: Option<proto::Transform>, field: &str) -> Result<Option<Transform>, Invalid> {
    let Some(wire) = wire else { return Ok(None) };
    let kind = match wire.kind.ok_or_else(|| Invalid::new(field, "has no kind"))? {
        proto::transform::Kind::Template(wire) => {
            let template = template::compile(wire).map_err(|e| e.under("template").under(field))?;
            Kind::Template(Box::new(template))
        }
        proto::transform::Kind::Envelope(wire) => Kind::Envelope { request_metadata: wire.request_metadata },
    };
    Ok(Some(Transform { kind, log: wire.log }))
}
