//! Unary gRPC calls over callouts (the gRPC over HTTP/2 protocol): one message there, one message back.
//!
//! Owns the framing of messages and the reading of `grpc-status`. Messages are not compressed. Must not know any service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use prost::Message;

use super::{Call, CallError, Called, Caller};
use crate::policy::stream_limits::GRPC_TIMEOUT;
use crate::upstream::Upstream;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// A flag byte and the message's length.
const PREFIX: usize = 5;

/// A gRPC status code; 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc-status {}", self.0)
    }
}

/// A call without its message.
#[derive(Debug, Clone)]
pub struct GrpcCall {
    /// `/package.Service/Method`.
    pub method: &'static str,
    /// `:authority`; none = the upstream's name.
    pub authority: Option<Box<str>>,
    /// Metadata to send along.
    pub metadata: HeaderMap,
    /// For everything together; the server is told.
    pub timeout: Duration,
    /// Most bytes of the answer's message.
    pub answer_limit: usize,
}

/// Why a call has no message for an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrpcError {
    /// No answer at all.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The upstream is not spoken to over HTTP/2.
    #[error("upstream \"{0}\" is not one for HTTP/2, which gRPC needs (useHttp2)")]
    NotHttp2(Arc<str>),
    /// The server says no; its text as sent, percent-encoded.
    #[error("{0}: {1}")]
    Status(Code, Box<str>),
    /// It is no answer to a gRPC call.
    #[error("not a gRPC answer: {0}")]
    Malformed(Box<str>),
}

impl Caller {
    /// Sends `message` and reads the one that comes back.
    ///
    /// # Errors
    /// See [`GrpcError`]: everything that is not a message with status 0.
    pub fn unary<Q: Message, A: Message + Default>(
        &self,
        upstream: Arc<Upstream>,
        call: GrpcCall,
        message: &Q,
    ) -> impl Future<Output = Result<A, GrpcError>> + Send + 'static + use<Q, A> {
        let caller = self.clone();
        let body = frame(message);
        async move {
            if !upstream.http2 {
                return Err(GrpcError::NotHttp2(upstream.name.clone()));
            }
            let mut headers = call.metadata;
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(GRPC_TIMEOUT, timeout(call.timeout));
            let http = Call {
                method: Method::POST,
                target: PathAndQuery::from_static(call.method),
                authority: call.authority,
                headers,
                body,
                timeout: call.timeout,
                answer_limit: call.answer_limit.saturating_add(PREFIX),
                discard: false,
            };
            read(&caller.call(upstream, http).await?)
        }
    }
}

/// One message with its prefix.
fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(length.saturating_add(PREFIX));
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Room was made for all of it.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// At most eight digits are allowed.
fn timeout(limit: Duration) -> HeaderValue {
    let text = match u32::try_from(limit.as_millis()) {
        Ok(millis) if millis < 100_000_000 => format!("{millis}m"),
        _ => format!("{}S", limit.as_secs().min(99_999_999)),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0m"))
}

fn read<A: Message + Default>(answer: &Called) -> Result<A, GrpcError> {
    let malformed = |what: String| GrpcError::Malformed(what.into());
    if answer.status != StatusCode::OK {
        return Err(malformed(format!("HTTP status {}", answer.status)));
    }
    // Without a message they may stand in the header.
    let ends = [&answer.trailers, &answer.headers].into_iter().find(|end| end.contains_key(GRPC_STATUS));
    let ends = ends.ok_or_else(|| malformed("no grpc-status".into()))?;
    let code = ends.get(GRPC_STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    let code = code.map(Code).ok_or_else(|| malformed("grpc-status is no number".into()))?;
    if code.0 != 0 {
        let said = ends.get(GRPC_MESSAGE).map(|text| String::from_utf8_lossy(text.as_bytes()));
        return Err(GrpcError::Status(code, said.unwrap_or_default().into()));
    }
    let mut body = answer.body.clone();
    let (Ok(flag), Ok(length)) = (body.try_get_u8(), body.try_get_u32()) else {
        return Err(malformed("no message".into()));
    };
    if flag != 0 {
        return Err(malformed("the message is compressed".into()));
    }
    if usize::try_from(length) != Ok(body.len()) {
        return Err(malformed(format!("a message of {length} bytes in {}", body.len())));
    }
    A::decode(body).map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &'static str, body: &'static [u8]) -> Called {
        let mut trailers = HeaderMap::new();
        trailers.insert(GRPC_STATUS, HeaderValue::from_static(status));
        Called { body: Bytes::from_static(body), trailers, ..Called::default() }
    }

    #[test]
    fn a_message_comes_through_its_frame() {
        let text = "hello".to_owned();
        let answer = Called { body: frame(&text), ..answer("0", b"") };
        assert_eq!(read::<String>(&answer), Ok(text));
    }

    #[test]
    fn everything_else_is_an_error() {
        for (bad, why) in [
            (Called { status: StatusCode::BAD_GATEWAY, ..answer("0", b"\0\0\0\0\0") }, "HTTP status 502"),
            (Called { trailers: HeaderMap::new(), ..answer("0", b"\0\0\0\0\0") }, "no grpc-status"),
            (answer("ok", b"\0\0\0\0\0"), "no number"),
            (answer("14", b"\0\0\0\0\0"), "grpc-status 14"),
            (answer("0", b""), "no message"),
            (answer("0", b"\x01\0\0\0\0"), "compressed"),
            (answer("0", b"\0\0\0\0\x02a"), "2 bytes in 1"),
            (answer("0", b"\0\0\0\0\0\0"), "0 bytes in 1"),
            (answer("0", b"\0\0\0\0\x01\xff"), "decode"),
        ] {
            let error = read::<String>(&bad).expect_err(why).to_string();
            assert!(error.contains(why), "{error}: {why}");
        }
    }

    #[test]
    fn a_status_in_the_header_counts() {
        let both = answer("7", b"");
        let only = Called { headers: both.trailers.clone(), ..Called::default() };
        assert!(matches!(read::<String>(&only), Err(GrpcError::Status(Code(7), _))));
    }

    #[test]
    fn the_server_is_told_the_time() {
        assert_eq!(timeout(Duration::from_millis(200)), "200m");
        assert_eq!(timeout(Duration::from_secs(1_000_000)), "1000000S");
    }
}
