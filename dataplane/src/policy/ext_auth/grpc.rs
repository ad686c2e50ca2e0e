//! The question and the answer in the form of Envoy's Authorization service, version 3.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode, Version};
use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::service::auth::v3 as auth;
use portcullis_proto::policy::v1 as proto;

use super::change::{Change, Changes, Field, How, Impossible, ResponseChanges, joined, response_name};
use super::{ANSWER_BYTES, Decision, Denial, Sent};
use crate::policy::RequestCx;
use crate::proxy::callout::{GrpcCall, GrpcError};
use crate::tls::peer;

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Tells the server whether it has the whole body.
pub(super) const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// See the module.
#[derive(Debug)]
pub(super) struct Grpc {
    authority: Option<Box<str>>,
    extensions: BTreeMap<String, String>,
}

impl Grpc {
    pub(super) fn new(wire: proto::ExtAuthGrpc, extensions: BTreeMap<String, String>) -> Self {
        let authority = Some(wire.authority).filter(|text| !text.is_empty()).map(Into::into);
        Grpc { authority, extensions }
    }

    pub(super) fn call(&self, timeout: Duration) -> GrpcCall {
        GrpcCall {
            method: METHOD,
            authority: self.authority.clone(),
            metadata: HeaderMap::new(),
            timeout,
            answer_limit: ANSWER_BYTES,
        }
    }

    pub(super) fn question(
        &self,
        cx: &RequestCx<'_>,
        body: Option<&Sent>,
        as_bytes: bool,
    ) -> auth::CheckRequest {
        let facts = cx.facts;
        let mut http = auth::attribute_context::HttpRequest {
            id: text(cx.headers.map().get(X_REQUEST_ID).map_or(b"", HeaderValue::as_bytes)),
            method: cx.method().into(),
            headers: headers(cx, body),
            path: cx.path().into(),
            host: cx.authority().into(),
            scheme: facts.scheme.into(),
            size: size(cx, body),
            protocol: protocol(facts.protocol).into(),
            ..Default::default()
        };
        match body {
            Some(body) if as_bytes => http.raw_body = body.bytes.to_vec(),
            Some(body) => http.body = text(&body.bytes),
            None => {}
        }
        let certificate = facts.tls.and_then(|tls| tls.peer_certificate.as_ref());
        let principal = certificate.and_then(|der| {
            peer::uri_names(der).or_else(|| peer::dns_names(der)).or_else(|| peer::subject(der))
        });
        let source = auth::attribute_context::Peer {
            address: Some(address(facts.client)),
            principal: principal.unwrap_or_default(),
            ..Default::default()
        };
        let destination =
            auth::attribute_context::Peer { address: Some(address(facts.local)), ..Default::default() };
        let attributes = auth::AttributeContext {
            source: Some(source),
            destination: Some(destination),
            request: Some(auth::attribute_context::Request {
                time: Some(facts.started.into()),
                http: Some(http),
            }),
            context_extensions: self.extensions.clone(),
            tls_session: None,
        };
        auth::CheckRequest { attributes: Some(attributes) }
    }
}

fn headers(cx: &RequestCx<'_>, body: Option<&Sent>) -> BTreeMap<String, String> {
    let map = cx.headers.map();
    let names = map.keys().filter(|name| **name != HOST);
    let mut headers: BTreeMap<String, String> =
        names.map(|name| (name.as_str().to_owned(), text(&joined(map, name)))).collect();
    for (name, value) in [
        (":method", cx.method()),
        (":path", cx.path()),
        (":authority", cx.authority()),
        (":scheme", cx.facts.scheme),
    ] {
        headers.insert(name.to_owned(), value.to_owned());
    }
    if let Some(body) = body {
        headers.insert(PARTIAL_BODY.to_owned(), body.partial.to_string());
    }
    headers
}

fn size(cx: &RequestCx<'_>, body: Option<&Sent>) -> i64 {
    let said = cx.headers.map().get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match (said.and_then(|text| text.parse().ok()), body) {
        (Some(length), _) => length,
        (None, Some(body)) if !body.partial => i64::try_from(body.bytes.len()).unwrap_or(-1),
        (None, None) if !cx.has_body => 0,
        _ => -1,
    }
}

