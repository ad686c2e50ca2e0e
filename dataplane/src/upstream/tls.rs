//! The client side of TLS towards an upstream, ready before the first connection.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::{Certificate, Place, UpstreamTls};
use portcullis_shared::version::Digest;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{DnsName, ServerName};

use super::Endpoint;
use crate::tls::{Choices, ClientSessions, Provider, ServerVerifier, SubjectNames, Trust, certified_key};

/// TLS towards the endpoints of an upstream.
#[derive(Debug)]
pub struct Tls {
    /// Ready for tokio-rustls. Sessions that it remembers are of this identity only.
    pub config: Arc<ClientConfig>,
    /// Stands for everything that decides whether a connection may be shared: CA, names to verify, client certificate,
    /// versions, suites, groups, protocols. Part of the pool's key.
    pub identity: Digest,
    sni: Option<ServerName<'static>>,
}

impl Tls {
    /// The name for the handshake with `endpoint`: the endpoint's own server name, else the upstream's, else the
    /// endpoint's host name. An address stands for "no SNI".
    ///
    /// The endpoint wins because hosts of one static upstream may each have a name of their own.
    #[must_use]
    pub(super) fn server_name(&self, endpoint: &Endpoint) -> ServerName<'static> {
        let own = endpoint.sni.as_deref().and_then(server_name);
        own.or_else(|| self.sni.clone())
            .or_else(|| endpoint.hostname.as_deref().and_then(server_name))
            .unwrap_or_else(|| no_name(&endpoint.address))
    }

    /// The upstream's name, whatever the endpoint's is.
    pub(super) fn name_at(&self, place: &Place) -> ServerName<'static> {
        self.sni.clone().unwrap_or_else(|| no_name(place))
    }
}

/// An address: none is sent.
fn no_name(place: &Place) -> ServerName<'static> {
    let ip = place.address().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    ServerName::IpAddress(ip.into())
}

fn server_name(text: &str) -> Option<ServerName<'static>> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(ServerName::IpAddress(ip.into())),
        Err(_) => DnsName::try_from(text.to_owned()).ok().map(ServerName::DnsName),
    }
}

/// Certificates that an upstream names, with their digests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Material<'a> {
    /// Whose CA verifies the server.
    pub ca: Option<(Digest, &'a Arc<Certificate>)>,
    /// What is presented to the server.
    pub client: Option<(Digest, &'a Arc<Certificate>)>,
}

impl Material<'_> {
    /// Digest over an upstream's own one and its certificates.
    #[must_use]
    pub fn digest(&self, upstream: Digest) -> Digest {
        let mut bytes = upstream.as_bytes().to_vec();
        for part in [self.ca, self.client] {
            match part {
                Some((digest, _)) => bytes.extend_from_slice(digest.as_bytes()),
                None => bytes.push(0),
            }
        }
        Digest::of(&bytes)
    }

    /// The ready configuration.
    ///
    /// # Errors
    /// A certificate that cannot be used, or nothing that both sides could speak; the path names a field of `tls`.
    pub fn tls(&self, tls: &UpstreamTls, http2: bool) -> Result<Arc<Tls>, Invalid> {
        let provider = Provider::choose(&Choices {
            min: tls.min_version,
            max: tls.max_version,
            cipher_suites: &tls.cipher_suites,
            curves: &tls.curves,
        })?;
        let trust = self.ca.map(|(_, certificate)| {
            Trust::new(&certificate.ca, SubjectNames::new(&tls.verify_subject_alt_names))
                .map_err(|e| e.under(format!("certificate \"{}\"", certificate.name)).under("ca_certificate"))
        });
        let verifier =
            ServerVerifier::new(trust.transpose()?, &provider.crypto).by_name(tls.verify_server_name);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider.crypto))
            .with_protocol_versions(&provider.versions)
            .map_err(|e| Invalid::new("cipher_suites", e))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.client {
            Some((_, certificate)) => {
                let key = certified_key(certificate, &provider.crypto)
                    .map_err(|e| e.under("client_certificate"))?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        if http2 && !config.alpn_protocols.iter().any(|name| name == b"h2") {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        config.resumption = Resumption::store(Arc::new(ClientSessions::default()));
        let sni = tls.sni.as_deref().map(|name| {
            server_name(name).ok_or_else(|| Invalid::new("sni", format!("\"{name}\" is not a server name")))
        });
        Ok(Arc::new(Tls {
            config: Arc::new(config),
            identity: self.identity(tls, http2),
            sni: sni.transpose()?,
        }))
    }

    /// Digest over the CA and client certificates themselves, not their names, and over every rule of the handshake.
    fn identity(&self, tls: &UpstreamTls, http2: bool) -> Digest {
        let mut bytes = Vec::new();
        let mut part = |content: &[u8]| {
            bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
            bytes.extend_from_slice(content);
        };
        // The label keeps lists apart: ["a"], [] must not look like [], ["a"].
        part(b"ca");
        self.ca.iter().flat_map(|(_, certificate)| &certificate.ca).for_each(|der| part(der));
        part(b"client");
        self.client.iter().flat_map(|(_, certificate)| &certificate.chain).for_each(|der| part(der));
        part(b"rules");
        part(&[
            u8::from(self.ca.is_some()),
            u8::from(self.client.is_some()),
            tls.min_version as u8,
            tls.max_version as u8,
            u8::from(http2),
            u8::from(tls.verify_server_name),
        ]);
        for list in [&tls.verify_subject_alt_names, &tls.alpn, &tls.cipher_suites, &tls.curves] {
            part(b"list");
            list.iter().for_each(|text| part(text.as_bytes()));
        }
        Digest::of(&bytes)
    }
}
