//! Who is on the other side of a connection.

/// A peer as the operating system or its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerIdentity {
    /// A process on this host, named by the kernel.
    Local {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Process id, when the kernel tells it.
        pid: Option<i32>,
    },
    /// A workload named by the URI subject alternative name of its verified certificate,
    /// `spiffe://<trust domain>/proxy/<proxy name>`.
    Workload {
        /// The whole URI.
        uri: String,
        /// The proxy name in it: the only one that this worker may ask for.
        proxy_name: String,
    },
}

impl PeerIdentity {
    /// Whether this peer may act as a worker of `proxy_name`. A local process was let in by the socket's permissions
    /// and its credentials, and may name any proxy; a workload may only be what its certificate says.
    #[must_use]
    pub fn may_be(&self, proxy_name: &str) -> bool {
        match self {
            Self::Local { .. } => true,
            Self::Workload { proxy_name: own, .. } => own == proxy_name,
        }
    }

    /// The identity in a verified end-entity certificate, if it has one of the expected form.
    pub(super) fn of_certificate(der: &[u8]) -> Option<Self> {
        use x509_parser::extensions::{GeneralName, ParsedExtension};
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        certificate
            .extensions()
            .iter()
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .find_map(|name| match name {
                GeneralName::URI(uri) => Self::of_uri(uri),
                _ => None,
            })
    }

    fn of_uri(uri: &str) -> Option<Self> {
        let (_, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
        let proxy_name = path.strip_prefix("proxy/")?;
        if proxy_name.is_empty() || proxy_name.contains('/') {
            return None;
        }
        Some(Self::Workload { uri: uri.to_owned(), proxy_name: proxy_name.to_owned() })
    }
}

impl std::fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { uid, gid, pid: Some(pid) } => write!(f, "pid {pid} (uid {uid}, gid {gid})"),
            Self::Local { uid, gid, pid: None } => write!(f, "uid {uid}, gid {gid}"),
            Self::Workload { uri, .. } => f.write_str(uri),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_only_what_its_certificate_says() {
        let peer = PeerIdentity::of_uri("spiffe://example.org/proxy/gateway-proxy").unwrap();
        assert!(peer.may_be("gateway-proxy"));
        assert!(!peer.may_be("internal-proxy"));
        for bad in [
            "https://example.org/proxy/a",
            "spiffe://example.org",
            "spiffe://e/proxy/",
            "spiffe://e/proxy/a/b",
        ] {
            assert_eq!(PeerIdentity::of_uri(bad), None, "{bad}");
        }
    }
}
