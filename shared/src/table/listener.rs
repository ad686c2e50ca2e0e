//! A bound address and the filter chains that serve its connections.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use portcullis_proto::table::v1 as wire;
use prost_types::Any;

use super::{
    AccessLog, Admission, HttpSettings, Origin, SocketOption, TcpProxy,
    field::{alpn, each, millis, port, required, texts},
    route::policies,
};
use crate::Invalid;
use crate::routing::{ChainIndex, ChainMatch, Taken};

/// A bound address and the filter chains that serve its connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// `listener-<address>-<port>`.
    pub name: Arc<str>,
    /// The user's resource.
    pub origin: Origin,
    /// `::` accepts IPv4 too.
    pub address: IpAddr,
    /// Never 0.
    pub port: u16,
    /// A PROXY v1 or v2 header is required before anything else.
    pub proxy_protocol: bool,
    /// Chosen by SNI and client address; no two take the same. Empty = nothing is served.
    pub filter_chains: Vec<FilterChain>,
    /// A line for each connection.
    pub connection_logs: Vec<AccessLog>,
    /// What is kept of a PROXY header.
    pub tlvs: Vec<Tlv>,
    /// Of the sockets that listen.
    pub socket_options: Vec<SocketOption>,
}

/// An extension of a PROXY header that becomes dynamic metadata of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlv {
    /// Its type.
    pub kind: u8,
    /// Namespace of the metadata.
    pub namespace: Arc<str>,
    /// Key there.
    pub key: Arc<str>,
}

/// How some connections are served.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterChain {
    /// For people.
    pub name: Arc<str>,
    /// Empty = any SNI and none.
    pub server_names: Vec<ServerName>,
    /// Networks of clients, without host bits; empty = any address.
    pub source_prefixes: Vec<IpNet>,
    /// `None` = plain text, or TLS that is passed on.
    pub tls: Option<DownstreamTls>,
    /// What is done with them.
    pub serve: Serve,
    /// How HTTP is spoken.
    pub http: Arc<HttpSettings>,
    /// For every request that comes this way.
    pub policies: Vec<Any>,
    /// Of a part of a hybrid gateway: the user's resource that holds it, and its place there; else empty.
    pub origin: Origin,
    /// See `origin`.
    pub path: Arc<str>,
    /// Which connections are let in; `None` = all.
    pub admission: Option<Admission>,
}

/// What a filter chain does with its connections.
#[derive(Debug, Clone, PartialEq)]
pub enum Serve {
    /// Requests are routed by the virtual hosts with this name in `route_configs`.
    Http(Arc<str>),
    /// Bytes are passed on.
    Tcp(TcpProxy),
}

impl FilterChain {
    /// Which connections it takes.
    pub fn matching(&self) -> ChainMatch<'_> {
        ChainMatch { server_names: &self.server_names, source_prefixes: &self.source_prefixes }
    }
}

/// A server name of a filter chain, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerName {
    /// This name.
    Exact(Arc<str>),
    /// `*.example.com`, kept as `.example.com`: every name that ends so.
    Suffix(Arc<str>),
}

impl ServerName {
    /// Reads `name` or `*.name`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        server_name(text)
    }

    /// Whether the lower-case name `sni` is meant.
    pub fn matches(&self, sni: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *sni,
            Self::Suffix(suffix) => sni.len() > suffix.len() && sni.ends_with(&**suffix),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Termination of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownstreamTls {
    /// Name of the certificate.
    pub certificate: Arc<str>,
    /// A client certificate signed by the certificate's CA is mandatory.
    pub require_client_certificate: bool,
    /// The client must hold one of these names; empty = any that the CA signed.
    pub verify_subject_alt_names: Vec<Arc<str>>,
    /// Lowest version.
    pub min_version: TlsVersion,
    /// Highest version.
    pub max_version: TlsVersion,
    /// OpenSSL names of TLS 1.2 suites; empty = the default.
    pub cipher_suites: Vec<Arc<str>>,
    /// Key exchange groups; empty = the default.
    pub curves: Vec<Arc<str>>,
    /// In order of preference; empty = no ALPN.
    pub alpn: Vec<Arc<str>>,
    /// Neither tickets nor session ids.
    pub disable_session_resumption: bool,
    /// `None` = the worker's default.
    pub handshake_timeout: Option<Duration>,
    /// What is done about OCSP.
    pub ocsp_policy: OcspPolicy,
}

/// A version of TLS as a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// What the worker offers: 1.2 as the lowest, 1.3 as the highest.
    #[default]
    Auto,
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// What is done about OCSP staples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OcspPolicy {
    /// Staple when there is a valid one.
    #[default]
    Lenient,
    /// An expired staple breaks the chain; none is fine.
    Strict,
    /// A valid staple is required.
    Must,
}

