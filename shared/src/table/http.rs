//! How HTTP is spoken on the connections of a filter chain.
//!
//! What a field says when it is absent is the worker's business, so that a default has one place.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use portcullis_proto::policy::v1::HeaderLevel;
use portcullis_proto::table::v1 as wire;

use super::AccessLog;
use super::field::{bytes, each};
use crate::Invalid;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpSettings {
    /// In place of the worker's own log.
    pub access_logs: Vec<AccessLog>,
    /// Who the client is.
    pub client: ClientAddress,
    /// No `x-request-id` is made.
    pub no_request_id: bool,
    /// An outer client's `x-request-id` is kept at the edge.
    pub preserve_external_request_id: bool,
    /// Added to `via`, both ways.
    pub via: Option<HeaderValue>,
    /// The value of `server`.
    pub server_name: Option<HeaderValue>,
    /// When it is set.
    pub server_header: ServerHeader,
    /// Times.
    pub timeouts: Timeouts,
    /// Bytes of a header.
    pub header_bytes: Option<usize>,
    /// Fields of a header.
    pub header_fields: Option<usize>,
    /// Of one connection.
    pub requests_per_connection: Option<u32>,
    /// What is special to HTTP/1.
    pub http1: Http1,
    /// What is special to HTTP/2.
    pub http2: Http2,
    /// How paths are read.
    pub paths: Paths,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_certificate: ClientCertificate,
    /// Protocols that a connection may change to, or may not, lower case.
    pub upgrades: Vec<(Box<str>, bool)>,
    /// On a request before anything else looks at it.
    pub early_headers: Vec<HeaderLevel>,
    /// No `x-envoy-*` is added.
    pub suppress_envoy_headers: bool,
    /// Traces; `None` = as the worker is set up.
    pub tracing: Option<Tracing>,
    /// Versions of HTTP.
    pub codec: Codec,
    /// `x-forwarded-port` is set.
    pub append_x_forwarded_port: bool,
    /// The port of a host counts for nothing.
    pub strip_any_host_port: bool,
    /// What becomes of names with underscores.
    pub underscores: Underscores,
    /// Bytes of a body that are kept for retries and policies; `None` = the worker's default.
    pub buffer_limit: Option<usize>,
}

impl Eq for HttpSettings {}

/// Who the client is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientAddress {
    /// This gateway is the edge: the connection says it, and clients are not trusted.
    pub use_remote: bool,
    /// Proxies in front whose `x-forwarded-for` is believed.
    pub trusted_hops: usize,
    /// The client is not added to `x-forwarded-for`.
    pub skip_xff_append: bool,
    /// Networks whose clients are internal.
    pub internal: Vec<Network>,
}

/// When `server` is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerHeader {
    /// Always.
    #[default]
    Overwrite,
    /// Where the upstream says nothing.
    AppendIfAbsent,
    /// Never.
    PassThrough,
}

/// A time that a user may set: absent, or a limit, or none.
pub type Time = Option<Option<Duration>>;

/// Times; each is `None` where nothing is said, `Some(None)` where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Silence that ends a request.
    pub stream_idle: Time,
    /// A connection without requests.
    pub idle: Time,
    /// Until the whole request is here.
    pub request: Time,
    /// Until its header is.
    pub request_headers: Time,
    /// From saying that a connection ends to ending it.
    pub drain: Time,
    /// From closing one side of a connection to closing it.
    pub delayed_close: Time,
    /// Of a connection.
    pub max_connection: Time,
    /// Of a request with its answer.
    pub max_stream: Time,
}

/// What is special to HTTP/1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http1 {
    /// HTTP/1.0 is served.
    pub accept_http10: bool,
    /// The host of HTTP/1.0 requests that name none.
    pub default_host: Option<Box<str>>,
    /// `expect: 100-continue` goes to the upstream.
    pub forward_expect: bool,
    /// `content-length` beside `transfer-encoding` is dropped.
    pub allow_chunked_length: bool,
    /// Trailers pass.
    pub trailers: bool,
    /// How names of fields are written.
    pub header_case: HeaderCase,
}

