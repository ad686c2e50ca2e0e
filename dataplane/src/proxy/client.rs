//! Who the client of a request is, and what the gateway says about it to the upstream: `x-forwarded-*`,
//! `x-envoy-external-address`, `x-envoy-internal`, `x-request-id`, `via`.
//!
//! Owns the trust: by default the hop before is believed, with `useRemoteAddress` the connection is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::LazyLock;

use http::header::VIA;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::conn::ConnInfo;
use super::forward;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const X_ENVOY_EXTERNAL: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// Fields by which a trusted client could steer Envoy; only internal clients may.
const STEERING: [&str; 15] = [
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-attempt-count",
];

/// What an edge believes of nobody, beside these.
const OF_THE_EDGE: [&str; 5] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-original-host",
    "x-envoy-original-path",
];

/// Finds out who the client is, and puts the fields about it into the request.
pub(super) fn identify(headers: &mut HeaderMap, info: &ConnInfo) -> SocketAddr {
    let http = &info.http.settings;
    let trust = &http.client;
    let scheme = if info.tls.is_some() { "https" } else { "http" };
    // Nobody else may have added anything.
    let lone = match headers.get(X_FORWARDED_FOR) {
        None => trust.use_remote,
        Some(_) => !trust.use_remote && addresses(headers).nth(1).is_none(),
    };
    let said = match (trust.use_remote, trust.trusted_hops) {
        (true, 0) => None,
        (true, hops) => addresses(headers).nth(hops - 1),
        (false, hops) => addresses(headers).nth(hops),
    };
    let said = said.and_then(|text| text.parse::<IpAddr>().ok());
    let client = said.map_or(info.client, |address| SocketAddr::new(address, 0));
    let near = trust.use_remote && trust.trusted_hops == 0;
    if trust.use_remote && !trust.skip_xff_append {
        append(headers, &X_FORWARDED_FOR, ",", &own_if_loopback(info.client.ip()).to_string());
    }
    if near || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if http.append_x_forwarded_port && (trust.trusted_hops == 0 || !headers.contains_key(X_FORWARDED_PORT)) {
        headers.insert(X_FORWARDED_PORT, HeaderValue::from(info.local.port()));
    }
    let internal = lone && trust.internal.iter().any(|network| network.contains(client.ip()));
    let edge = trust.use_remote && !internal;
    if internal {
        headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
    } else if headers.keys().any(|name| name.as_str().starts_with("x-envoy-")) {
        headers.remove(X_ENVOY_INTERNAL);
        for name in STEERING.iter().chain(OF_THE_EDGE.iter().filter(|_| edge)) {
            headers.remove(*name);
        }
    }
    if edge && let Ok(address) = HeaderValue::try_from(client.ip().to_string()) {
        headers.insert(X_ENVOY_EXTERNAL, address);
    }
    if let Some(via) = &http.via {
        append_value(headers, &VIA, b", ", via);
    }
    if !http.no_request_id {
        let anew = edge && !http.preserve_external_request_id;
        if anew || !headers.contains_key(forward::X_REQUEST_ID) {
            headers.insert(forward::X_REQUEST_ID, forward::request_id());
        }
    }
    client
}

/// The addresses of `x-forwarded-for`, the last one first.
fn addresses(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// One more word at the end of the field.
fn append(headers: &mut HeaderMap, name: &HeaderName, separator: &str, word: &str) {
    // Written from an address.
    if let Ok(value) = HeaderValue::try_from(word) {
        append_value(headers, name, separator.as_bytes(), &value);
    }
}

/// As [`append`], for what is a value already.
pub(super) fn append_value(
    headers: &mut HeaderMap,
    name: &HeaderName,
    separator: &[u8],
    value: &HeaderValue,
) {
    let before = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut all: Vec<&[u8]> = before.filter(|value| !value.is_empty()).collect();
    all.push(value.as_bytes());
    // Joined from values, so it is one.
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(separator)) {
        headers.insert(name, joined);
    }
}

/// As Envoy, a client on this machine is shown by the machine's own address.
pub(super) fn own_if_loopback(client: IpAddr) -> IpAddr {
    static OWN: LazyLock<Option<IpAddr>> = LazyLock::new(|| {
        // Nothing is sent: the system says which address it would send from.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    });
    match client {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => OWN.unwrap_or(client),
        client => client,
    }
}
