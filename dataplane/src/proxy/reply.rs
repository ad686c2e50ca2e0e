//! Every answer that the gateway gives by itself: why, with which status, and in which form.
//!
//! [`Reason`] is the stable word for it, the same in the access log, the span and the metric. Owns the mapping from
//! reason to status and text (Envoy's, so that users recognise it) and the gRPC form of it; nothing else in the data
//! plane picks a status. Must not write to a connection: that is `phases`' doing.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};

use super::h1::Invalid;

/// Why the gateway answered, or ended, a request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No virtual host for the request's host.
    NoVirtualHost,
    /// The virtual host has no route for the request.
    NoRoute,
    /// The route names an upstream that does not exist.
    NoCluster,
    /// The upstream has no endpoint to try.
    UpstreamUnhealthy,
    /// No connection to an endpoint.
    ConnectFailed,
    /// No connection to an endpoint in time.
    ConnectTimeout,
    /// A circuit breaker of the upstream refused it.
    Overflow,
    /// The upstream closed or reset before its response header.
    UpstreamReset,
    /// The upstream's answer is not valid HTTP.
    UpstreamProtocol,
    /// The route's time limit passed.
    Timeout,
    /// The last try's time limit passed.
    PerTryTimeout,
    /// Nothing moved for too long.
    IdleTimeout,
    /// The request is malformed.
    BadRequest,
    /// The request header is too large or has too many fields.
    HeaderTooLarge,
    /// The request target alone is larger than a header may be.
    TargetTooLong,
    /// A version of HTTP that is not spoken here.
    VersionNotSupported,
    /// HTTP/1.0, which the listener does not serve.
    LowVersion,
    /// The request header did not arrive in time.
    HeaderTimeout,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The request and its answer took longer than the listener allows.
    MaxDuration,
    /// A try took longer than the upstream allows.
    UpstreamMaxDuration,
    /// The virtual host asks for a client certificate, and this connection was made for another.
    Misdirected,
    /// A change of protocol that is not allowed.
    UpgradeFailed,
    /// A transfer coding that is not served.
    UnsupportedCoding,
    /// CONNECT on a route that does not allow it.
    ConnectNotAllowed,
    /// The route's configuration was rejected and there is no earlier form of it.
    ConfigRejected,
    /// The virtual host wants TLS.
    TlsRequired,
    /// The route redirects.
    Redirect,
    /// The route answers itself.
    DirectResponse,
    /// Too much is going on.
    Overload,
    /// The request's body is longer than a policy may keep.
    BodyTooLarge,
    /// The answer's body is longer than a policy may keep.
    ResponseTooLarge,
    /// A policy answered; the word is its own.
    Policy(&'static str),
    /// The client went away; nobody is left to answer.
    ClientGone,
    /// The upstream broke off after its response header: the answer is cut.
    UpstreamTruncated,
    /// The worker goes down, and the stream has not ended in the time that it was given.
    Drained,
    /// A fault of the gateway itself.
    Internal,
}

