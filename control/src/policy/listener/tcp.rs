//! Options of a TCP gateway, beside those that its hosts are made with.

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::format::Format;
use prost::Message as _;

use super::{About, connections, headers};
use crate::policy::Layer;
use crate::resource::{ObjectRef, TcpListenerOptions, TcpProxySettings, TunnelingConfig};
use crate::translate::Notes;

/// What all filter chains of a TCP gateway have, as it travels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TcpSettings {
    /// A `TcpProxy` with nothing else in it.
    pub options: Bytes,
    /// `Admission`; empty = all connections are let in.
    pub admission: Bytes,
}

/// Checks the options of a TCP gateway, which stand at `path`.
pub fn lower_tcp(
    options: Option<&TcpListenerOptions>,
    owner: &ObjectRef,
    path: &str,
    notes: &mut Notes,
) -> TcpSettings {
    let Some(options) = options else { return TcpSettings::default() };
    let layer = Layer { options, owner, path: path.into(), depth: 0 };
    let bucket = ("localRatelimit", options.local_ratelimit.as_ref());
    let admission = connections::admission(&layer, options.connection_limit.as_ref(), bucket, notes);
    let mut about = About::of(owner, notes);
    let settings = options.tcp_proxy_settings.as_ref();
    let path = format!("{path}.tcpProxySettings");
    let tunnel = settings.and_then(|it| it.tunneling_config.as_ref());
    let proxy = wire::TcpProxy {
        tunnel: tunnel.and_then(|it| lower_tunnel(it, &format!("{path}.tunnelingConfig"), &mut about)),
        log_interval_ms: settings.map_or(0, |it| log_interval(it, &path, &mut about)),
        ..Default::default()
    };
    TcpSettings { options: proxy.encode_to_vec().into(), admission }
}

fn log_interval(settings: &TcpProxySettings, path: &str, about: &mut About<'_>) -> u64 {
    let Some(interval) = settings.access_log_flush_interval else { return 0 };
    let millis = interval.to_millis().filter(|millis| *millis > 0);
    if millis.is_none() {
        let text = format!("accessLogFlushInterval must be at least 1ms, but is {interval}");
        about.error(format!("{path}.accessLogFlushInterval"), text);
    }
    millis.unwrap_or(0)
}

fn lower_tunnel(config: &TunnelingConfig, path: &str, about: &mut About<'_>) -> Option<wire::Tunnel> {
    let headers = headers::additions(&config.headers_to_add, &format!("{path}.headersToAdd"), about);
    let problem = match Format::parse(&config.hostname) {
        _ if config.hostname.is_empty() => {
            "a host with its port is needed, such as `db.example.com:5432`".to_owned()
        }
        Err(problem) => problem.to_string(),
        Ok(_) => return Some(wire::Tunnel { host: config.hostname.clone(), headers }),
    };
    about.error(format!("{path}.hostname"), problem);
    None
}
