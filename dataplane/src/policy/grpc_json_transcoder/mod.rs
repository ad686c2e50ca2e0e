//! HTTP requests with JSON become gRPC calls, and the answers JSON again.
//!
//! What a request means is `shared::transcoding`'s to know. Messages of calls that are no streams are held back as a
//! whole; streams pass message by message. A request that is a gRPC call already, or that no annotation is for, passes.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, TE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::transcoding::{ArrayError, Call, PrintOptions, Rules, Transcoder, framed};

use super::{Answer, LocalReply, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};
use crate::proxy::reply::{GRPC_STATUS, is_grpc};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.GrpcJsonTranscoder";

const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const X_ENVOY_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-envoy-original-method");

/// A body, or a message of a stream, that is held back: Envoy's limit where Gloo says nothing.
const LIMIT: usize = 1 << 20;

const REASON: &str = "transcoding_failed";

/// See the module.
#[derive(Debug)]
struct GrpcJsonTranscoder {
    transcoder: Transcoder,
    /// Else the route is chosen again by the gRPC path.
    same_route: bool,
    /// A failed call has its status as JSON.
    convert_status: bool,
}

impl Policy for GrpcJsonTranscoder {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if is_grpc(cx.headers.map()) {
            return Verdict::Continue;
        }
        let call = match self.transcoder.find(cx.method(), cx.path()) {
            None => return Verdict::Continue,
            Some(Err(text)) => return refused(StatusCode::BAD_REQUEST, text),
            Some(Ok(call)) => Arc::new(call),
        };
        cx.slots.put(Arc::clone(&call));
        if !call.client_streaming() || !call.takes_body() {
            return Verdict::Body { limit: LIMIT };
        }
        if !cx.has_body && !call.takes_raw() {
            return refused(StatusCode::BAD_REQUEST, ArrayError::NoArray.to_string());
        }
        if !cx.has_body {
            return Verdict::Body { limit: LIMIT };
        }
        cx.filters.push(request::filter(&call, content_type(cx)));
        self.turn(cx, &call)
    }

    fn request_body(&self, cx: &mut RequestCx<'_>, body: &mut Bytes) -> Verdict {
        let Some(call) = cx.slots.get::<Arc<Call>>().cloned() else { return Verdict::Continue };
        let message = if call.takes_raw() {
            Ok(call.raw_message(std::mem::take(body), &content_type(cx), true))
        } else {
            call.message(body)
        };
        match message {
            Ok(message) => *body = framed(&message),
            Err(text) => return refused(StatusCode::BAD_REQUEST, text),
        }
        self.turn(cx, &call)
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        let Some(call) = cx.slots.get::<Arc<Call>>().cloned() else { return Answer::Continue };
        if cx.local || *cx.status != StatusCode::OK || !is_grpc(cx.headers.map()) {
            return Answer::Continue;
        }
        // Without a body the result is in the header.
        if !call.server_streaming() || call.gives_raw() || cx.headers.map().contains_key(GRPC_STATUS) {
            return Answer::Body { limit: LIMIT };
        }
        cx.headers.insert(&CONTENT_TYPE, JSON);
        cx.filters.push(answer::stream(call, self.convert_status));
        Answer::Continue
    }

    fn response_body(&self, cx: &mut ResponseCx<'_>, body: &mut Bytes) -> Answer {
        let Some(call) = cx.slots.get::<Arc<Call>>().cloned() else { return Answer::Continue };
        answer::whole(&call, self.convert_status, cx, body)
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl GrpcJsonTranscoder {
    /// The request is a gRPC call from now on.
    fn turn(&self, cx: &mut RequestCx<'_>, call: &Call) -> Verdict {
        let Ok(target) = PathAndQuery::try_from(call.path()) else {
            return refused(StatusCode::BAD_REQUEST, "the method's name is no path".to_owned());
        };
        let original = [
            (X_ENVOY_ORIGINAL_PATH, HeaderValue::from_str(cx.path())),
            (X_ENVOY_ORIGINAL_METHOD, HeaderValue::from_str(cx.method())),
        ];
        for (name, value) in original {
            // What came as a path or a method can be one of a header.
            if let Ok(value) = value {
                cx.headers.insert(&name, value);
            }
        }
        cx.headers.insert(&CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        cx.headers.insert(&TE, HeaderValue::from_static("trailers"));
        cx.line.method = Some(Method::POST);
        cx.line.target = Some(target);
        *cx.reroute = !self.same_route;
        Verdict::Continue
    }
}

fn content_type(cx: &RequestCx<'_>) -> String {
    let value = cx.headers.map().get(CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn refused(status: StatusCode, text: String) -> Verdict {
    Verdict::Reply(reply(status, text))
}

fn reply(status: StatusCode, text: String) -> LocalReply {
    LocalReply { status, reason: REASON, flag: "-", headers: Vec::new(), body: text.into() }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::GrpcJsonTranscoder = registry::decode(bytes)?;
    let rules = Rules {
        descriptor_set: wire.descriptor_set,
        services: wire.services,
        print: PrintOptions {
            whitespace: wire.add_whitespace,
            empty_fields: wire.always_print_primitive_fields,
            enum_numbers: wire.always_print_enums_as_ints,
            proto_names: wire.preserve_proto_field_names,
        },
        auto_mapping: wire.auto_mapping,
        ignored_query_parameters: wire.ignored_query_parameters,
        ignore_unknown_query_parameters: wire.ignore_unknown_query_parameters,
    };
    let transcoder = Transcoder::new(&rules).map_err(|error| Invalid::new("descriptor_set", error))?;
    builder.push(
        TYPE_URL,
        Arc::new(GrpcJsonTranscoder {
            transcoder,
            same_route: wire.match_incoming_request_route,
            convert_status: wire.convert_grpc_status,
        }),
    );
    Ok(())
}