impl Reason {
    /// The word in logs, spans and metrics. Never changes once released.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NoVirtualHost => "no_virtual_host",
            Reason::NoRoute => "no_route",
            Reason::NoCluster => "no_cluster",
            Reason::UpstreamUnhealthy => "upstream_unhealthy",
            Reason::ConnectFailed => "connect_failed",
            Reason::ConnectTimeout => "connect_timeout",
            Reason::Overflow => "overflow",
            Reason::UpstreamReset => "upstream_reset",
            Reason::UpstreamProtocol => "upstream_protocol_error",
            Reason::Timeout => "timeout",
            Reason::PerTryTimeout => "per_try_timeout",
            Reason::IdleTimeout => "idle_timeout",
            Reason::BadRequest => "bad_request",
            Reason::HeaderTooLarge => "header_too_large",
            Reason::TargetTooLong => "target_too_long",
            Reason::VersionNotSupported => "version_not_supported",
            Reason::LowVersion => "low_version",
            Reason::HeaderTimeout => "header_timeout",
            Reason::RequestTimeout => "request_timeout",
            Reason::MaxDuration => "max_duration",
            Reason::UpstreamMaxDuration => "upstream_max_duration",
            Reason::UpgradeFailed => "upgrade_failed",
            Reason::UnsupportedCoding => "unsupported_transfer_coding",
            Reason::ConnectNotAllowed => "connect_not_allowed",
            Reason::ConfigRejected => "config_rejected",
            Reason::TlsRequired => "tls_required",
            Reason::Redirect => "redirect",
            Reason::DirectResponse => "direct_response",
            Reason::Overload => "overload",
            Reason::BodyTooLarge => "body_too_large",
            Reason::ResponseTooLarge => "response_too_large",
            Reason::Policy(word) => word,
            Reason::Misdirected => "misdirected_request",
            Reason::ClientGone => "client_disconnect",
            Reason::UpstreamTruncated => "upstream_truncated",
            Reason::Drained => "drained",
            Reason::Internal => "internal",
        }
    }

    /// Envoy's response flag for it, or `-`: what dashboards made for Envoy's access logs look for.
    pub fn flag(self) -> &'static str {
        match self {
            Reason::NoVirtualHost | Reason::NoRoute => "NR",
            Reason::NoCluster => "NC",
            Reason::UpstreamUnhealthy => "UH",
            Reason::ConnectFailed | Reason::ConnectTimeout => "UF",
            Reason::Overflow => "UO",
            Reason::UpstreamReset | Reason::UpstreamTruncated => "UC",
            Reason::UpstreamProtocol => "UPE",
            Reason::Timeout | Reason::PerTryTimeout => "UT",
            Reason::IdleTimeout => "SI",
            Reason::BadRequest
            | Reason::HeaderTooLarge
            | Reason::TargetTooLong
            | Reason::VersionNotSupported
            | Reason::LowVersion
            | Reason::HeaderTimeout
            | Reason::UnsupportedCoding => "DPE",
            Reason::MaxDuration => "DT",
            Reason::UpstreamMaxDuration => "UMSDR",
            Reason::Overload => "OM",
            Reason::ClientGone => "DC",
            Reason::ConfigRejected
            | Reason::TlsRequired
            | Reason::Redirect
            | Reason::DirectResponse
            | Reason::RequestTimeout
            | Reason::UpgradeFailed
            | Reason::ConnectNotAllowed
            | Reason::Misdirected
            | Reason::Policy(_)
            | Reason::BodyTooLarge
            | Reason::ResponseTooLarge
            | Reason::Drained
            | Reason::Internal => "-",
        }
    }

    /// What Envoy says in `%RESPONSE_CODE_DETAILS%`, where it has a word for it.
    pub fn details(self) -> &'static str {
        match self {
            Reason::NoVirtualHost | Reason::NoRoute => "route_not_found",
            Reason::NoCluster => "cluster_not_found",
            Reason::UpstreamUnhealthy => "no_healthy_upstream",
            Reason::ConnectFailed => "upstream_reset_before_response_started{remote_connection_failure}",
            Reason::ConnectTimeout => "upstream_reset_before_response_started{connection_timeout}",
            Reason::UpstreamReset => "upstream_reset_before_response_started{connection_termination}",
            Reason::UpstreamProtocol => "upstream_reset_before_response_started{protocol_error}",
            Reason::UpstreamTruncated => "upstream_reset_after_response_started{connection_termination}",
            Reason::Timeout => "response_timeout",
            Reason::PerTryTimeout => "upstream_per_try_timeout",
            Reason::IdleTimeout => "stream_idle_timeout",
            Reason::HeaderTimeout => "request_header_timeout",
            Reason::RequestTimeout => "request_overall_timeout",
            Reason::MaxDuration => "max_duration_timeout",
            Reason::UpstreamMaxDuration => "upstream_max_stream_duration_reached",
            Reason::ConnectNotAllowed => "upgrade_failed",
            Reason::TlsRequired | Reason::Redirect | Reason::DirectResponse => "direct_response",
            Reason::ClientGone => "downstream_remote_disconnect",
            Reason::Policy("fault_abort") => "fault_filter_abort",
            Reason::Policy("cors_preflight") => "cors_response",
            other => other.as_str(),
        }
    }

    /// The request could not be read to its end for sure, so that the connection cannot carry another one.
    pub(super) fn closes(self) -> bool {
        matches!(
            self,
            Reason::BadRequest
                | Reason::HeaderTooLarge
                | Reason::TargetTooLong
                | Reason::VersionNotSupported
                | Reason::LowVersion
                | Reason::HeaderTimeout
                | Reason::RequestTimeout
                | Reason::UpgradeFailed
                | Reason::UnsupportedCoding
                | Reason::ConnectNotAllowed
                | Reason::ClientGone
                | Reason::IdleTimeout
                | Reason::Overload
        )
    }

    /// An end that the tries know nothing of: nobody is told of them then.
    pub fn is_of_the_stream(self) -> bool {
        matches!(self, Reason::IdleTimeout | Reason::MaxDuration | Reason::RequestTimeout)
    }

    /// The status, and the text that Envoy sends with it.
    fn usual(self) -> (StatusCode, &'static str) {
        match self {
            Reason::NoVirtualHost | Reason::NoRoute => (StatusCode::NOT_FOUND, ""),
            Reason::NoCluster => (StatusCode::SERVICE_UNAVAILABLE, ""),
            Reason::UpstreamUnhealthy => (StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream"),
            Reason::ConnectFailed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
            ),
            Reason::ConnectTimeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
            ),
            Reason::Overflow => (
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream connect error or disconnect/reset before headers. reset reason: overflow",
            ),
            Reason::UpstreamReset | Reason::UpstreamTruncated => (
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            ),
            Reason::UpstreamProtocol => (
                StatusCode::BAD_GATEWAY,
                "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
            ),
            Reason::Timeout | Reason::PerTryTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "upstream request timeout")
            }
            Reason::IdleTimeout => (StatusCode::REQUEST_TIMEOUT, "stream timeout"),
            Reason::BadRequest => (StatusCode::BAD_REQUEST, "Bad Request"),
            Reason::HeaderTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large")
            }
            Reason::TargetTooLong => (StatusCode::URI_TOO_LONG, "URI Too Long"),
            Reason::VersionNotSupported => {
                (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "HTTP Version Not Supported")
            }
            Reason::LowVersion => (StatusCode::UPGRADE_REQUIRED, "Upgrade Required"),
            Reason::HeaderTimeout => (StatusCode::REQUEST_TIMEOUT, "request header timeout"),
            Reason::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request timeout"),
            Reason::MaxDuration => (StatusCode::GATEWAY_TIMEOUT, "downstream duration timeout"),
            Reason::UpstreamMaxDuration => {
                (StatusCode::REQUEST_TIMEOUT, "upstream max stream duration reached")
            }
            Reason::UpgradeFailed => (StatusCode::FORBIDDEN, ""),
            Reason::UnsupportedCoding => (StatusCode::NOT_IMPLEMENTED, "Not Implemented"),
            Reason::ConnectNotAllowed => (StatusCode::FORBIDDEN, ""),
            Reason::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "Misdirected Request"),
            Reason::ConfigRejected => (StatusCode::SERVICE_UNAVAILABLE, "configuration rejected"),
            Reason::TlsRequired | Reason::Redirect => (StatusCode::MOVED_PERMANENTLY, ""),
            Reason::DirectResponse => (StatusCode::OK, ""),
            Reason::Overload => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Reason::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
            Reason::ResponseTooLarge => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Reason::Policy(_) => (StatusCode::FORBIDDEN, ""),
            // Nobody reads this one; 499 is what logs of other proxies show.
            Reason::ClientGone => (CLIENT_CLOSED_REQUEST, ""),
            // Only said of what was answered already.
            Reason::Drained => (StatusCode::SERVICE_UNAVAILABLE, ""),
            Reason::Internal => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        }
    }
}