/// How names of fields are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// `content-type`.
    #[default]
    Lower,
    /// `Content-Type`.
    Proper,
    /// As they came.
    Preserve,
}

/// What is special to HTTP/2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Http2 {
    /// At one time on one connection.
    pub max_concurrent_streams: Option<u32>,
    /// Bytes.
    pub stream_window: Option<u32>,
    /// Bytes.
    pub connection_window: Option<u32>,
}

/// How paths are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paths {
    /// They are not normalised.
    pub keep_dot_segments: bool,
    /// Slashes that follow one another are one.
    pub merge_slashes: bool,
    /// What becomes of `%2f` and `%5c`.
    pub escaped_slashes: EscapedSlashes,
}

/// What becomes of `%2f` and `%5c` in paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// They stay.
    #[default]
    Keep,
    /// 400.
    Reject,
    /// 307 to the path without them.
    Redirect,
    /// They are slashes.
    Forward,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// What the client says in it.
    pub forward: ForwardClientCert,
    /// The certificate's subject is said.
    pub subject: bool,
    /// The certificate.
    pub cert: bool,
    /// The chain.
    pub chain: bool,
    /// Its DNS names.
    pub dns: bool,
    /// Its URI name.
    pub uri: bool,
}

/// What becomes of the client's `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardClientCert {
    /// It is removed.
    #[default]
    Sanitize,
    /// It passes over mutual TLS.
    ForwardOnly,
    /// The same, and this client is added.
    AppendForward,
    /// It is replaced by this client.
    SanitizeSet,
    /// It passes.
    AlwaysForwardOnly,
}

/// What becomes of names with underscores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They pass.
    #[default]
    Allow,
    /// 400.
    Reject,
    /// The field is removed.
    Drop,
}

/// Versions of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    /// What the client speaks.
    #[default]
    Auto,
    /// HTTP/1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// Traces. Shares are of 10,000.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracing {
    /// Of requests that force a trace.
    pub client_share: u32,
    /// Of all others.
    pub random_share: u32,
    /// Cap.
    pub overall_share: u32,
    /// Each is a tag of its name.
    pub request_headers: Vec<HeaderName>,
    /// Texts that are tags.
    pub literals: Vec<(Box<str>, Box<str>)>,
    /// Variables that are tags: name, variable, what stands in for it.
    pub environment: Vec<(Box<str>, Box<str>, Box<str>)>,
    /// More is noted.
    pub verbose: bool,
}

/// A network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`; a lone address is a network of one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| format!("\"{address}\" is not an IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            "" => most,
            bits => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("\"{bits}\" is not a prefix length from 0 to {most}"))?,
        };
        Ok(Self { address, bits })
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                let top = |it: std::net::Ipv4Addr| it.to_bits().checked_shr(shift).unwrap_or(0);
                top(own) == top(other)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                let top = |it: std::net::Ipv6Addr| it.to_bits().checked_shr(shift).unwrap_or(0);
                top(own) == top(other)
            }
            _ => false,
        }
    }
}

/// Milliseconds of which 0 means no limit.
pub(super) fn time(ms: Option<u64>) -> Time {
    ms.map(|ms| (ms != 0).then(|| Duration::from_millis(ms)))
}

fn value(field: &str, text: &str) -> Result<Option<HeaderValue>, Invalid> {
    match HeaderValue::from_str(text) {
        Ok(value) => Ok((!value.is_empty()).then_some(value)),
        Err(_) => Err(Invalid::new(field, "has bytes that no header value may have")),
    }
}

fn text(text: String) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn unknown(field: &str, number: i32) -> Invalid {
    Invalid::new(field, format!("{number} is unknown"))
}

impl TryFrom<wire::HttpSettings> for HttpSettings {
    type Error = Invalid;

