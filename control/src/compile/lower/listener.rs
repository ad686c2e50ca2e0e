//! Listeners and downstream TLS.

use portcullis_proto::table::v1 as wire;

use super::host::destinations;
use super::{millis, origin, policies, strings, tls_version};
use crate::ir::{DownstreamTls, Listener, OcspPolicy, Serve, TcpProxy, TcpTarget};

/// A listener with its filter chains.
pub fn listener(listener: &Listener) -> wire::Listener {
    wire::Listener {
        name: listener.name.to_string(),
        origin: origin(&listener.origin),
        address: listener.address.to_string(),
        port: u32::from(listener.port),
        proxy_protocol: listener.proxy_protocol,
        filter_chains: listener
            .chains
            .iter()
            .map(|chain| wire::FilterChain {
                name: chain.name.to_string(),
                server_names: strings(&chain.server_names),
                tls: chain.tls.as_ref().map(tls),
                source_prefixes: chain.source_prefixes.iter().map(ToString::to_string).collect(),
                serve: Some(match &chain.serve {
                    Serve::Http(name) => wire::filter_chain::Serve::RouteConfig(name.to_string()),
                    Serve::Tcp(proxy) => wire::filter_chain::Serve::Tcp(tcp(proxy)),
                }),
                // Encoded by us, so that it decodes.
                http: (!chain.http.is_empty()).then(|| decoded(&chain.http)),
                policies: policies(&chain.policies),
                origin: chain.part.as_ref().and_then(|(of, _)| origin(of)),
                path: chain.part.as_ref().map(|(_, path)| path.to_string()).unwrap_or_default(),
                admission: (!chain.admission.is_empty()).then(|| decoded(&chain.admission)),
            })
            .collect(),
        connection_logs: listener.connection_logs.iter().map(|log| decoded(log)).collect(),
        ..decoded(&listener.options)
    }
}

fn tcp(proxy: &TcpProxy) -> wire::TcpProxy {
    use wire::tcp_proxy::Target;
    wire::TcpProxy {
        name: proxy.name.to_string(),
        target: Some(match &proxy.target {
            TcpTarget::Destinations(list) => Target::Destinations(destinations(list)),
            TcpTarget::Split(name) => Target::Split(name.to_string()),
            TcpTarget::Sni => Target::SniUpstream(true),
        }),
        max_connect_attempts: proxy.max_connect_attempts,
        idle_timeout_ms: millis(proxy.idle_timeout),
        ..decoded(&proxy.options)
    }
}

fn decoded<M: prost::Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_default()
}

fn tls(tls: &DownstreamTls) -> wire::DownstreamTls {
    let ocsp = match tls.ocsp_policy {
        OcspPolicy::Lenient => wire::OcspPolicy::Lenient,
        OcspPolicy::Strict => wire::OcspPolicy::Strict,
        OcspPolicy::Must => wire::OcspPolicy::Must,
    };
    wire::DownstreamTls {
        certificate: tls.certificate.name().to_string(),
        require_client_certificate: tls.require_client_certificate,
        verify_subject_alt_names: strings(&tls.verify_subject_alt_names),
        min_version: tls_version(tls.parameters.min),
        max_version: tls_version(tls.parameters.max),
        cipher_suites: strings(&tls.parameters.cipher_suites),
        curves: strings(&tls.parameters.curves),
        alpn: strings(&tls.alpn),
        disable_session_resumption: tls.disable_session_resumption,
        handshake_timeout_ms: millis(tls.handshake_timeout),
        ocsp_policy: ocsp as i32,
    }
}
