//! Brings a connection up to date before its next request: a listener's settings hold for the requests that come after
//! their change, also on connections from before it.
//!
//! Looks at the configuration only when it is another one than at the request before. Must not touch what was settled
//! with the connection: its certificate, its protocol, the limits of its life.

use std::sync::Arc;

use super::Shared;
use super::conn::ConnInfo;

/// What the present configuration says to a connection.
pub(super) enum Standing {
    /// Nothing new.
    Same,
    /// Its filter chain has other settings.
    Renewed(Arc<ConnInfo>),
    /// Its filter chain is no more: the client shall come again, and get what is served now.
    Gone,
}

/// Compares with the configuration of generation `seen`, which the connection was brought up to before.
pub(super) fn standing(shared: &Shared, info: &Arc<ConnInfo>, seen: &mut u64) -> Standing {
    let runtime = shared.runtime.load();
    if runtime.generation() == *seen {
        return Standing::Same;
    }
    *seen = runtime.generation();
    // One that is no more drains its connections itself.
    let Some(listener) = runtime.listener(&info.listener) else { return Standing::Same };
    match listener.select(info.sni.as_deref(), info.client.ip()) {
        Some(chain) if chain.name != info.chain => Standing::Gone,
        None => Standing::Gone,
        Some(chain) if Arc::ptr_eq(&chain.http, &info.http) => Standing::Same,
        Some(chain) => {
            let mut renewed = ConnInfo::clone(info);
            renewed.http = Arc::clone(&chain.http);
            renewed.route_config = chain.route_config();
            Standing::Renewed(Arc::new(renewed))
        }
    }
}
