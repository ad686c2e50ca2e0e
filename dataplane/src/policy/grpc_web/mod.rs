//! gRPC-web, the form of gRPC that browsers can speak, is translated to gRPC and back.
//!
//! The binary form has the same frames as gRPC and the trailers as a last one; the text form is that in base64. A request
//! says by `accept` which of them it wants back.

mod text;

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TE};
use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{Answer, BodyError, BodyFilter, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};
use crate::proxy::reply::{GRPC_MESSAGE, GRPC_STATUS, grpc_message, grpc_status, is_grpc};
use text::{Decoding, encode};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.GrpcWeb";

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// First byte of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// What is no answer of gRPC: a page of an error at most.
const OTHER_ANSWER: usize = 1 << 20;

/// Of such an answer so much is told.
const MESSAGE: usize = 16 * 1024;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Binary,
    Text,
}

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        })
    }

    fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let value = headers.get(name)?.as_bytes();
        // Nearly every request ends here.
        let rest = value.strip_prefix(b"application/grpc-web")?;
        let rest = rest.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match rest {
            b"" | b"+proto" => Some(Self::Binary),
            b"-text" | b"-text+proto" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Whether the policy has anything to do with a request of these fields.
pub(super) fn concerns(headers: &HeaderMap) -> bool {
    Form::of(headers, &CONTENT_TYPE).is_some()
}

/// See the module.
#[derive(Debug)]
pub(super) struct GrpcWeb {
    pub(super) enabled: bool,
}

impl Policy for GrpcWeb {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let headers = cx.headers.map();
        let Some(form) = Form::of(headers, &CONTENT_TYPE).filter(|_| self.enabled) else {
            return Verdict::Continue;
        };
        let wanted = Form::of(headers, &ACCEPT).filter(|form| *form == Form::Text).unwrap_or(Form::Binary);
        cx.slots.put(wanted);
        cx.headers.insert(&CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        cx.headers.insert(&TE, HeaderValue::from_static("trailers"));
        cx.headers.insert(&GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if form == Form::Text {
            cx.filters.push(Box::new(Decoding::default()));
        }
        Verdict::Continue
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        let Some(form) = cx.slots.get::<Form>().copied() else { return Answer::Continue };
        let call = *cx.status == StatusCode::OK && is_grpc(cx.headers.map());
        cx.headers.insert(&CONTENT_TYPE, form.content_type());
        if call {
            cx.headers.remove(&CONTENT_LENGTH);
            // Without a body the result is in the header, where clients look for it too.
            if cx.has_body && !cx.headers.map().contains_key(GRPC_STATUS) {
                cx.filters.push(Box::new(Encoding(form)));
            }
            return Answer::Continue;
        }
        if cx.has_body { Answer::Body { limit: OTHER_ANSWER } } else { Answer::Continue }
    }

    /// Any other answer, the gateway's own or a server's, in the terms of gRPC. Its status stays.
    fn response_body(&self, cx: &mut ResponseCx<'_>, body: &mut Bytes) -> Answer {
        if body.is_empty() || cx.slots.get::<Form>().is_none() {
            return Answer::Continue;
        }
        cx.headers.insert(&GRPC_STATUS, HeaderValue::from(grpc_status(*cx.status)));
        body.truncate(MESSAGE);
        if let Some(message) = grpc_message(body) {
            cx.headers.insert(&GRPC_MESSAGE, message);
        }
        *body = Bytes::new();
        Answer::Continue
    }
}

/// The way back: the same frames, and the trailers as one.
struct Encoding(Form);

impl Encoding {
    fn push(&self, piece: Bytes, out: &mut Vec<Bytes>) {
        out.push(if self.0 == Form::Text { encode(&piece) } else { piece });
    }
}

impl BodyFilter for Encoding {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        self.push(piece, out);
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        if let Some(trailers) = trailers {
            self.push(frame(&trailers), out);
        }
        Ok(None)
    }
}

/// Trailers as a frame of lines.
fn frame(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        lines.put_slice(name.as_str().as_bytes());
        lines.put_u8(b':');
        lines.put_slice(value.as_bytes());
        lines.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(lines.len() + 5);
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    frame.put(lines);
    frame.freeze()
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::GrpcWeb = registry::decode(bytes)?;
    builder.push(TYPE_URL, Arc::new(GrpcWeb { enabled: !wire.disabled }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{Request, map};

    #[test]
    fn only_grpc_web_is_touched() {
        for (content_type, form) in [
            ("application/grpc-web", Some(Form::Binary)),
            ("application/grpc-web+proto; charset=utf-8", Some(Form::Binary)),
            ("application/grpc-web-text", Some(Form::Text)),
            ("application/grpc-web-text+proto", Some(Form::Text)),
            ("application/grpc-webby", None),
            ("application/grpc", None),
        ] {
            assert_eq!(
                Form::of(&map(&[("content-type", content_type)]), &CONTENT_TYPE),
                form,
                "{content_type}"
            );
        }
    }

    #[test]
    fn a_request_becomes_a_grpc_call() {
        let mut request = Request::with(&[
            ("content-type", "application/grpc-web-text"),
            ("accept", "application/grpc-web-text"),
        ]);
        request.has_body = true;
        assert!(matches!(GrpcWeb { enabled: true }.request(&mut request.cx()), Verdict::Continue));
        assert_eq!(request.headers["content-type"], "application/grpc");
        assert_eq!(request.headers["te"], "trailers");
        assert_eq!(request.slots.get::<Form>(), Some(&Form::Text));
        assert_eq!(request.filters.data(Bytes::from_static(b"aGk=")).unwrap().concat(), b"hi");
        let mut off = Request::with(&[("content-type", "application/grpc-web")]);
        let _ = GrpcWeb { enabled: false }.request(&mut off.cx());
        assert_eq!(off.headers["content-type"], "application/grpc-web");
    }

    #[test]
    fn any_other_answer_becomes_a_message_with_its_status() {
        use crate::policy::testing::Response;
        for (status, text, code) in [(503, "down", Some("14")), (404, "", None), (200, "<p>", Some("2"))] {
            let mut request = Request::with(&[("content-type", "application/grpc-web")]);
            let web = GrpcWeb { enabled: true };
            let _ = web.request(&mut request.cx());
            let mut response = Response { slots: request.slots, ..Response::default() };
            response.status = StatusCode::from_u16(status).unwrap();
            response.headers = map(&[("content-type", "text/html")]);
            assert!(matches!(web.response(&mut response.cx()), Answer::Body { .. }));
            let mut body = Bytes::from_static(text.as_bytes());
            assert!(matches!(web.response_body(&mut response.cx(), &mut body), Answer::Continue));
            assert_eq!((response.status.as_u16(), &*body), (status, &b""[..]));
            let field = |name| response.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(field("content-type"), Some("application/grpc-web+proto"));
            assert_eq!((field("grpc-status"), field("grpc-message")), (code, code.map(|_| text)));
        }
    }

    #[test]
    fn trailers_become_the_last_frame() {
        let trailers = map(&[("grpc-status", "0"), ("grpc-message", "ok")]);
        let mut out = Vec::new();
        let left = Encoding(Form::Binary).end(Some(trailers), &mut out).unwrap();
        assert_eq!(left, None);
        assert_eq!(out.concat(), b"\x80\0\0\0\x20grpc-status:0\r\ngrpc-message:ok\r\n");
    }
}