impl TryFrom<wire::Listener> for Listener {
    type Error = Invalid;

    fn try_from(wire: wire::Listener) -> Result<Self, Invalid> {
        let not_an_address = || Invalid::new("address", format!("\"{}\" is not an IP address", wire.address));
        let listener = Self {
            name: required("name", wire.name)?,
            origin: Origin::try_from(wire.origin).map_err(|e| e.under("origin"))?,
            address: wire.address.parse().map_err(|_| not_an_address())?,
            port: port("port", wire.port)?,
            proxy_protocol: wire.proxy_protocol,
            filter_chains: each("filter_chains", wire.filter_chains)?,
            connection_logs: each("connection_logs", wire.connection_logs)?,
            tlvs: each("tlvs", wire.tlvs)?,
            socket_options: each("socket_options", wire.socket_options)?,
        };
        chains_are_distinct(&listener.filter_chains)?;
        Ok(listener)
    }
}

impl TryFrom<wire::ProxyProtocolTlv> for Tlv {
    type Error = Invalid;

    fn try_from(wire: wire::ProxyProtocolTlv) -> Result<Self, Invalid> {
        Ok(Self {
            kind: wire.r#type.try_into().map_err(|_| Invalid::new("type", "above 255"))?,
            namespace: required("namespace", wire.namespace)?,
            key: required("key", wire.key)?,
        })
    }
}

/// A connection has at most one chain.
fn chains_are_distinct(chains: &[FilterChain]) -> Result<(), Invalid> {
    let mut index = ChainIndex::default();
    for (i, chain) in chains.iter().enumerate() {
        if let Err(Taken { name, prefix, .. }) = index.insert(chain.matching(), i) {
            let field = match name {
                Some(j) => format!("filter_chains[{i}].server_names[{j}]"),
                None => format!("filter_chains[{i}].server_names"),
            };
            let among = prefix.map(|prefix| format!(" from {prefix}")).unwrap_or_default();
            let taken = format!("another filter chain already serves these connections{among}");
            return Err(Invalid::new(field, taken));
        }
    }
    Ok(())
}

impl TryFrom<wire::FilterChain> for FilterChain {
    type Error = Invalid;