/// Messages hold UTF-8 only.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn address(address: SocketAddr) -> core::Address {
    core::Address {
        socket_address: Some(core::SocketAddress {
            address: address.ip().to_canonical().to_string(),
            port_value: address.port().into(),
        }),
    }
}

/// What an answer means that took so long.
pub(super) fn decision(answer: Result<auth::CheckResponse, GrpcError>, took: Duration) -> Decision {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Decision::Failed(error.to_string().into()),
    };
    let mut metadata = answer.dynamic_metadata.filter(|it| !it.fields.is_empty());
    let decided = match answer.status.unwrap_or_default().code {
        0 => allowed(answer.http_response).map(|changes| {
            if let Some(metadata) = &mut metadata {
                // A number of JSON has no room for all whole numbers; this one is small.
                let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX).into();
                let value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(millis)) };
                metadata.fields.insert("ext_authz_duration".to_owned(), value);
            }
            Decision::Allow(Box::new(Changes { metadata, ..changes }))
        }),
        _ => denied(answer.http_response).map(|denial| Decision::Deny(Denial { metadata, ..denial })),
    };
    decided.unwrap_or_else(|Impossible| Decision::Failed("a field that HTTP cannot have".into()))
}

fn allowed(response: Option<auth::check_response::HttpResponse>) -> Result<Changes, Impossible> {
    use auth::check_response::HttpResponse::OkResponse;
    let Some(OkResponse(ok)) = response else { return Ok(Changes::default()) };
    let mut changes = Changes::default();
    for option in ok.headers {
        let Some((name, value, how)) = option_of(option)? else { continue };
        if let Some(field) = Field::new(&name)? {
            // Unlike a response's, a request's field is not made by appending to it.
            let how = if how == How::Append { How::Join } else { how };
            changes.request.push(Change { field, value, how });
        }
    }
    for name in ok.headers_to_remove {
        if let Some(Field::Named(name)) = Field::new(&name.to_ascii_lowercase())? {
            changes.remove.push(name);
        }
    }
    let mut response = Vec::new();
    for option in ok.response_headers_to_add {
        let Some((name, value, how)) = option_of(option)? else { continue };
        response.extend(response_name(&name)?.map(|name| (name, value, how)));
    }
    changes.response = ResponseChanges(response);
    changes.set_query = ok.query_parameters_to_set.into_iter().map(|it| (it.key, it.value)).collect();
    changes.remove_query = ok.query_parameters_to_remove;
    Ok(changes)
}

fn denied(response: Option<auth::check_response::HttpResponse>) -> Result<Denial, Impossible> {
    use auth::check_response::HttpResponse::DeniedResponse;
    let mut denial = Denial {
        status: StatusCode::FORBIDDEN,
        metadata: None,
        headers: Vec::new(),
        body: bytes::Bytes::new(),
    };
    let Some(DeniedResponse(denied)) = response else { return Ok(denial) };
    let code = denied.status.map_or(0, |status| status.code);
    if let Some(status) = u16::try_from(code).ok().filter(|code| (200..=599).contains(code)) {
        denial.status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    }
    for option in denied.headers {
        let Some((name, value, _)) = option_of(option)? else { continue };
        denial.headers.extend(response_name(&name)?.map(|name| (name, value)));
    }
    denial.body = denied.body.into();
    Ok(denial)
}

/// Name, value and how. An option that says nothing sets.
fn option_of(option: core::HeaderValueOption) -> Result<Option<(String, HeaderValue, How)>, Impossible> {
    use core::header_value_option::HeaderAppendAction as Action;
    let Some(header) = option.header else { return Ok(None) };
    let value = if header.value.is_empty() { header.raw_value } else { header.value.into_bytes() };
    let value = HeaderValue::from_bytes(&value).map_err(|_| Impossible)?;
    let how = match (option.append, Action::try_from(option.append_action)) {
        (Some(true), _) => How::Append,
        (Some(false), _) | (None, Ok(Action::AppendIfExistsOrAdd)) => How::Set,
        (None, Ok(Action::AddIfAbsent)) => How::IfAbsent,
        (None, Ok(Action::OverwriteIfExists)) => How::IfPresent,
        (None, Ok(Action::OverwriteIfExistsOrAdd)) => How::Set,
        (None, Err(_)) => return Err(Impossible),
    };
    Ok(Some((header.key.to_ascii_lowercase(), value, how)))
}
