//! How connections to the endpoints of an upstream are made and kept.

use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use portcullis_proto::table::v1 as wire;

use super::UpstreamTls;
use super::http::{Time, time};
use crate::Invalid;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connections {
    /// Each connection begins with the addresses of the client that it is for.
    pub proxy_protocol: Option<ProxyVersion>,
    /// The endpoints are proxies, through which the connections go.
    pub http_connect: Option<HttpConnect>,
    /// `None` = off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Of a connection without requests.
    pub idle_timeout: Time,
    /// Bytes that wait for an endpoint at which the client is not read any more; `None` = the worker's.
    pub buffer_limit: Option<u32>,
    /// Connections that are made in advance.
    pub preconnect: Option<Preconnect>,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// A tunnel by CONNECT.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConnect {
    /// Host and port that the proxy is asked for.
    pub authority: Arc<str>,
    /// Further fields of the request. The values are marked as sensitive, so that they do not show.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Towards the proxy.
    pub tls: Option<UpstreamTls>,
}

/// Probes of silent connections; `None` = the system's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Unanswered ones that end the connection.
    pub probes: Option<u32>,
    /// Of silence before the first.
    pub time: Option<Duration>,
    /// Between two.
    pub interval: Option<Duration>,
}

/// Connections for each request under way; at least 1 each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preconnect {
    /// At the endpoint of the request.
    pub per_endpoint: f64,
    /// Over all endpoints.
    pub ahead: f64,
}

impl TryFrom<wire::Connections> for Connections {
    type Error = Invalid;

    fn try_from(wire: wire::Connections) -> Result<Self, Invalid> {
        Ok(Self {
            proxy_protocol: match wire::ProxyVersion::try_from(wire.proxy_protocol) {
                Ok(wire::ProxyVersion::None) => None,
                Ok(wire::ProxyVersion::V1) => Some(ProxyVersion::V1),
                Ok(wire::ProxyVersion::V2) => Some(ProxyVersion::V2),
                Err(_) => return Err(Invalid::new("proxy_protocol", "is not known")),
            },
            http_connect: wire
                .http_connect
                .map(HttpConnect::try_from)
                .transpose()
                .map_err(|e| e.under("http_connect"))?,
            tcp_keepalive: wire.tcp_keepalive.map(TcpKeepalive::from),
            idle_timeout: time(wire.idle_timeout_ms),
            buffer_limit: Some(wire.buffer_limit_bytes).filter(|bytes| *bytes > 0),
            preconnect: wire
                .preconnect
                .map(Preconnect::try_from)
                .transpose()
                .map_err(|e| e.under("preconnect"))?,
        })
    }
}

impl TryFrom<wire::HttpConnect> for HttpConnect {
    type Error = Invalid;

    fn try_from(wire: wire::HttpConnect) -> Result<Self, Invalid> {
        let authority: Authority = wire
            .authority
            .parse()
            .map_err(|_| Invalid::new("authority", format!("\"{}\" is not a host", wire.authority)))?;
        let header = |(at, header): (usize, wire::ConnectHeader)| {
            let invalid = |field: &str, what: &str| Invalid::new(format!("headers[{at}].{field}"), what);
            let name =
                HeaderName::try_from(header.name).map_err(|_| invalid("name", "is not a field name"))?;
            let mut value =
                HeaderValue::try_from(header.value).map_err(|_| invalid("value", "is not a field value"))?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        Ok(Self {
            authority: authority.as_str().into(),
            headers: wire.headers.into_iter().enumerate().map(header).collect::<Result<_, _>>()?,
            tls: wire.tls.map(UpstreamTls::try_from).transpose().map_err(|e| e.under("tls"))?,
        })
    }
}

impl From<wire::TcpKeepalive> for TcpKeepalive {
    fn from(wire: wire::TcpKeepalive) -> Self {
        let seconds = |count: u32| (count > 0).then(|| Duration::from_secs(count.into()));
        Self {
            probes: Some(wire.probes).filter(|count| *count > 0),
            time: seconds(wire.time_s),
            interval: seconds(wire.interval_s),
        }
    }
}

impl TryFrom<wire::Preconnect> for Preconnect {
    type Error = Invalid;

    fn try_from(wire: wire::Preconnect) -> Result<Self, Invalid> {
        let ratio = |field: &str, ratio: f64| match ratio {
            0.0 => Ok(1.0),
            ratio if (1.0..=3.0).contains(&ratio) => Ok(ratio),
            ratio => Err(Invalid::new(field, format!("{ratio} is not 1 to 3"))),
        };
        Ok(Self {
            per_endpoint: ratio("per_endpoint", wire.per_endpoint)?,
            ahead: ratio("ahead", wire.ahead)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(authority: &str, name: &str, value: &str) -> wire::Connections {
        let headers = vec![wire::ConnectHeader { name: name.into(), value: value.into() }];
        let connect = wire::HttpConnect { authority: authority.into(), headers, tls: None };
        wire::Connections { http_connect: Some(connect), ..Default::default() }
    }

    #[test]
    fn values_of_connect_headers_do_not_show() {
        let wire = connect("a.test:443", "proxy-authorization", "hunter2");
        assert!(!format!("{wire:?}").contains("hunter2"));
        let table = Connections::try_from(wire).unwrap();
        assert!(!format!("{table:?}").contains("hunter2"), "{table:?}");
        assert_eq!(table.http_connect.unwrap().headers[0].1, "hunter2");
    }

    #[test]
    fn errors_name_the_field() {
        let path = |wire: wire::Connections| Connections::try_from(wire).unwrap_err().path;
        assert_eq!(path(connect("a b", "x", "y")), "http_connect.authority");
        assert_eq!(path(connect("a:1", "x y", "y")), "http_connect.headers[0].name");
        assert_eq!(path(connect("a:1", "x", "y\r\nz: 1")), "http_connect.headers[0].value");
        assert_eq!(path(wire::Connections { proxy_protocol: 7, ..Default::default() }), "proxy_protocol");
        let preconnect = Some(wire::Preconnect { per_endpoint: 1.0, ahead: 3.1 });
        assert_eq!(path(wire::Connections { preconnect, ..Default::default() }), "preconnect.ahead");
    }

    #[test]
    fn zero_is_no_limit_for_idle_connections_and_the_default_elsewhere() {
        let table = Connections::try_from(wire::Connections {
            idle_timeout_ms: Some(0),
            tcp_keepalive: Some(wire::TcpKeepalive { time_s: 7, ..Default::default() }),
            preconnect: Some(wire::Preconnect { per_endpoint: 0.0, ahead: 2.0 }),
            ..Default::default()
        });
        let table = table.unwrap();
        assert_eq!((table.idle_timeout, table.buffer_limit), (Some(None), None));
        assert_eq!(table.preconnect, Some(Preconnect { per_endpoint: 1.0, ahead: 2.0 }));
        let keepalive = table.tcp_keepalive.unwrap();
        assert_eq!((keepalive.probes, keepalive.time), (None, Some(Duration::from_secs(7))));
    }
}
