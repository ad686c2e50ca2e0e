//! One address of an upstream, and the sets in which they travel on the endpoint lane.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use portcullis_proto::table::v1 as wire;

use super::Labels;
use super::field::{each, optional, port, required};
use super::label::labels;
use crate::Invalid;

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Over TCP.
    Address(SocketAddr),
    /// A unix socket.
    Pipe(Arc<str>),
}

impl Place {
    /// The address, where it has one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Pipe(_) => None,
        }
    }

    /// The port, or 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address().map_or(0, |address| address.port())
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Pipe(path) => f.write_str(path),
        }
    }
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where to connect.
    pub address: Place,
    /// Share of the load, at least 1.
    pub weight: u32,
    /// The DNS name it was resolved from; `autoHostRewrite` sends it.
    pub hostname: Option<Arc<str>>,
    /// Server name of this endpoint for TLS; wins over the upstream's.
    pub sni: Option<Arc<str>>,
    /// What subsets are made by.
    pub labels: Labels,
}

/// All endpoints of one upstream at one moment; the latest sequence wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSet {
    /// Name of the upstream.
    pub upstream: Arc<str>,
    /// Grows per upstream and session.
    pub sequence: u64,
    /// The whole set.
    pub endpoints: Vec<Endpoint>,
}

impl TryFrom<wire::Endpoint> for Endpoint {
    type Error = Invalid;

    fn try_from(wire: wire::Endpoint) -> Result<Self, Invalid> {
        let address = match optional(wire.pipe) {
            Some(_) if !wire.address.is_empty() => {
                return Err(Invalid::new("pipe", "given beside an address"));
            }
            Some(path) => Place::Pipe(path),
            None => {
                let invalid =
                    || Invalid::new("address", format!("\"{}\" is not an IP address", wire.address));
                let ip: IpAddr = wire.address.parse().map_err(|_| invalid())?;
                Place::Address(SocketAddr::new(ip, port("port", wire.port)?))
            }
        };
        Ok(Self {
            address,
            weight: wire.weight.max(1),
            hostname: optional(wire.hostname),
            sni: optional(wire.sni),
            labels: labels("labels", wire.labels)?,
        })
    }
}

impl TryFrom<wire::EndpointSet> for EndpointSet {
    type Error = Invalid;

    fn try_from(wire: wire::EndpointSet) -> Result<Self, Invalid> {
        Ok(Self {
            upstream: required("upstream", wire.upstream)?,
            sequence: wire.sequence,
            endpoints: each("endpoints", wire.endpoints)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> wire::Endpoint {
        wire::Endpoint { address: "10.0.0.1".into(), port: 80, ..Default::default() }
    }

    #[test]
    fn every_field_is_converted() {
        let full = wire::Endpoint { weight: 3, hostname: "a.b".into(), sni: "c.d".into(), ..wire() };
        let endpoint = Endpoint::try_from(full).unwrap();
        assert_eq!(endpoint.address.to_string(), "10.0.0.1:80");
        let pipe = wire::Endpoint { pipe: "/run/a.sock".into(), ..Default::default() };
        assert_eq!(Endpoint::try_from(pipe).unwrap().address, Place::Pipe("/run/a.sock".into()));
        assert_eq!(
            (endpoint.weight, endpoint.hostname.as_deref(), endpoint.sni.as_deref()),
            (3, Some("a.b"), Some("c.d"))
        );
        let plain = Endpoint::try_from(wire()).unwrap();
        assert_eq!((plain.weight, plain.hostname, plain.sni), (1, None, None));
    }

    #[test]
    fn errors_name_the_field() {
        let path = |wire: wire::Endpoint| Endpoint::try_from(wire).unwrap_err().path;
        assert_eq!(path(wire::Endpoint { address: "host".into(), ..wire() }), "address");
        assert_eq!(path(wire::Endpoint { port: 0, ..wire() }), "port");
        assert_eq!(path(wire::Endpoint { pipe: "/x".into(), ..wire() }), "pipe");
        assert_eq!(path(wire::Endpoint { port: 65536, ..wire() }), "port");
        let bad = wire::EndpointSet {
            upstream: "u".into(),
            sequence: 1,
            endpoints: vec![wire(), Default::default()],
        };
        assert_eq!(EndpointSet::try_from(bad).unwrap_err().path, "endpoints[1].address");
        assert_eq!(EndpointSet::try_from(wire::EndpointSet::default()).unwrap_err().path, "upstream");
    }
}
