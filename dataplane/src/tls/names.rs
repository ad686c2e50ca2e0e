//! Subject alternative names that a peer's certificate must carry.

use std::net::IpAddr;
use std::sync::Arc;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A list of names of which one has to be in the certificate: as DNS name, URI, e-mail address or IP address.
///
/// Comparison is exact, but for DNS names, where case does not matter and a wildcard of the certificate stands for one
/// label, as Envoy has it.
#[derive(Debug, Clone)]
pub struct SubjectNames(Box<[Arc<str>]>);

impl SubjectNames {
    /// None for an empty list: every name will do.
    #[must_use]
    pub fn new(names: &[Arc<str>]) -> Option<Self> {
        (!names.is_empty()).then(|| Self(names.into()))
    }

    /// Whether the certificate carries one of the names.
    #[must_use]
    pub fn accept(&self, der: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return false };
        extension.value.general_names.iter().any(|name| self.0.iter().any(|wanted| fits(wanted, name)))
    }
}

fn fits(wanted: &str, name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::DNSName(dns) => dns_fits(wanted, dns),
        GeneralName::URI(text) | GeneralName::RFC822Name(text) => *text == wanted,
        GeneralName::IPAddress(bytes) => match wanted.parse() {
            Ok(IpAddr::V4(ip)) => ip.octets() == *bytes,
            Ok(IpAddr::V6(ip)) => ip.octets() == *bytes,
            Err(_) => false,
        },
        _ => false,
    }
}

fn dns_fits(wanted: &str, name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => wanted.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(parent)
        }),
        None => wanted.eq_ignore_ascii_case(name),
    }
}