    fn try_from(wire: wire::HttpSettings) -> Result<Self, Invalid> {
        let request_id = wire.request_id.unwrap_or_default();
        let server = wire.server.unwrap_or_default();
        let times = wire.timeouts.unwrap_or_default();
        let limits = wire.limits.unwrap_or_default();
        let http2 = wire.http2.unwrap_or_default();
        let number = |it: u32| usize::try_from(it).unwrap_or(usize::MAX);
        Ok(Self {
            access_logs: each("access_logs", wire.access_logs)?,
            client: client_address(wire.client_address.unwrap_or_default())?,
            no_request_id: request_id.none,
            preserve_external_request_id: request_id.preserve_external,
            via: value("via", &wire.via)?,
            server_name: value("server.name", &server.name)?,
            server_header: match wire::ServerHeaderAction::try_from(server.action) {
                Ok(wire::ServerHeaderAction::Overwrite) => ServerHeader::Overwrite,
                Ok(wire::ServerHeaderAction::AppendIfAbsent) => ServerHeader::AppendIfAbsent,
                Ok(wire::ServerHeaderAction::PassThrough) => ServerHeader::PassThrough,
                Err(_) => return Err(unknown("server.action", server.action)),
            },
            timeouts: Timeouts {
                stream_idle: time(times.stream_idle_ms),
                idle: time(times.idle_ms),
                request: time(times.request_ms),
                request_headers: time(times.request_headers_ms),
                drain: time(times.drain_ms),
                delayed_close: time(times.delayed_close_ms),
                max_connection: time(times.max_connection_ms),
                max_stream: time(times.max_stream_ms),
            },
            header_bytes: limits.header_kb.map(|kb| number(kb).saturating_mul(1024)),
            header_fields: limits.header_fields.map(number),
            requests_per_connection: Some(limits.requests_per_connection).filter(|most| *most != 0),
            http1: http1(wire.http1.unwrap_or_default())?,
            http2: Http2 {
                max_concurrent_streams: http2.max_concurrent_streams,
                stream_window: http2.stream_window,
                connection_window: http2.connection_window,
            },
            paths: paths(wire.paths.unwrap_or_default())?,
            client_certificate: client_certificate(wire.client_certificate.unwrap_or_default())?,
            upgrades: wire.upgrades.into_iter().map(|it| (it.protocol.into(), it.enabled)).collect(),
            early_headers: wire.early_headers,
            suppress_envoy_headers: wire.suppress_envoy_headers,
            tracing: wire.tracing.map(tracing).transpose()?,
            codec: match wire::Codec::try_from(wire.codec) {
                Ok(wire::Codec::Auto) => Codec::Auto,
                Ok(wire::Codec::Http1) => Codec::Http1,
                Ok(wire::Codec::Http2) => Codec::Http2,
                Err(_) => return Err(unknown("codec", wire.codec)),
            },
            append_x_forwarded_port: wire.append_x_forwarded_port,
            strip_any_host_port: wire.strip_any_host_port,
            underscores: match wire::UnderscoreAction::try_from(wire.underscores) {
                Ok(wire::UnderscoreAction::Allow) => Underscores::Allow,
                Ok(wire::UnderscoreAction::Reject) => Underscores::Reject,
                Ok(wire::UnderscoreAction::Drop) => Underscores::Drop,
                Err(_) => return Err(unknown("underscores", wire.underscores)),
            },
            buffer_limit: bytes(wire.buffer_limit),
        })
    }
}

fn client_address(wire: wire::ClientAddress) -> Result<ClientAddress, Invalid> {
    let network = |(i, text): (usize, &String)| {
        Network::parse(text).map_err(|e| Invalid::new(format!("client_address.internal[{i}]"), e))
    };
    Ok(ClientAddress {
        use_remote: wire.use_remote,
        trusted_hops: usize::try_from(wire.trusted_hops).unwrap_or(usize::MAX),
        skip_xff_append: wire.skip_xff_append,
        internal: wire.internal.iter().enumerate().map(network).collect::<Result<_, _>>()?,
    })
}

