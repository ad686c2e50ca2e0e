//! `grpc.health.v1.Health/Check`: an endpoint that serves says so in a message.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use portcullis_shared::table::GrpcCheck;
use prost::Message;

use super::http::{Connection, add, connection, host_of};
use super::probe::{Dialer, Failure};

const PATH: &str = "/grpc.health.v1.Health/Check";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Bytes of an answer; a message of health has two.
const LONGEST: usize = 64 * 1024;
/// `ServingStatus.SERVING`.
const SERVING: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

pub(super) async fn ask(
    check: &GrpcCheck,
    dialer: &Dialer<'_>,
    kept: &mut Option<Connection>,
) -> Result<(), Failure> {
    let mut connection = connection(kept, dialer, true).await?;
    let mut request = Request::new(Full::new(framed(&check.service_name)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(PATH);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("Envoy/HC"));
    add(headers, &check.metadata);
    let host = host_of(check.authority.as_ref(), dialer)?;
    let answer = connection.send(request, &host, dialer.upstream.tls.is_some()).await?;
    if answer.status() != StatusCode::OK {
        return Err(Failure::Active);
    }
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, LONGEST).collect().await.map_err(|_| Failure::Network)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let message = body.to_bytes();
    *kept = Some(connection);
    let ok = |headers: &HeaderMap| headers.get(GRPC_STATUS).is_some_and(|status| status.as_bytes() == b"0");
    let serving = (ok(&trailers) || ok(&parts.headers)) && status(&message) == Some(SERVING);
    if serving { Ok(()) } else { Err(Failure::Active) }
}

/// The message behind its prefix: not compressed, and its length.
fn framed(service: &str) -> Bytes {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(request.encoded_len()).unwrap_or(0));
    bytes.extend_from_slice(&request.encode_to_vec());
    bytes.freeze()
}

fn status(body: &[u8]) -> Option<i32> {
    let (prefix, message) = body.split_at_checked(5)?;
    let [0, a, b, c, d] = prefix else { return None };
    let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
    Some(HealthCheckResponse::decode(message.get(..length)?).ok()?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(&framed("ab")[..], b"\0\0\0\0\x04\x0a\x02ab");
        assert_eq!(status(b"\0\0\0\0\x02\x08\x01"), Some(SERVING));
        assert_eq!(status(b"\0\0\0\0\0"), Some(0));
        assert_eq!(status(b"\x01\0\0\0\0"), None, "compressed");
        assert_eq!(status(b"\0\0\0\0\x02\x08"), None);
    }
}
