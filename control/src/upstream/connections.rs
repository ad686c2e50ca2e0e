//! How connections are made and kept: the PROXY protocol, tunnels through a proxy, and `connectionConfig`.

use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::field::Field;
use super::ssl;
use crate::ir::{ConnectHeader, Connections, HttpConnect, Preconnect, ProxyVersion, TcpKeepalive};
use crate::resource::{GoDuration, ObjectRef, PreconnectPolicy, TcpKeepAlive, Upstream};
use crate::translate::{Notes, SecretReader};

/// The bounds of both ratios.
const RATIOS: std::ops::RangeInclusive<f64> = 1.0..=3.0;

/// The connections of an upstream.
pub(super) fn lower(
    upstream: &Upstream,
    owner: &ObjectRef,
    secrets: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Connections {
    let http_connect = http_connect(upstream, owner, secrets, notes);
    let mut spec = Field::new(owner, "spec", notes);
    let config = upstream.connection_config.as_ref();
    let mut field = spec.at("connectionConfig");
    let keepalive = config.and_then(|it| it.tcp_keepalive.as_ref());
    let tcp_keepalive = keepalive.map(|it| self::keepalive(it, &mut field.at("tcpKeepalive")));
    let idle_timeout = config
        .and_then(|it| it.common_http_protocol_options.as_ref())
        .and_then(|it| field.at("commonHttpProtocolOptions.idleTimeout").at_least_nothing(it.idle_timeout));
    Connections {
        proxy_protocol: proxy_protocol(upstream, &mut spec.at("proxyProtocolVersion")),
        http_connect,
        tcp_keepalive,
        idle_timeout,
        buffer_limit: config.and_then(|it| it.per_connection_buffer_limit_bytes).filter(|bytes| *bytes > 0),
        preconnect: upstream
            .preconnect_policy
            .as_ref()
            .and_then(|it| preconnect(it, &mut spec.at("preconnectPolicy"))),
    }
}

fn proxy_protocol(upstream: &Upstream, field: &mut Field<'_>) -> Option<ProxyVersion> {
    match upstream.proxy_protocol_version.as_deref()? {
        "V1" => Some(ProxyVersion::V1),
        "V2" => Some(ProxyVersion::V2),
        other => field.fail(format!("[{other}] is no version of the PROXY protocol: write V1 or V2")),
    }
}

fn http_connect(
    upstream: &Upstream,
    owner: &ObjectRef,
    secrets: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Option<HttpConnect> {
    let path = "spec.httpConnectSslConfig";
    let tls = upstream.http_connect_ssl_config.as_ref();
    let tls = tls.map(|config| ssl::lower(config, owner, path, secrets, notes));
    let mut spec = Field::new(owner, "spec", notes);
    let headers = upstream
        .http_connect_headers
        .iter()
        .enumerate()
        .filter_map(|(at, header)| {
            let mut field = spec.at(&format!("httpConnectHeaders[{at}]"));
            let name = HeaderName::try_from(header.key.as_str()).ok();
            // The value is not shown: it may be a secret.
            let name = name.or_else(|| field.at("key").fail("is not the name of a header field"))?;
            if HeaderValue::from_str(&header.value).is_err() {
                return field.at("value").fail("has bytes that no header value may have");
            }
            Some(ConnectHeader { name: name.as_str().into(), value: header.value.as_str().into() })
        })
        .collect();
    // Without a target the rest has no meaning, as in Gloo.
    let target = upstream.http_proxy_hostname.as_deref().filter(|target| !target.is_empty())?;
    let mut field = spec.at("httpProxyHostname");
    match target.parse::<Authority>() {
        Ok(authority) if authority.port_u16().is_some() && !target.contains('@') => {
            Some(HttpConnect { authority: target.into(), headers, tls })
        }
        _ => field.fail(format!("[{target}] is not a host with a port, such as `api.example.com:443`")),
    }
}

fn keepalive(config: &TcpKeepAlive, field: &mut Field<'_>) -> TcpKeepalive {
    TcpKeepalive {
        probes: config.keepalive_probes,
        time: seconds(config.keepalive_time, &mut field.at("keepaliveTime")),
        interval: seconds(config.keepalive_interval, &mut field.at("keepaliveInterval")),
    }
}

/// The nearest whole number of seconds.
fn seconds(value: Option<GoDuration>, field: &mut Field<'_>) -> u32 {
    let half = Duration::from_millis(500);
    let rounded = field.at_least_nothing(value).map_or(0, |duration| duration.saturating_add(half).as_secs());
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

fn preconnect(policy: &PreconnectPolicy, field: &mut Field<'_>) -> Option<Preconnect> {
    let mut ratio = |name: &str, ratio: Option<f64>| {
        if let Some(ratio) = ratio.filter(|ratio| !RATIOS.contains(ratio)) {
            field.at(name).error(format!("{ratio} is not between 1 and 3"));
        }
        ratio.unwrap_or(1.0)
    };
    let preconnect = Preconnect {
        per_endpoint: ratio("perUpstreamPreconnectRatio", policy.per_upstream_preconnect_ratio),
        ahead: ratio("predictivePreconnectRatio", policy.predictive_preconnect_ratio),
    };
    (preconnect.per_endpoint > 1.0 || preconnect.ahead > 1.0).then_some(preconnect)
}