/// The status that only logs and metrics see: the client closed before it was answered.
pub const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Tells a client that it should not come again at once.
const X_ENVOY_OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// An answer of the gateway's own.
#[derive(Debug, Clone)]
pub struct LocalReply {
    /// Why.
    pub reason: Reason,
    /// HTTP status; a gRPC client gets its equivalent.
    pub status: StatusCode,
    /// Text, `text/plain` unless [`LocalReply::headers`] say otherwise.
    pub body: Bytes,
    /// Further response fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What exactly was wrong, for the log only: a client learns nothing from it.
    pub detail: Option<Box<str>>,
    /// Envoy's response flag; "-" for none.
    pub flag: &'static str,
}

impl From<Reason> for LocalReply {
    fn from(reason: Reason) -> Self {
        LocalReply::new(reason)
    }
}

impl From<Invalid> for LocalReply {
    fn from(invalid: Invalid) -> Self {
        let reason = match invalid {
            Invalid::Malformed(_) => Reason::BadRequest,
            Invalid::TooLarge(_) => Reason::HeaderTooLarge,
            Invalid::TargetTooLong => Reason::TargetTooLong,
            Invalid::Coding => Reason::UnsupportedCoding,
            Invalid::Version => Reason::VersionNotSupported,
        };
        LocalReply::new(reason).detail(invalid.detail())
    }
}

impl From<crate::policy::LocalReply> for LocalReply {
    fn from(reply: crate::policy::LocalReply) -> Self {
        let mut own = LocalReply::new(Reason::Policy(reply.reason)).status(reply.status).body(reply.body);
        own.headers = reply.headers;
        own.flag = reply.flag;
        own
    }
}

impl From<crate::policy::BodyError> for LocalReply {
    fn from(error: crate::policy::BodyError) -> Self {
        let text = error.status.canonical_reason().unwrap_or_default();
        LocalReply::new(Reason::Policy(error.reason)).status(error.status).body(text).detail(error.detail)
    }
}

