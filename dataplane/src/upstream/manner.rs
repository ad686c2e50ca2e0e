//! How the connections of an upstream are made, kept and used. Data, ready for the engine; what pools and waits is there.

use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::table::{self, HttpConnect, Preconnect, Time, UpstreamHttp};
use portcullis_shared::version::Digest;

use super::{Dialing, Tls};

/// See the module.
#[derive(Debug)]
pub struct Manner {
    /// How they are made.
    pub dialing: Dialing,
    /// Limit of connecting, handshakes included.
    pub connect_timeout: Duration,
    /// A connection is closed after so many requests; none = no limit.
    pub max_requests: Option<u32>,
    /// How long they lie idle.
    pub idle_timeout: Time,
    /// Bytes that wait for an endpoint at which the client is not read any more; none = the engine's.
    pub buffer_limit: Option<u32>,
    /// How many are made in advance.
    pub preconnect: Option<Preconnect>,
    /// How HTTP is spoken.
    pub http: UpstreamHttp,
    identity: Option<Digest>,
}

impl Manner {
    /// As `config` says; `proxy_tls` is towards the proxy before the endpoints.
    pub(super) fn new(config: &table::Upstream, proxy_tls: Option<Arc<Tls>>) -> Self {
        let connections = &config.connections;
        Self {
            identity: identity(config, proxy_tls.as_deref()),
            dialing: Dialing::new(connections, proxy_tls),
            connect_timeout: config.connect_timeout,
            max_requests: config.max_requests_per_connection,
            idle_timeout: connections.idle_timeout,
            buffer_limit: connections.buffer_limit,
            preconnect: connections.preconnect,
            http: config.http.clone(),
        }
    }

    /// Stands for what makes connections different; none where there is nothing special about them. What was connected
    /// in one way is never used where another is wanted.
    #[must_use]
    pub fn identity(&self) -> Option<Digest> {
        self.identity
    }
}

fn identity(config: &table::Upstream, proxy_tls: Option<&Tls>) -> Option<Digest> {
    let connections = &config.connections;
    if *connections == table::Connections::default() && config.http == UpstreamHttp::default() {
        return None;
    }
    let mut bytes = Vec::new();
    let mut part = |content: &[u8]| {
        bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
        bytes.extend_from_slice(content);
    };
    let plain = table::Connections { http_connect: None, ..connections.clone() };
    part(format!("{plain:?} {:?}", config.http).as_bytes());
    if let Some(HttpConnect { authority, headers, .. }) = &connections.http_connect {
        part(authority.as_bytes());
        for (name, value) in headers {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
        part(proxy_tls.map_or(&[][..], |tls| tls.identity.as_bytes()));
    }
    Some(Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use portcullis_proto::table::v1 as wire;

    use super::*;

    fn identity(connections: wire::Connections, http: wire::UpstreamHttp) -> Option<Digest> {
        let origin = Some(wire::Origin { kind: "Upstream".into(), namespace: "ns".into(), name: "a".into() });
        let upstream = wire::Upstream {
            name: "a".into(),
            origin,
            connections: Some(connections),
            http: Some(http),
            ..Default::default()
        };
        Manner::new(&table::Upstream::try_from(upstream).unwrap(), None).identity()
    }

    #[test]
    fn connections_made_in_different_ways_are_told_apart() {
        let through = |authority: &str, secret: &str| wire::Connections {
            http_connect: Some(wire::HttpConnect {
                authority: authority.into(),
                headers: vec![wire::ConnectHeader { name: "x".into(), value: secret.into() }],
                tls: None,
            }),
            ..Default::default()
        };
        assert_eq!(identity(Default::default(), Default::default()), None);
        let one = identity(through("a.test:1", "s"), Default::default());
        assert_eq!(one, identity(through("a.test:1", "s"), Default::default()));
        assert_ne!(one, identity(through("b.test:1", "s"), Default::default()));
        assert_ne!(one, identity(through("a.test:1", "other"), Default::default()));
        let narrow = wire::UpstreamHttp { stream_window: 65_535, ..Default::default() };
        assert!(identity(Default::default(), narrow).is_some());
    }
}
