//! Listeners and their filter chains: which certificate and which virtual hosts a connection gets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::ChainIndex;
use portcullis_shared::table::{self, Origin, SocketOption, TcpTarget, Tlv};
use portcullis_shared::version::Digest;

use super::Http;
use super::tcp::TcpRoute;
use crate::held::Held;
use crate::listener::admission::{Admission, Admitted, Refusal};
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
    /// Every connection begins with a TLS handshake that ends here.
    pub tls: bool,
    /// What is written about each connection.
    pub connection_logs: Option<ListenerLogs>,
    /// What is kept of a PROXY header.
    pub tlvs: Arc<[Tlv]>,
    /// Of the sockets that listen.
    pub socket_options: Arc<[SocketOption]>,
    /// Not every one does, and the server name has to be known before it is decided what a connection gets.
    pub inspects: bool,
    chains: ChainIndex<Slot>,
    config: Arc<table::Listener>,
}

/// None = the chain could not be built: its names are known, and their connections are closed.
type Slot = Option<Arc<Chain>>;

/// How some connections are served.
#[derive(Debug)]
pub struct Chain {
    /// Its name in the listener.
    pub name: Arc<str>,
    /// What is done with them.
    pub serve: Serve,
    /// For every request that comes this way.
    pub policies: policy::Chain,
    /// Ready for the handshake; none = plain text, or TLS that is passed on.
    pub tls: Option<server::Settings>,
    /// Limit of the handshake; none = the worker's default.
    pub handshake_timeout: Option<Duration>,
    /// How HTTP is spoken.
    pub http: Arc<Http>,
    admission: Option<Arc<Admission>>,
    config: table::FilterChain,
    certificate: Option<Digest>,
}

/// What a chain does with its connections.
#[derive(Debug, Clone)]
pub enum Serve {
    /// Requests are looked up in the route configuration of this name.
    Http(Arc<str>),
    /// Bytes are passed on.
    Tcp(Arc<TcpRoute>),
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
            slots.push((chain.matching(), slot));
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
            tlvs: config.tlvs.as_slice().into(),
            socket_options: config.socket_options.as_slice().into(),
            name: Arc::clone(&config.name),
            origin: config.origin.clone(),
            address: SocketAddr::new(config.address, config.port),
            proxy_protocol: config.proxy_protocol,
            tls: !config.filter_chains.is_empty()
                && config.filter_chains.iter().all(|chain| chain.tls.is_some()),
            inspects: false,
            chains: ChainIndex::default(),
            config: Arc::clone(config),
        };
        for (matching, slot) in slots {
            // Two for the same connections are no valid listener.
            let _ = listener.chains.insert(matching, slot);
        }
        let by_name = |chain: &table::FilterChain| matches!(&chain.serve, table::Serve::Tcp(tcp) if tcp.target == TcpTarget::Sni);
        listener.inspects =
            !listener.tls && (listener.chains.by_name() || config.filter_chains.iter().any(by_name));
        (Arc::new(listener), rejected)
    }

    /// The chain for a server name and a client. None = close.
    #[must_use]
    pub fn select(&self, sni: Option<&str>, client: IpAddr) -> Option<&Arc<Chain>> {
        self.chains.find(sni, client)?.as_ref()
    }

    /// All chains that can serve; one with several names comes once for each.
    pub(super) fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        self.chains.iter().flatten()
    }
}

impl Chain {
    /// The route configuration of its requests; empty where bytes are passed on.
    #[must_use]
    pub fn route_config(&self) -> Arc<str> {
        match &self.serve {
            Serve::Http(name) => Arc::clone(name),
            Serve::Tcp(_) => Arc::default(),
        }
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// It is one too many.
    pub fn admit(&self) -> Result<Option<Admitted>, Refusal> {
        self.admission.as_ref().map(|admission| admission.admit()).transpose()
    }

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
            serve: match &config.serve {
                table::Serve::Http(name) => Serve::Http(Arc::clone(name)),
                table::Serve::Tcp(tcp) => {
                    Serve::Tcp(Arc::new(TcpRoute::build(tcp).map_err(|e| e.under("tcp"))?))
                }
            },
            policies: PlanBuilder::decode(&config.policies)?.plan().policies,
            tls,
            admission: config.admission.as_ref().map(Admission::build),
            handshake_timeout: config.tls.as_ref().and_then(|tls| tls.handshake_timeout),
            config: config.clone(),
            certificate,
        }))
    }
}