    fn try_from(wire: wire::FilterChain) -> Result<Self, Invalid> {
        let serve = match wire.serve.ok_or_else(|| Invalid::new("serve", "missing"))? {
            wire::filter_chain::Serve::RouteConfig(name) => Serve::Http(required("route_config", name)?),
            wire::filter_chain::Serve::Tcp(tcp) => {
                Serve::Tcp(TcpProxy::try_from(tcp).map_err(|e| e.under("tcp"))?)
            }
        };
        if wire.tls.is_none() && !wire.server_names.is_empty() && matches!(serve, Serve::Http(_)) {
            return Err(Invalid::new("server_names", "a plain HTTP connection has no server name"));
        }
        let server_name = |(i, text): (usize, String)| {
            server_name(&text).map_err(|reason| Invalid::new(format!("server_names[{i}]"), reason))
        };
        let prefix = |(i, text): (usize, String)| {
            let not = || Invalid::new(format!("source_prefixes[{i}]"), format!("\"{text}\" is no network"));
            text.parse().ok().filter(|net: &IpNet| net.trunc() == *net).ok_or_else(not)
        };
        Ok(Self {
            name: wire.name.into(),
            server_names: wire
                .server_names
                .into_iter()
                .enumerate()
                .map(server_name)
                .collect::<Result<_, _>>()?,
            source_prefixes: wire
                .source_prefixes
                .into_iter()
                .enumerate()
                .map(prefix)
                .collect::<Result<_, _>>()?,
            tls: wire.tls.map(DownstreamTls::try_from).transpose().map_err(|e| e.under("tls"))?,
            serve,
            http: Arc::new(
                wire.http
                    .map(HttpSettings::try_from)
                    .transpose()
                    .map_err(|e| e.under("http"))?
                    .unwrap_or_default(),
            ),
            policies: policies(wire.policies)?,
            origin: Origin::try_from(wire.origin).map_err(|e| e.under("origin"))?,
            path: wire.path.into(),
            admission: wire
                .admission
                .map(Admission::try_from)
                .transpose()
                .map_err(|e| e.under("admission"))?,
        })
    }
}

fn server_name(text: &str) -> Result<ServerName, String> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("\"{text}\" is not lower case"));
    }
    let (wildcard, rest) = match text.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() || rest.contains('*') || (wildcard && (rest == "." || !rest.starts_with('.'))) {
        return Err(format!("\"{text}\" is neither a name nor \"*.\" and a name"));
    }
    Ok(if wildcard { ServerName::Suffix(rest.into()) } else { ServerName::Exact(rest.into()) })
}

impl TryFrom<wire::DownstreamTls> for DownstreamTls {
    type Error = Invalid;

    fn try_from(wire: wire::DownstreamTls) -> Result<Self, Invalid> {
        let (min_version, max_version) = versions(wire.min_version, wire.max_version)?;
        let ocsp_policy = match wire::OcspPolicy::try_from(wire.ocsp_policy) {
            Ok(wire::OcspPolicy::Lenient) => OcspPolicy::Lenient,
            Ok(wire::OcspPolicy::Strict) => OcspPolicy::Strict,
            Ok(wire::OcspPolicy::Must) => OcspPolicy::Must,
            Err(_) => return Err(Invalid::new("ocsp_policy", format!("{} is unknown", wire.ocsp_policy))),
        };
        Ok(Self {
            certificate: required("certificate", wire.certificate)?,
            require_client_certificate: wire.require_client_certificate,
            verify_subject_alt_names: texts("verify_subject_alt_names", wire.verify_subject_alt_names)?,
            min_version,
            max_version,
            cipher_suites: texts("cipher_suites", wire.cipher_suites)?,
            curves: texts("curves", wire.curves)?,
            alpn: alpn("alpn", wire.alpn)?,
            disable_session_resumption: wire.disable_session_resumption,
            handshake_timeout: millis(wire.handshake_timeout_ms),
            ocsp_policy,
        })
    }
}

/// The two bounds; they must leave a version to offer.
pub(super) fn versions(min: i32, max: i32) -> Result<(TlsVersion, TlsVersion), Invalid> {
    let version = |field: &str, number: i32| match wire::TlsVersion::try_from(number) {
        Ok(wire::TlsVersion::Auto) => Ok(TlsVersion::Auto),
        Ok(wire::TlsVersion::TlsVersion12) => Ok(TlsVersion::V1_2),
        Ok(wire::TlsVersion::TlsVersion13) => Ok(TlsVersion::V1_3),
        Err(_) => Err(Invalid::new(field, format!("{number} is unknown"))),
    };
    let (min, max) = (version("min_version", min)?, version("max_version", max)?);
    match (min, max) {
        (TlsVersion::V1_3, TlsVersion::V1_2) => Err(Invalid::new("min_version", "above max_version")),
        bounds => Ok(bounds),
    }
}

#[cfg(test)]
mod tests;
