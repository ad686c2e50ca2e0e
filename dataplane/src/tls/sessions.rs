//! Remembered TLS sessions, for resumption.
//!
//! rustls' own stores take the memory for all their sessions when they are made. There may be ten thousand filter chains
//! and upstreams, of which few have such clients or connections at one time, so these stores take it when the first
//! session comes.

use std::sync::{Arc, OnceLock};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// Per filter chain. Only TLS 1.2 clients without tickets need them.
const SERVER_SESSIONS: usize = 256;

/// Per upstream; rustls counts eight for each server name.
const CLIENT_SESSIONS: usize = 256;

/// Sessions of a filter chain's clients.
#[derive(Debug, Default)]
pub struct ServerSessions(OnceLock<Arc<ServerSessionMemoryCache>>);

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.get_or_init(|| ServerSessionMemoryCache::new(SERVER_SESSIONS)).put(key, value)
    }
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get()?.get(key)
    }
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get()?.take(key)
    }
    fn can_cache(&self) -> bool {
        true
    }
}

/// Sessions with an upstream's servers.
#[derive(Debug, Default)]
pub struct ClientSessions(OnceLock<ClientSessionMemoryCache>);

impl ClientSessions {
    fn store(&self) -> &ClientSessionMemoryCache {
        self.0.get_or_init(|| ClientSessionMemoryCache::new(CLIENT_SESSIONS))
    }
}

impl ClientSessionStore for ClientSessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.store().set_kx_hint(server, group);
    }
    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.get()?.kx_hint(server)
    }
    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.store().set_tls12_session(server, session);
    }
    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.get()?.tls12_session(server)
    }
    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        if let Some(store) = self.0.get() {
            store.remove_tls12_session(server);
        }
    }
    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.store().insert_tls13_ticket(server, ticket);
    }
    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.get()?.take_tls13_ticket(server)
    }
}
