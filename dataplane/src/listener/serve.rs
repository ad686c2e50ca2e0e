//! One connection, from accept to who serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portcullis_shared::table::Tlv;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::admission::Refusal;
use super::proxy_protocol::{self, Proxied};
use super::tls;
use crate::policy::metadata::DynamicMetadata;
use crate::proxy::{Conn, ConnInfo, Connection, Engine, Passed, Socket};
use crate::runtime::{Chain, Listener, Serve};
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
    let mut local = socket.local_addr().map_or(listener.address, canonical);
    let (mut client, mut put_back, mut metadata) = (direct, Vec::new(), None);
    if listener.proxy_protocol {
        match Box::pin(timeout(PROXY_HEADER, proxy_protocol::read(&mut socket))).await {
            Ok(Ok(read)) => {
                if let Proxied::Inet { source, destination } = read.proxied {
                    (client, local) = (canonical(source), canonical(destination));
                }
                metadata = self::metadata(&listener.tlvs, &read.header);
                put_back = read.rest.to_vec();
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
        route_config: chain.map(Chain::route_config).unwrap_or_default(),
        http: chain.map(|chain| Arc::clone(&chain.http)).unwrap_or_default(),
        id: ConnInfo::next_id(),
        client,
        direct,
        local,
        sni,
        tls: None,
        buckets: Default::default(),
        metadata: metadata.clone(),
    };
    let started = (Instant::now(), SystemTime::now());
    let over = |info: &ConnInfo, failure: Option<&str>| {
        if let Some(logs) = &listener.connection_logs {
            let (took, started) = (started.0.elapsed(), started.1);
            engine.log_connection(logs, &Connection { info, started, took, failure, passed: None });
        }
    };
    let (mut chain, mut sni) = (None, None);
    if !listener.tls {
        if listener.inspects {
            match Box::pin(peek::server_name(&mut socket, &mut put_back)).await {
                Ok(name) => sni = name.map(Arc::from),
                Err(error) => {
                    tracing::debug!(listener = %listener.name, %client, %error, "connection refused");
                    over(&info(None, None), Some(&error.to_string()));
                    return metrics.refused(&listener.name, error.reason());
                }
            }
        }
        chain = listener.select(sni.as_deref(), client.ip());
        if chain.is_none() {
            tracing::debug!(listener = %listener.name, %client, ?sni, "no filter chain");
            over(&info(None, sni), Some("no filter chain"));
            return metrics.refused(&listener.name, "no_filter_chain");
        }
    }
    if let Some(plain) = chain.filter(|chain| chain.tls.is_none()) {
        let _admitted = match plain.admit() {
            Ok(admitted) => admitted,
            Err(refusal) => {
                refusal.wait().await;
                tracing::debug!(listener = %listener.name, %client, reason = refusal.reason, "connection refused");
                let info = info(Some(plain), sni);
                refused(engine, plain, &refusal, &info, started);
                over(&info, None);
                return metrics.refused(&listener.name, refusal.reason);
            }
        };
        let info = match &plain.serve {
            Serve::Http(_) => {
                let conn = Conn::plain(socket, put_back, info(Some(plain), None));
                let info = conn.info();
                engine.serve(conn, drain).await;
                info
            }
            Serve::Tcp(route) => {
                let info = Arc::new(info(Some(plain), sni));
                let stream = Socket::new(socket, put_back);
                tcp::serve(engine, stream, Arc::clone(&info), route).await;
                info
            }
        };
        return over(&info, None);
    }
    // What a handshake takes is not kept for the life of the connection.
    let accepted =
        match Box::pin(tls::handshake(Socket::new(socket, put_back), listener, client.ip(), chain)).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(listener = %listener.name, %client, %error, "no TLS connection");
                if let tls::Error::Refused(refusal, chain) = &error {
                    let info = info(Some(chain), None);
                    refused(engine, chain, refusal, &info, started);
                    over(&info, None);
                    return metrics.refused(&listener.name, refusal.reason);
                }
                over(&info(None, None), Some(&error.to_string()));
                return metrics.tls_failed(&listener.name, error.reason());
            }
        };
    let _admitted = accepted.admitted;
    let mut info = info(Some(&accepted.chain), accepted.sni);
    let info = match &accepted.chain.serve {
        Serve::Http(_) => {
            let conn = Conn::tls(accepted.stream, info);
            let info = conn.info();
            engine.serve(conn, drain).await;
            info
        }
        Serve::Tcp(route) => {
            info.tls = Some(crate::tls::server::facts(accepted.stream.get_ref().1));
            let info = Arc::new(info);
            tcp::serve(engine, accepted.stream, Arc::clone(&info), route).await;
            info
        }
    };
    over(&info, None);
}

/// A connection that was not let in is in the log of those that are passed on, as in Envoy.
fn refused(
    engine: &Engine,
    chain: &Chain,
    refusal: &Refusal,
    info: &ConnInfo,
    (begun, started): (Instant, SystemTime),
) {
    let Serve::Tcp(route) = &chain.serve else { return };
    if let Some(logs) = &route.access_logs {
        let passed = Some(Passed { flags: refusal.flags, ..Passed::default() });
        engine.log_connection(
            logs,
            &Connection { info, started, took: begun.elapsed(), failure: None, passed },
        );
    }
}

/// What is kept of the extensions of a PROXY header; of several of one type the last.
fn metadata(rules: &[Tlv], header: &[u8]) -> Option<Arc<DynamicMetadata>> {
    if rules.is_empty() {
        return None;
    }
    let mut metadata = DynamicMetadata::default();
    for (kind, value) in proxy_protocol::extensions(header) {
        for rule in rules.iter().filter(|rule| rule.kind == kind) {
            let text = String::from_utf8_lossy(value).into_owned();
            metadata.set(&rule.namespace, &rule.key, text.into());
        }
    }
    Some(Arc::new(metadata))
}

/// A socket bound to `::` shows IPv4 clients as mapped addresses; people and policies mean the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
