//! Active checks of an upstream's endpoints.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};
use portcullis_proto::table::v1 as wire;

use super::field::{millis, optional};
use crate::Invalid;

/// When and how endpoints are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Limit of one check.
    pub timeout: Duration,
    /// Between two checks of a healthy endpoint.
    pub interval: Duration,
    /// Failures in a row that make an endpoint unhealthy; at least 1.
    pub unhealthy_threshold: u32,
    /// Passes in a row that make it healthy again; at least 1.
    pub healthy_threshold: u32,
    /// The first check comes within this time.
    pub initial_jitter: Duration,
    /// Up to so much is added to each interval.
    pub interval_jitter: Duration,
    /// Up to so much of the interval is added to it.
    pub interval_jitter_percent: u32,
    /// The connection of one check serves the next.
    pub reuse_connection: bool,
    /// Between two checks as long as the upstream never had a request.
    pub no_traffic_interval: Duration,
    /// Between two checks of an unhealthy endpoint.
    pub unhealthy_interval: Duration,
    /// Before the first check of an endpoint that has become unhealthy.
    pub unhealthy_edge_interval: Duration,
    /// Before the first check of an endpoint that has become healthy.
    pub healthy_edge_interval: Duration,
    /// File of JSON lines about changes; `None` = none.
    pub event_log: Option<Arc<str>>,
    /// Every failure is such an event, not only the first.
    pub always_log_failures: bool,
    /// What is asked.
    pub checker: Checker,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Checker {
    /// An HTTP request.
    Http(HttpCheck),
    /// A connection, or bytes on it.
    Tcp(TcpCheck),
    /// `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
}

/// A field of a check's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckHeader {
    /// Name.
    pub name: HeaderName,
    /// Value.
    pub value: HeaderValue,
    /// Added to what is there; else it replaces that.
    pub append: bool,
}

/// An HTTP request and the answers that mean health.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck {
    /// `None` = the upstream's name.
    pub host: Option<HeaderValue>,
    /// With its query.
    pub path: PathAndQuery,
    /// Never CONNECT.
    pub method: Method,
    /// Fields to add.
    pub add_headers: Vec<CheckHeader>,
    /// Fields to remove.
    pub remove_headers: Vec<HeaderName>,
    /// Never empty.
    pub expected: Vec<Range<u16>>,
    /// By prior knowledge; with TLS, ALPN decides.
    pub http2: bool,
    /// The answer's `x-envoy-upstream-healthchecked-cluster` must begin with it.
    pub service_name: Option<Arc<str>>,
}

/// Bytes to send and to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpCheck {
    /// Empty = a connection is enough.
    pub send: Bytes,
    /// In this order, not necessarily side by side.
    pub receive: Vec<Bytes>,
}

/// A gRPC health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcCheck {
    /// May be empty: the server as a whole.
    pub service_name: Arc<str>,
    /// `None` = the upstream's name.
    pub authority: Option<HeaderValue>,
    /// Fields to add.
    pub metadata: Vec<CheckHeader>,
}

const NO_TRAFFIC_INTERVAL: Duration = Duration::from_secs(60);

impl TryFrom<wire::HealthCheck> for HealthCheck {
    type Error = Invalid;

    fn try_from(wire: wire::HealthCheck) -> Result<Self, Invalid> {
        let needed = |field: &str, ms: u64| millis(ms).ok_or_else(|| Invalid::new(field, "must be above 0"));
        let threshold = |field: &str, count: u32| match count {
            0 => Err(Invalid::new(field, "must be above 0")),
            count => Ok(count),
        };
        let interval = needed("interval_ms", wire.interval_ms)?;
        let unhealthy_interval = millis(wire.unhealthy_interval_ms).unwrap_or(interval);
        Ok(Self {
            timeout: needed("timeout_ms", wire.timeout_ms)?,
            interval,
            unhealthy_threshold: threshold("unhealthy_threshold", wire.unhealthy_threshold)?,
            healthy_threshold: threshold("healthy_threshold", wire.healthy_threshold)?,
            initial_jitter: Duration::from_millis(wire.initial_jitter_ms),
            interval_jitter: Duration::from_millis(wire.interval_jitter_ms),
            interval_jitter_percent: wire.interval_jitter_percent,
            reuse_connection: !wire.new_connections,
            no_traffic_interval: millis(wire.no_traffic_interval_ms).unwrap_or(NO_TRAFFIC_INTERVAL),
            unhealthy_interval,
            unhealthy_edge_interval: millis(wire.unhealthy_edge_interval_ms).unwrap_or(unhealthy_interval),
            healthy_edge_interval: millis(wire.healthy_edge_interval_ms).unwrap_or(interval),
            event_log: optional(wire.event_log_path),
            always_log_failures: wire.always_log_failures,
            checker: match wire.checker.ok_or_else(|| Invalid::new("checker", "missing"))? {
                wire::health_check::Checker::Http(http) => {
                    Checker::Http(HttpCheck::try_from(http).map_err(|e| e.under("http"))?)
                }
                wire::health_check::Checker::Tcp(tcp) => {
                    Checker::Tcp(TcpCheck { send: tcp.send, receive: tcp.receive })
                }
                wire::health_check::Checker::Grpc(grpc) => {
                    Checker::Grpc(GrpcCheck::try_from(grpc).map_err(|e| e.under("grpc"))?)
                }
            },
        })
    }
}

