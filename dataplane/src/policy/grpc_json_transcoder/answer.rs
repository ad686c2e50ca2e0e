//! From a gRPC answer to an HTTP one: its messages as JSON, or as they are, and its result as a status.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_shared::transcoding::{Call, FrameError, Frames};

use super::super::{Answer, BodyError, BodyFilter, Headers, ResponseCx};
use super::{JSON, LIMIT, REASON, reply};
use crate::proxy::reply::{GRPC_MESSAGE, GRPC_STATUS, http_status};

const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// An answer that is here as a whole.
pub(super) fn whole(call: &Call, convert_status: bool, cx: &mut ResponseCx<'_>, body: &mut Bytes) -> Answer {
    let in_header = cx.headers.map().contains_key(GRPC_STATUS);
    let result = if in_header { Some(cx.headers.map()) } else { cx.trailers.as_ref() };
    let failed = result.and_then(code).filter(|code| *code != 0);
    if let (Some(code), true, true) = (failed, convert_status, body.is_empty())
        && let Some(json) = result.and_then(|result| status(call, result, code))
    {
        *cx.status = http_status(code);
        *body = json;
        cx.headers.insert(&CONTENT_TYPE, JSON);
        forget(cx.headers);
        if let Some(trailers) = cx.trailers.as_mut() {
            forget(trailers);
        }
        return Answer::Continue;
    }
    let content = match content(call, body) {
        Ok(content) => content,
        Err(error) => {
            tracing::debug!(method = call.path(), error, "an answer has no form as JSON");
            return Answer::Reply(reply(StatusCode::BAD_GATEWAY, error));
        }
    };
    let known = result.and_then(code);
    *cx.status = known.map_or(StatusCode::SERVICE_UNAVAILABLE, http_status);
    if !in_header && let Some(trailers) = cx.trailers.as_ref() {
        for name in [GRPC_STATUS, GRPC_MESSAGE] {
            if let Some(value) = trailers.get(&name) {
                cx.headers.insert(&name, value.clone());
            }
        }
    }
    // As in Envoy: what has no body keeps its type.
    if !in_header || call.server_streaming() {
        cx.headers.insert(&CONTENT_TYPE, content.content_type);
    }
    *body = content.body;
    Answer::Continue
}

struct Content {
    content_type: HeaderValue,
    body: Bytes,
}

fn content(call: &Call, body: &Bytes) -> Result<Content, String> {
    let mut frames = Frames::new(LIMIT);
    frames.push(body);
    let mut messages = Vec::new();
    while let Some(message) = frames.take().map_err(|error| error.to_string())? {
        messages.push(message);
    }
    frames.end().map_err(|error| error.to_string())?;
    if !call.server_streaming() && messages.len() > 1 {
        return Err("the answer has more than one message".to_owned());
    }
    if !call.gives_raw() {
        let mut texts = messages.into_iter().map(|message| call.json(message).map_err(|it| it.to_string()));
        let body = match call.server_streaming() {
            true => {
                [b"[".to_vec(), texts.collect::<Result<Vec<_>, _>>()?.join(&b','), b"]".to_vec()].concat()
            }
            false => texts.next().transpose()?.unwrap_or_default(),
        };
        return Ok(Content { content_type: JSON, body: body.into() });
    }
    let mut content_type = None;
    let mut pieces = Vec::new();
    for message in messages {
        let (of, piece) = call.raw(message).map_err(|error| error.to_string())?;
        content_type = content_type.or(of);
        pieces.push(piece);
    }
    let usual = if pieces.is_empty() { JSON } else { HeaderValue::from_static("application/octet-stream") };
    let content_type = content_type.and_then(|it| HeaderValue::try_from(it).ok());
    Ok(Content { content_type: content_type.unwrap_or(usual), body: pieces.concat().into() })
}

fn code(result: &HeaderMap) -> Option<u16> {
    result.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The status of a failed call as JSON.
fn status(call: &Call, result: &HeaderMap, code: u16) -> Option<Bytes> {
    let details = result.get(GRPC_STATUS_DETAILS).map(HeaderValue::as_bytes);
    let message = result.get(GRPC_MESSAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    call.status(details, code.into(), message).map(Bytes::from)
}

/// What the JSON says now.
fn forget(fields: &mut dyn Headers) {
    for name in [GRPC_STATUS, GRPC_MESSAGE, GRPC_STATUS_DETAILS] {
        fields.remove(&name);
    }
}

/// The body of an answer whose messages go out as they come.
pub(super) fn stream(call: Arc<Call>, convert_status: bool) -> Box<dyn BodyFilter> {
    Box::new(Array { call, convert_status, frames: Frames::new(LIMIT), begun: false })
}

struct Array {
    call: Arc<Call>,
    convert_status: bool,
    frames: Frames,
    begun: bool,
}

impl BodyFilter for Array {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        self.frames.push(&piece);
        while let Some(message) = self.frames.take()? {
            let mark = if std::mem::replace(&mut self.begun, true) { b"," } else { b"[" };
            let json = self.call.json(message).map_err(|error| broken(error.to_string()))?;
            out.push([mark, json.as_slice()].concat().into());
        }
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        self.frames.end()?;
        if self.begun {
            out.push(Bytes::from_static(b"]"));
            return Ok(trailers);
        }
        let failed = trailers.as_ref().filter(|_| self.convert_status);
        let failed = failed.and_then(|result| Some((result, code(result).filter(|code| *code != 0)?)));
        let json = failed.and_then(|(result, code)| status(&self.call, result, code));
        out.push(json.unwrap_or(Bytes::from_static(b"[]")));
        Ok(trailers)
    }
}

fn broken(detail: String) -> BodyError {
    BodyError { status: StatusCode::BAD_GATEWAY, reason: REASON, detail: detail.into() }
}

impl From<FrameError> for BodyError {
    fn from(error: FrameError) -> Self {
        broken(error.to_string())
    }
}