fn http1(wire: wire::Http1) -> Result<Http1, Invalid> {
    Ok(Http1 {
        accept_http10: wire.accept_http10,
        default_host: text(wire.default_host),
        forward_expect: wire.forward_expect,
        allow_chunked_length: wire.allow_chunked_length,
        trailers: wire.trailers,
        header_case: header_case(wire.header_case).map_err(|e| e.under("http1"))?,
    })
}

pub(super) fn header_case(wire: i32) -> Result<HeaderCase, Invalid> {
    match wire::HeaderCase::try_from(wire) {
        Ok(wire::HeaderCase::Lower) => Ok(HeaderCase::Lower),
        Ok(wire::HeaderCase::Proper) => Ok(HeaderCase::Proper),
        Ok(wire::HeaderCase::Preserve) => Ok(HeaderCase::Preserve),
        Err(_) => Err(unknown("header_case", wire)),
    }
}

fn paths(wire: wire::Paths) -> Result<Paths, Invalid> {
    Ok(Paths {
        keep_dot_segments: wire.keep_dot_segments,
        merge_slashes: wire.merge_slashes,
        escaped_slashes: match wire::EscapedSlashes::try_from(wire.escaped_slashes) {
            Ok(wire::EscapedSlashes::Keep) => EscapedSlashes::Keep,
            Ok(wire::EscapedSlashes::Reject) => EscapedSlashes::Reject,
            Ok(wire::EscapedSlashes::Redirect) => EscapedSlashes::Redirect,
            Ok(wire::EscapedSlashes::Forward) => EscapedSlashes::Forward,
            Err(_) => return Err(unknown("paths.escaped_slashes", wire.escaped_slashes)),
        },
    })
}

fn client_certificate(wire: wire::ClientCertificate) -> Result<ClientCertificate, Invalid> {
    use wire::ForwardClientCert as Wire;
    Ok(ClientCertificate {
        forward: match Wire::try_from(wire.forward) {
            Ok(Wire::Sanitize) => ForwardClientCert::Sanitize,
            Ok(Wire::ForwardOnly) => ForwardClientCert::ForwardOnly,
            Ok(Wire::AppendForward) => ForwardClientCert::AppendForward,
            Ok(Wire::SanitizeSet) => ForwardClientCert::SanitizeSet,
            Ok(Wire::AlwaysForwardOnly) => ForwardClientCert::AlwaysForwardOnly,
            Err(_) => return Err(unknown("client_certificate.forward", wire.forward)),
        },
        subject: wire.subject,
        cert: wire.cert,
        chain: wire.chain,
        dns: wire.dns,
        uri: wire.uri,
    })
}

fn tracing(wire: wire::Tracing) -> Result<Tracing, Invalid> {
    let header = |(i, name): (usize, &String)| {
        let bad = |_| Invalid::new(format!("tracing.request_headers[{i}]"), "not a header name");
        HeaderName::from_bytes(name.as_bytes()).map_err(bad)
    };
    let (mut literals, mut environment) = (Vec::new(), Vec::new());
    for tag in wire.tags {
        match tag.value {
            Some(wire::tag::Value::Literal(text)) => literals.push((tag.name.into(), text.into())),
            Some(wire::tag::Value::Environment(it)) => {
                environment.push((tag.name.into(), it.variable.into(), it.default_value.into()));
            }
            None => return Err(Invalid::new("tracing.tags", "a tag without a value")),
        }
    }
    Ok(Tracing {
        client_share: wire.client_share,
        random_share: wire.random_share,
        overall_share: wire.overall_share,
        request_headers: wire.request_headers.iter().enumerate().map(header).collect::<Result<_, _>>()?,
        literals,
        environment,
        verbose: wire.verbose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_with_its_prefix() {
        let holds = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("192.168.1.1", "192.168.1.1") && !holds("192.168.1.1", "192.168.1.2"));
        assert!(holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1") && holds("::/0", "::1"));
        assert!(Network::parse("10.0.0.0/33").is_err() && Network::parse("x/8").is_err());
    }
}
