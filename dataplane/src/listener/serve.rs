//! One connection, from accept to the engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::proxy_protocol::{self, Proxied};
use super::tls;
use crate::proxy::{Conn, ConnInfo, Connection, Engine, Socket};
use crate::runtime::{Chain, Listener};
use crate::telemetry::Metrics;

/// Time for a PROXY header. The balancer sends it at once.
const PROXY_HEADER: Duration = Duration::from_secs(5);

/// Serves a connection to its end. `drain` becomes true when it shall end.
pub async fn serve(
    mut tcp: TcpStream,
    peer: SocketAddr,
    listener: &Listener,
    engine: &Arc<Engine>,
    metrics: &Metrics,
    drain: &watch::Receiver<bool>,
) {
    // A client that is gone already answers by an error on the first read.
    let _ = tcp.set_nodelay(true);
    let direct = canonical(peer);
    let local = tcp.local_addr().map_or(listener.address, canonical);
    let (mut client, mut put_back) = (direct, Vec::new());
    if listener.proxy_protocol {
        match Box::pin(timeout(PROXY_HEADER, proxy_protocol::read(&mut tcp))).await {
            Ok(Ok((proxied, rest))) => {
                if let Proxied::Inet { source, .. } = proxied {
                    client = canonical(source);
                }
                put_back = rest.to_vec();
            }
            Ok(Err(error)) => {
                tracing::debug!(listener = %listener.name, %peer, %error, "connection refused");
                return metrics.refused(&listener.name, "proxy_protocol");
            }
            Err(_) => {
                tracing::debug!(listener = %listener.name, %peer, "connection refused: no PROXY header in time");
                return metrics.refused(&listener.name, "proxy_protocol");
            }
        }
    }
    let info = |chain: Option<&Chain>, sni| ConnInfo {
        listener: Arc::clone(&listener.name),
        route_config: chain.map_or_else(|| "".into(), |chain| Arc::clone(&chain.route_config)),
        http: chain.map(|chain| Arc::clone(&chain.http)).unwrap_or_default(),
        id: ConnInfo::next_id(),
        client,
        direct,
        local,
        sni,
        tls: None,
        buckets: Default::default(),
    };
    let started = (Instant::now(), SystemTime::now());
    let over = |info: &ConnInfo, failure: Option<&str>| {
        if let Some(logs) = &listener.connection_logs {
            let (took, started) = (started.0.elapsed(), started.1);
            engine.log_connection(logs, &Connection { info, started, took, failure });
        }
    };
    let conn = if listener.tls {
        // What a handshake takes is not kept for the life of the connection.
        match Box::pin(tls::handshake(Socket::new(tcp, put_back), listener)).await {
            Ok(accepted) => Conn::tls(accepted.stream, info(Some(&accepted.chain), accepted.sni)),
            Err(error) => {
                tracing::debug!(listener = %listener.name, %client, %error, "no TLS connection");
                over(&info(None, None), Some(&error.to_string()));
                return metrics.tls_failed(&listener.name, error.reason());
            }
        }
    } else {
        match listener.plain() {
            Some(chain) => Conn::plain(tcp, put_back, info(Some(chain), None)),
            None => return metrics.refused(&listener.name, "no_filter_chain"),
        }
    };
    let info = conn.info();
    engine.serve(conn, drain).await;
    over(&info, None);
}

/// A socket bound to `::` shows IPv4 clients as mapped addresses; people and policies mean the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
