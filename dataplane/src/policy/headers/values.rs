//! Values of format operators, taken from the facts and fields of one request.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use portcullis_shared::format::{Fact, Values};
use portcullis_shared::table::Place;

use crate::policy::Facts;
use crate::policy::metadata::DynamicMetadata;
use crate::tls::peer;

/// What is known before there is a response.
pub(super) struct RequestValues<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) headers: &'a HeaderMap,
    pub(super) metadata: Option<&'a DynamicMetadata>,
}

/// What is known once there is one.
pub(super) struct ResponseValues<'a> {
    pub(super) request: RequestValues<'a>,
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
}

static HOSTNAME: LazyLock<Option<String>> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
});

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_09 => "HTTP/0.9",
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// An IPv4 client of a socket that listens on `::` is shown as IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn ip(address: SocketAddr) -> Option<Cow<'static, str>> {
    let ip: IpAddr = address.ip().to_canonical();
    shown(ip)
}

fn shown(value: impl ToString) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(value.to_string()))
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// What is known before there is a response; the one meaning that operators have in header values and logs.
pub(crate) fn fact<'a>(facts: &Facts<'a>, fact: Fact) -> Option<Cow<'a, str>> {
    let peer = || facts.tls.and_then(|tls| tls.peer_certificate.as_ref());
    match fact {
        Fact::Protocol => Some(protocol(facts.protocol).into()),
        Fact::UpstreamCluster => facts.upstream.map(Cow::Borrowed),
        Fact::UpstreamHost | Fact::UpstreamRemoteAddress => facts.upstream_host.and_then(shown),
        Fact::UpstreamRemoteAddressWithoutPort => facts.upstream_host.and_then(Place::address).and_then(ip),
        Fact::UpstreamRemotePort => {
            facts.upstream_host.and_then(Place::address).and_then(|host| shown(host.port()))
        }
        Fact::UpstreamRequestAttemptCount => shown(facts.attempts),
        Fact::DownstreamRemoteAddress => shown(plain(facts.client)),
        Fact::DownstreamRemoteAddressWithoutPort => ip(facts.client),
        Fact::DownstreamRemotePort => shown(facts.client.port()),
        Fact::DownstreamDirectRemoteAddress => shown(plain(facts.direct)),
        Fact::DownstreamDirectRemoteAddressWithoutPort => ip(facts.direct),
        Fact::DownstreamDirectRemotePort => shown(facts.direct.port()),
        Fact::DownstreamLocalAddress => shown(plain(facts.local)),
        Fact::DownstreamLocalAddressWithoutPort => ip(facts.local),
        Fact::DownstreamLocalPort => shown(facts.local.port()),
        Fact::DownstreamPeerSubject => peer().and_then(|der| peer::subject(der)).map(Cow::Owned),
        Fact::DownstreamPeerIssuer => peer().and_then(|der| peer::issuer(der)).map(Cow::Owned),
        Fact::DownstreamPeerSerial => peer().and_then(|der| peer::serial(der)).map(Cow::Owned),
        Fact::DownstreamPeerUriSan => peer().and_then(|der| peer::uri_names(der)).map(Cow::Owned),
        Fact::DownstreamPeerDnsSan => peer().and_then(|der| peer::dns_names(der)).map(Cow::Owned),
        Fact::DownstreamPeerFingerprint256 => peer().map(|der| peer::fingerprint(der)).map(Cow::Owned),
        Fact::DownstreamTlsVersion => facts.tls.map(|tls| tls.version.into()),
        Fact::DownstreamTlsCipher => facts.tls.map(|tls| tls.cipher.into()),
        Fact::RequestedServerName => facts.sni.map(Cow::Borrowed),
        Fact::RouteName => Some(facts.route_name.into()),
        Fact::Hostname => HOSTNAME.as_deref().map(Cow::Borrowed),
        // Known only when there is a response, or when the exchange is over, which a request's field cannot wait for.
        _ => None,
    }
}

/// A request header, or the part of the request line that goes by its HTTP/2 name.
pub(crate) fn request_header<'a>(
    facts: &Facts<'a>,
    headers: &'a HeaderMap,
    name: &str,
) -> Option<Cow<'a, str>> {
    match name {
        ":method" => Some(facts.method.into()),
        ":path" => Some(facts.path.into()),
        ":scheme" => Some(facts.scheme.into()),
        ":authority" | "host" => Some(facts.authority.into()),
        name => field(headers, name),
    }
}

impl Values for RequestValues<'_> {
    fn fact(&self, fact: Fact) -> Option<Cow<'_, str>> {
        self::fact(self.facts, fact)
    }

    fn request_header(&self, name: &str) -> Option<Cow<'_, str>> {
        request_header(self.facts, self.headers, name)
    }

    fn response_header(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn started(&self) -> SystemTime {
        self.facts.started
    }

    fn dynamic_metadata(&self, path: &str) -> Option<Cow<'_, str>> {
        self.metadata?.shown(path)
    }
}

impl Values for ResponseValues<'_> {
    fn fact(&self, fact: Fact) -> Option<Cow<'_, str>> {
        match fact {
            Fact::ResponseCode => shown(self.status.as_u16()),
            Fact::ResponseCodeDetails => Some(self.request.facts.reason.unwrap_or("via_upstream").into()),
            Fact::ResponseFlags => Some(self.request.facts.flags.into()),
            fact => self.request.fact(fact),
        }
    }

    fn request_header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.request.request_header(name)
    }

    fn response_header(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            ":status" => shown(self.status.as_u16()),
            name => field(self.headers, name),
        }
    }

    fn started(&self) -> SystemTime {
        self.request.started()
    }

    fn dynamic_metadata(&self, path: &str) -> Option<Cow<'_, str>> {
        self.request.dynamic_metadata(path)
    }
}
