//! Listeners and their filter chains: which certificate and which virtual hosts a connection gets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::{self, Origin, ServerName};
use portcullis_shared::version::Digest;

use super::Http;
use crate::held::Held;
use crate::policy::{self, PlanBuilder};
use crate::proxy::ListenerLogs;
use crate::tls::server;

/// An address to bind and what serves its connections.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the table.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Origin,
    /// Where it is bound; `::` takes IPv4 too.
    pub address: SocketAddr,
    /// A PROXY v1 or v2 header is required before anything else.
    pub proxy_protocol: bool,
    /// Connections begin with a TLS handshake.
    pub tls: bool,
    /// What is written about each connection.
    pub connection_logs: Option<ListenerLogs>,
    exact: HashMap<Arc<str>, Slot>,
    /// Keyed by what follows the star: `.example.com`.
    suffix: HashMap<Arc<str>, Slot>,
    any: Option<Slot>,
    config: Arc<table::Listener>,
}

/// None = the chain could not be built: its names are known, and their connections are closed.
type Slot = Option<Arc<Chain>>;

/// How the connections of some server names are served.
#[derive(Debug)]
pub struct Chain {
    /// Its name in the listener.
    pub name: Arc<str>,
    /// The route configuration that its requests are looked up in.
    pub route_config: Arc<str>,
    /// For every request that comes this way.
    pub policies: policy::Chain,
    /// Ready for the handshake; none = plain text.
    pub tls: Option<server::Settings>,
    /// Limit of the handshake; none = the worker's default.
    pub handshake_timeout: Option<Duration>,
    /// How HTTP is spoken.
    pub http: Arc<Http>,
    config: table::FilterChain,
    certificate: Option<Digest>,
}

impl Listener {
    /// A chain that cannot be built keeps its previous form; without one its server names are closed. The other chains
    /// are not touched by that. Where every chain is the previous one, so is the listener.
    pub(super) fn build(
        config: &Arc<table::Listener>,
        held: &Held,
        prev: Option<&Arc<Self>>,
    ) -> (Arc<Self>, Vec<Invalid>) {
        let before: HashMap<&str, &Arc<Chain>> =
            prev.iter().flat_map(|prev| prev.chains()).map(|chain| (&*chain.name, chain)).collect();
        let mut rejected = Vec::new();
        let mut slots = Vec::new();
        let mut same = true;
        for (i, chain) in config.filter_chains.iter().enumerate() {
            let before = before.get(&*chain.name).copied();
            let slot = match Chain::build(chain, held, before) {
                Ok(built) => Some(built),
                Err(invalid) => {
                    rejected.push(invalid.under(format!("filter_chains[{i}]")));
                    before.cloned()
                }
            };
            same &= slot.as_ref().zip(before).is_some_and(|(slot, before)| Arc::ptr_eq(slot, before));
            slots.push((&chain.server_names, slot));
        }
        if let Some(prev) = prev.filter(|prev| same && prev.config == *config) {
            return (Arc::clone(prev), rejected);
        }
        let connection_logs = ListenerLogs::open(&config.connection_logs).unwrap_or_else(|error| {
            rejected.push(Invalid::new("connection_logs", error));
            None
        });
        let mut listener = Self {
            connection_logs,
            name: Arc::clone(&config.name),
            origin: config.origin.clone(),
            address: SocketAddr::new(config.address, config.port),
            proxy_protocol: config.proxy_protocol,
            tls: config.filter_chains.iter().any(|chain| chain.tls.is_some()),
            exact: HashMap::new(),
            suffix: HashMap::new(),
            any: None,
            config: Arc::clone(config),
        };
        for (names, slot) in slots {
            listener.insert(names, slot);
        }
        (Arc::new(listener), rejected)
    }

    fn insert(&mut self, names: &[ServerName], slot: Slot) {
        if names.is_empty() {
            self.any = Some(slot.clone());
        }
        for name in names {
            let (map, key) = match name {
                ServerName::Exact(name) => (&mut self.exact, name),
                ServerName::Suffix(suffix) => (&mut self.suffix, suffix),
            };
            map.insert(Arc::clone(key), slot.clone());
        }
    }

    /// The chain for a server name: exact, then the longest wildcard, then the chain for all. None = close.
    #[must_use]
    pub fn select(&self, sni: Option<&str>) -> Option<&Arc<Chain>> {
        let lowered;
        let sni = match sni {
            Some(name) if name.bytes().any(|b| b.is_ascii_uppercase()) => {
                lowered = name.to_ascii_lowercase();
                Some(&*lowered)
            }
            sni => sni,
        };
        let named = sni.and_then(|name| {
            // The star stands for at least one character, so the search begins behind the first one.
            let suffixes =
                name.match_indices('.').filter(|(at, _)| *at > 0).filter_map(|(at, _)| name.get(at..));
            self.exact.get(name).or_else(|| suffixes.filter_map(|suffix| self.suffix.get(suffix)).next())
        });
        named.or(self.any.as_ref())?.as_ref()
    }

    /// The chain of a listener without TLS.
    #[must_use]
    pub fn plain(&self) -> Option<&Arc<Chain>> {
        if self.tls { None } else { self.select(None) }
    }

    /// All chains that can serve; one with several names comes once for each.
    pub(super) fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        self.exact.values().chain(self.suffix.values()).chain(&self.any).flatten()
    }
}

impl Chain {
    fn build(
        config: &table::FilterChain,
        held: &Held,
        prev: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Invalid> {
        let material = match &config.tls {
            Some(tls) => {
                let found = held.certificate(&tls.certificate);
                Some((tls, found.map_err(|e| e.under("certificate").under("tls"))?))
            }
            None => None,
        };
        let certificate = material.as_ref().map(|(_, (digest, _))| *digest);
        if let Some(prev) = prev.filter(|prev| prev.config == *config && prev.certificate == certificate) {
            return Ok(Arc::clone(prev));
        }
        let tls = match material {
            // Other names or another route configuration leave the handshake as it is: tickets stay valid.
            Some((tls, _)) => {
                match prev.filter(|p| p.config.tls.as_ref() == Some(tls) && p.certificate == certificate) {
                    Some(prev) => prev.tls.clone(),
                    None => {
                        let (_, found) = held.certificate(&tls.certificate)?;
                        Some(server::settings(tls, found).map_err(|e| e.under("tls"))?)
                    }
                }
            }
            None => None,
        };
        let http = match prev.filter(|prev| prev.config.http == config.http) {
            Some(prev) => Arc::clone(&prev.http),
            None => Http::build(&config.http).map_err(|e| e.under("http"))?,
        };
        Ok(Arc::new(Self {
            http,
            name: Arc::clone(&config.name),
            route_config: Arc::clone(&config.route_config),
            policies: PlanBuilder::decode(&config.policies)?.plan().policies,
            tls,
            handshake_timeout: config.tls.as_ref().and_then(|tls| tls.handshake_timeout),
            config: config.clone(),
            certificate,
        }))
    }
}
