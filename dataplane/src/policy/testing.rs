//! Requests and responses for the tests of policies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_shared::table::Place;

use super::{Facts, Filters, Line, RequestCx, ResponseCx, Services, Slots};

/// A request over HTTP/2 with TLS, `GET https://a.example.com/p?q=1`.
pub(crate) fn facts() -> Facts<'static> {
    static HOST: Place = Place::Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9));
    Facts {
        client: "[::ffff:10.1.2.3]:4567".parse().expect("address"),
        direct: "10.0.0.9:1".parse().expect("address"),
        local: "10.0.0.1:8080".parse().expect("address"),
        sni: Some("a.example.com"),
        tls: None,
        protocol: http::Version::HTTP_2,
        started: UNIX_EPOCH + Duration::from_secs(1),
        method: "GET",
        scheme: "https",
        authority: "a.example.com",
        path: "/p?q=1",
        route_name: "vh-route-0-matcher-0",
        upstream: Some("petstore_gloo-system"),
        upstream_host: Some(&HOST),
        attempts: 1,
        reason: None,
        flags: "-",
        buffer_limit: 1_048_576,
        metadata: None,
        virtual_cluster: None,
    }
}

/// Fields in this order.
pub(crate) fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    map
}

/// All fields, as sorted "name: value" lines.
pub(crate) fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
    lines.sort();
    lines
}

/// What a request policy works on, for as many calls as one likes.
pub(crate) struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) facts: Facts<'static>,
    pub(crate) slots: Slots,
    pub(crate) line: Line,
    pub(crate) has_body: bool,
    pub(crate) filters: Filters,
    pub(crate) reroute: bool,
    pub(crate) services: Services,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            facts: facts(),
            slots: Slots::default(),
            line: Line::default(),
            has_body: false,
            filters: Filters::default(),
            reroute: false,
            services: Services::default(),
        }
    }
}

impl Request {
    pub(crate) fn with(fields: &[(&'static str, &'static str)]) -> Self {
        Self { headers: map(fields), ..Self::default() }
    }

    pub(crate) fn cx(&mut self) -> RequestCx<'_> {
        RequestCx {
            headers: &mut self.headers,
            facts: &self.facts,
            slots: &mut self.slots,
            line: &mut self.line,
            has_body: self.has_body,
            filters: &mut self.filters,
            reroute: &mut self.reroute,
            services: &self.services,
        }
    }
}

/// What a response policy works on, for as many calls as one likes.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) request_headers: HeaderMap,
    pub(crate) facts: Facts<'static>,
    pub(crate) slots: Slots,
    pub(crate) has_body: bool,
    pub(crate) filters: Filters,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) local: bool,
    pub(crate) details: &'static str,
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            request_headers: HeaderMap::new(),
            facts: facts(),
            slots: Slots::default(),
            has_body: true,
            filters: Filters::default(),
            trailers: None,
            local: false,
            details: "via_upstream",
        }
    }
}

impl Response {
    pub(crate) fn cx(&mut self) -> ResponseCx<'_> {
        ResponseCx {
            status: &mut self.status,
            headers: &mut self.headers,
            request_headers: &self.request_headers,
            facts: &self.facts,
            slots: &mut self.slots,
            has_body: self.has_body,
            filters: &mut self.filters,
            trailers: &mut self.trailers,
            local: self.local,
            details: self.details,
        }
    }
}
