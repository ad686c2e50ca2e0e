//! The server side of a filter chain's handshakes.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::{Certificate, DownstreamTls, OcspPolicy};
use portcullis_shared::tls::cipher_suite_text;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WantsServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, NamedGroup, ProtocolVersion, ServerConfig, ServerConnection};

use super::ocsp::Staple;
use super::{Choices, ClientVerifier, Provider, ServerSessions, SubjectNames, Trust, identity, peer};
use crate::policy::TlsFacts;

/// The settings of a filter chain, made once for all its handshakes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our order of suites counts.
    usual: Arc<ServerConfig>,
    /// The client's does; none = never.
    by_client: Option<Arc<ServerConfig>>,
    /// URI names of the certificate, joined by commas.
    uri_names: Option<Arc<str>>,
}

impl Settings {
    /// URI names of the certificate that clients are shown, joined by commas.
    #[must_use]
    pub fn uri_names(&self) -> Option<&Arc<str>> {
        self.uri_names.as_ref()
    }

    /// The configuration for this client. One that puts ChaCha20 first says that it has no instructions for AES: its
    /// battery counts more than our cycles. Whoever lists suites in the configuration wants them in that order.
    #[must_use]
    pub fn fit(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        // The first that has a name: some clients put random ones in front (RFC 8701).
        let first = hello.cipher_suites().iter().find_map(rustls::CipherSuite::as_str);
        let slow = first.is_some_and(|suite| suite.contains("CHACHA20"));
        let config = self.by_client.as_ref().filter(|_| slow).unwrap_or(&self.usual);
        lenient_alpn(config, hello)
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn usual(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.usual)
    }
}

/// rustls refuses a client whose protocols are all unknown to us; Envoy goes on without one (HTTP/1.1), and clients
/// that offer only "http/1.0" or a private name rely on it.
fn lenient_alpn(config: &Arc<ServerConfig>, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
    let ours = &config.alpn_protocols;
    let Some(mut offered) = hello.alpn().filter(|_| !ours.is_empty()) else { return Arc::clone(config) };
    if offered.any(|protocol| ours.iter().any(|own| own == protocol)) {
        return Arc::clone(config);
    }
    let mut without = ServerConfig::clone(config);
    without.alpn_protocols.clear();
    Arc::new(without)
}

/// The settings of a filter chain.
///
/// # Errors
/// The path names a field of `tls`.
pub fn settings(tls: &DownstreamTls, certificate: &Certificate) -> Result<Settings, Invalid> {
    let uri_names = certificate.chain.first().and_then(|leaf| peer::uri_names(leaf)).map(Arc::from);
    let mut config = config(tls, certificate)?;
    let by_client = tls.cipher_suites.is_empty().then(|| Arc::new(config.clone()));
    config.ignore_client_order = true;
    Ok(Settings { usual: Arc::new(config), by_client, uri_names })
}

fn config(tls: &DownstreamTls, certificate: &Certificate) -> Result<ServerConfig, Invalid> {
    let mut provider = Provider::choose(&Choices {
        min: tls.min_version,
        max: tls.max_version,
        cipher_suites: &tls.cipher_suites,
        curves: &tls.curves,
    })?;
    let at_certificate = |e: Invalid| e.under("certificate");
    if tls.curves.is_empty() {
        // What is recorded today shall not be read when quantum computers are there: clients that can do it get it.
        let groups = &mut Arc::make_mut(&mut provider.crypto).kx_groups;
        groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    }
    let key = identity::shared(certificate, &provider.crypto).map_err(at_certificate)?;
    let resolver = Resolver::new(key, certificate, tls.ocsp_policy).map_err(at_certificate)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider.crypto))
        .with_protocol_versions(&provider.versions)
        .map_err(|e| Invalid::new("cipher_suites", e))?;
    let builder: ConfigBuilder<ServerConfig, WantsServerCert> = if tls.require_client_certificate {
        let names = SubjectNames::new(&tls.verify_subject_alt_names);
        let trust = Trust::new(&certificate.ca, names).map_err(at_certificate)?;
        builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(trust, &provider.crypto)?))
    } else {
        builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth())
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    if tls.disable_session_resumption {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // Each chain has keys of its own: a ticket of one chain, which perhaps asks for no client certificate, must
        // not open a session in another.
        config.ticketer =
            Ticketer::new().map_err(|e| Invalid::new("", format!("cannot make ticket keys: {e}")))?;
        config.session_storage = Arc::new(ServerSessions::default());
        config.send_tls13_tickets = 2;
    }
    Ok(config)
}

/// What a finished handshake settled.
#[must_use]
pub fn facts(connection: &ServerConnection) -> TlsFacts {
    TlsFacts {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or("unknown", |suite| cipher_suite_text(suite.suite())),
        http2: connection.alpn_protocol() == Some(b"h2"),
        peer_certificate: connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| leaf.clone().into_owned()),
    }
}

/// Gives every client the chain's certificate, with its staple as long as that is valid.
struct Resolver {
    plain: Arc<CertifiedKey>,
    stapled: Option<(Staple, Arc<CertifiedKey>)>,
    policy: OcspPolicy,
}

impl Resolver {
    fn new(plain: Arc<CertifiedKey>, certificate: &Certificate, policy: OcspPolicy) -> Result<Self, Invalid> {
        let staple = match &certificate.ocsp {
            Some(der) => match Staple::parse(der) {
                Ok(staple) => Some((staple, der)),
                Err(_) if policy == OcspPolicy::Lenient => None,
                Err(reason) => return Err(Invalid::new("ocsp_staple", reason)),
            },
            None => None,
        };
        let now = SystemTime::now();
        match (&staple, policy) {
            (None, OcspPolicy::Must) => return Err(Invalid::new("ocsp_staple", "is required and missing")),
            (Some((staple, _)), OcspPolicy::Must | OcspPolicy::Strict) if !staple.is_valid(now) => {
                return Err(Invalid::new("ocsp_staple", "is not valid at this time"));
            }
            _ => {}
        }
        let stapled = staple.map(|(staple, der)| {
            let mut key = CertifiedKey::clone(&plain);
            key.ocsp = Some(der.clone());
            (staple, Arc::new(key))
        });
        Ok(Self { plain, stapled, policy })
    }

    fn key(&self, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        match &self.stapled {
            Some((staple, key)) if staple.is_valid(now) => Some(Arc::clone(key)),
            // It has expired since the chain was built.
            Some(_) if self.policy != OcspPolicy::Lenient => None,
            _ => Some(Arc::clone(&self.plain)),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key(SystemTime::now())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("policy", &self.policy).finish_non_exhaustive()
    }
}