impl TryFrom<wire::HttpCheck> for HttpCheck {
    type Error = Invalid;

    fn try_from(wire: wire::HttpCheck) -> Result<Self, Invalid> {
        let method = match wire.method.as_str() {
            "" => Method::GET,
            text => Method::from_bytes(text.as_bytes())
                .ok()
                .filter(|method| *method != Method::CONNECT)
                .ok_or_else(|| Invalid::new("method", format!("\"{text}\" cannot be a check")))?,
        };
        let mut expected = wire
            .expected
            .iter()
            .enumerate()
            .map(|(i, range)| {
                let code = |code: u32| u16::try_from(code).ok().filter(|code| (100..=600).contains(code));
                match (code(range.start), code(range.end)) {
                    (Some(start), Some(end)) if start < end => Ok(start..end),
                    _ => Err(Invalid::new(format!("expected[{i}]"), "not a range of statuses")),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        if expected.is_empty() {
            expected.push(200..201);
        }
        let remove = |(i, name): (usize, String)| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Invalid::new(format!("remove_headers[{i}]"), "not a header name"))
        };
        Ok(Self {
            host: host("host", wire.host)?,
            path: PathAndQuery::try_from(wire.path.as_str())
                .ok()
                .filter(|path| path.as_str().starts_with('/'))
                .ok_or_else(|| Invalid::new("path", format!("\"{}\" is not a path", wire.path)))?,
            method,
            add_headers: headers("add_headers", wire.add_headers)?,
            remove_headers: wire
                .remove_headers
                .into_iter()
                .enumerate()
                .map(remove)
                .collect::<Result<_, _>>()?,
            expected,
            http2: wire.http2,
            service_name: optional(wire.service_name),
        })
    }
}

impl TryFrom<wire::GrpcCheck> for GrpcCheck {
    type Error = Invalid;

    fn try_from(wire: wire::GrpcCheck) -> Result<Self, Invalid> {
        Ok(Self {
            service_name: wire.service_name.into(),
            authority: host("authority", wire.authority)?,
            metadata: headers("metadata", wire.metadata)?,
        })
    }
}

fn host(field: &str, text: String) -> Result<Option<HeaderValue>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let valid = http::uri::Authority::try_from(text.as_str()).is_ok();
    let value = HeaderValue::try_from(text).ok().filter(|_| valid);
    value.map(Some).ok_or_else(|| Invalid::new(field, "not a host"))
}

fn headers(field: &str, list: Vec<wire::CheckHeader>) -> Result<Vec<CheckHeader>, Invalid> {
    let header = |(i, header): (usize, wire::CheckHeader)| {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| Invalid::new(format!("{field}[{i}].name"), "not a header name"))?;
        let value = HeaderValue::try_from(header.value)
            .map_err(|_| Invalid::new(format!("{field}[{i}].value"), "not a header value"))?;
        Ok(CheckHeader { name, value, append: header.append })
    };
    list.into_iter().enumerate().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(checker: wire::health_check::Checker) -> wire::HealthCheck {
        wire::HealthCheck {
            timeout_ms: 1000,
            interval_ms: 2000,
            unhealthy_threshold: 2,
            healthy_threshold: 3,
            checker: Some(checker),
            ..Default::default()
        }
    }

    fn http(http: wire::HttpCheck) -> Result<HealthCheck, String> {
        let http = wire::HttpCheck { path: "/".into(), ..http };
        HealthCheck::try_from(wire(wire::health_check::Checker::Http(http))).map_err(|e| e.path)
    }

    #[test]
    fn intervals_follow_from_each_other() {
        let check = http(wire::HttpCheck::default()).unwrap();
        let two = Duration::from_secs(2);
        assert_eq!((check.unhealthy_interval, check.unhealthy_edge_interval), (two, two));
        assert_eq!((check.healthy_edge_interval, check.no_traffic_interval), (two, Duration::from_secs(60)));
        assert!(check.reuse_connection);
        let Checker::Http(http) = check.checker else { panic!("http") };
        assert_eq!((http.method, http.expected.first()), (Method::GET, Some(&(200..201))));
    }

    #[test]
    fn errors_name_the_field() {
        let range = |start, end| wire::HttpCheck {
            expected: vec![wire::StatusRange { start, end }],
            ..Default::default()
        };
        assert!(http(range(200, 600)).is_ok());
        assert_eq!(http(range(200, 200)).unwrap_err(), "http.expected[0]");
        assert_eq!(http(range(0, 200)).unwrap_err(), "http.expected[0]");
        let method = wire::HttpCheck { method: "CONNECT".into(), ..Default::default() };
        assert_eq!(http(method).unwrap_err(), "http.method");
        let mut check = wire(wire::health_check::Checker::Tcp(Default::default()));
        check.healthy_threshold = 0;
        assert_eq!(HealthCheck::try_from(check).unwrap_err().path, "healthy_threshold");
    }
}
