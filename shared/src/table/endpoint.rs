//! One address of an upstream, and the sets in which they travel on the endpoint lane.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use portcullis_proto::table::v1 as wire;

use super::Labels;
use super::field::{each, optional, port, required};
use super::label::labels;
use crate::Invalid;

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
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
        let ip: IpAddr = wire
            .address
            .parse()
            .map_err(|_| Invalid::new("address", format!("\"{}\" is not an IP address", wire.address)))?;
        Ok(Self {
            address: SocketAddr::new(ip, port("port", wire.port)?),
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
        assert_eq!(endpoint.address, "10.0.0.1:80".parse().unwrap());
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
