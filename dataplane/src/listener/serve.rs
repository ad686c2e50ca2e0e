//! One connection, from accept to who serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::proxy_protocol::{self, Proxied};
use super::tls;
use crate::proxy::{Conn, ConnInfo, Engine, Socket};
use crate::runtime::{Listener, Serve};
use crate::tcp::{self, peek};
use crate::telemetry::Metrics;

/// Time for a PROXY header. The balancer sends it at once.
const PROXY_HEADER: Duration = Duration::from_secs(5);

/// Serves a connection to its end. `drain` becomes true when it shall end.
pub async fn serve(
    mut socket: TcpStream,
    peer: SocketAddr,
    listener: &Listener,
    engine: &Arc<Engine>,
    metrics: &Metrics,
    drain: &watch::Receiver<bool>,
) {
    // A client that is gone already answers by an error on the first read.
    let _ = socket.set_nodelay(true);
    let direct = canonical(peer);
    let local = socket.local_addr().map_or(listener.address, canonical);
    let (mut client, mut put_back) = (direct, Vec::new());
    if listener.proxy_protocol {
        match Box::pin(timeout(PROXY_HEADER, proxy_protocol::read(&mut socket))).await {
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
    let mut chain = None;
    let mut sni = None;
    if !listener.tls {
        if listener.inspects {
            match Box::pin(peek::server_name(&mut socket, &mut put_back)).await {
                Ok(name) => sni = name.map(Arc::from),
                Err(error) => {
                    tracing::debug!(listener = %listener.name, %client, %error, "connection refused");
                    return metrics.refused(&listener.name, error.reason());
                }
            }
        }
        chain = listener.select(sni.as_deref(), client.ip());
        if chain.is_none() {
            tracing::debug!(listener = %listener.name, %client, ?sni, "no filter chain");
            return metrics.refused(&listener.name, "no_filter_chain");
        }
    }
    if let Some(plain) = chain.filter(|chain| chain.tls.is_none()) {
        return match &plain.serve {
            Serve::Http(route_config) => {
                let info = ConnInfo {
                    listener: Arc::clone(&listener.name),
                    route_config: Arc::clone(route_config),
                    client,
                    direct,
                    local,
                    sni: None,
                    tls: None,
                };
                engine.serve(Conn::plain(socket, put_back, info), drain).await;
            }
            Serve::Tcp(route) => {
                let info = tcp::Info { listener: Arc::clone(&listener.name), client, sni, tls: None };
                tcp::serve(engine.shared(), Socket::new(socket, put_back), info, route).await;
            }
        };
    }
    // What a handshake takes is not kept for the life of the connection.
    let accepted =
        match Box::pin(tls::handshake(Socket::new(socket, put_back), listener, client.ip(), chain)).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(listener = %listener.name, %client, %error, "no TLS connection");
                return metrics.tls_failed(&listener.name, error.reason());
            }
        };
    match &accepted.chain.serve {
        Serve::Http(route_config) => {
            let info = ConnInfo {
                listener: Arc::clone(&listener.name),
                route_config: Arc::clone(route_config),
                client,
                direct,
                local,
                sni: accepted.sni,
                tls: None,
            };
            engine.serve(Conn::tls(accepted.stream, info), drain).await;
        }
        Serve::Tcp(route) => {
            let version = crate::tls::server::facts(accepted.stream.get_ref().1).version;
            let info = tcp::Info {
                listener: Arc::clone(&listener.name),
                client,
                sni: accepted.sni,
                tls: Some(version),
            };
            tcp::serve(engine.shared(), accepted.stream, info, route).await;
        }
    }
}

/// A socket bound to `::` shows IPv4 clients as mapped addresses; people and policies mean the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