impl LocalReply {
    /// The usual answer for `reason`.
    pub fn new(reason: Reason) -> Self {
        let (status, text) = reason.usual();
        LocalReply {
            reason,
            status,
            body: Bytes::from_static(text.as_bytes()),
            headers: match reason {
                Reason::Overflow => vec![(X_ENVOY_OVERLOADED, HeaderValue::from_static("true"))],
                _ => Vec::new(),
            },
            detail: None,
            flag: reason.flag(),
        }
    }

    /// A malformed request, with what is wrong about it.
    pub fn bad_request(detail: impl Into<Box<str>>) -> Self {
        LocalReply::new(Reason::BadRequest).detail(detail)
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// One more response field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What exactly happened, for the log.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same after more than one try, in Envoy's words.
    #[must_use]
    pub fn retried(mut self) -> Self {
        const BEFORE: &[u8] = b"upstream connect error or disconnect/reset before headers. ";
        if let Some(reason) = self.body.strip_prefix(BEFORE) {
            self.body = [BEFORE, b"retried and the latest ", reason].concat().into();
        }
        self
    }

    /// The header and body to send. A gRPC client is answered as its protocol wants it: status 200 with `grpc-status`
    /// and `grpc-message` and no body ("trailers-only").
    pub fn into_response(self, grpc: bool) -> (http::response::Parts, Bytes) {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.version = Version::HTTP_11;
        for (name, value) in self.headers {
            parts.headers.append(name, value);
        }
        if grpc {
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            let code = if self.reason == Reason::MaxDuration { 4 } else { grpc_status(self.status) };
            parts.headers.insert(GRPC_STATUS, HeaderValue::from(code));
            if let Some(message) = grpc_message(&self.body) {
                parts.headers.insert(GRPC_MESSAGE, message);
            }
            return (parts, Bytes::new());
        }
        parts.status = self.status;
        if self.status != StatusCode::NO_CONTENT && self.status != StatusCode::NOT_MODIFIED {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        if !self.body.is_empty() {
            parts.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
        }
        (parts, self.body)
    }
}

/// Field of a gRPC call's result.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Field of what a gRPC call's result says.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is a gRPC call, by its content-type: `application/grpc`, alone or with a suffix after `+`.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+") || rest.starts_with(b";"))
}

/// The gRPC code for an HTTP status, by the table of gRPC's own HTTP mapping with Envoy's additions.
pub(crate) fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// The HTTP status for a gRPC code: gRPC's HTTP mapping, read backwards as Envoy does.
pub(crate) fn http_status(code: u16) -> StatusCode {
    match code {
        0 => StatusCode::OK,
        1 => CLIENT_CLOSED_REQUEST,
        3 | 9 | 11 => StatusCode::BAD_REQUEST,
        4 => StatusCode::GATEWAY_TIMEOUT,
        5 => StatusCode::NOT_FOUND,
        6 | 10 => StatusCode::CONFLICT,
        7 => StatusCode::FORBIDDEN,
        8 => StatusCode::TOO_MANY_REQUESTS,
        12 => StatusCode::NOT_IMPLEMENTED,
        14 => StatusCode::SERVICE_UNAVAILABLE,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// gRPC's percent-encoding of a message: printable ASCII but `%` stays. `None` for an empty one.
pub(crate) fn grpc_message(body: &[u8]) -> Option<HeaderValue> {
    if body.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(body.len());
    for byte in body {
        match byte {
            b'%' | 0..0x20 | 0x7f.. => text.push_str(&format!("%{byte:02X}")),
            _ => text.push(char::from(*byte)),
        }
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_client_is_told_in_its_own_terms() {
        let (parts, body) = LocalReply::new(Reason::Timeout).into_response(true);
        assert_eq!(parts.status, 200);
        assert_eq!(parts.headers["grpc-status"], "14");
        assert_eq!(parts.headers["grpc-message"], "upstream request timeout");
        assert!(body.is_empty());
        let (parts, _) = LocalReply::new(Reason::NoRoute).into_response(true);
        assert_eq!(parts.headers["grpc-status"], "12");
        assert!(!parts.headers.contains_key("grpc-message"));
    }

    #[test]
    fn grpc_is_told_by_its_content_type_only() {
        let grpc = |value: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(grpc("application/grpc"));
        assert!(grpc("application/grpc+proto"));
        assert!(!grpc("application/grpc-web"));
        assert!(!grpc("application/json"));
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(grpc_message(b"100% \n").unwrap(), "100%25 %0A");
    }
}
