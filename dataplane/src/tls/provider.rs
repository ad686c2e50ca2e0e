//! Which versions, cipher suites and groups a handshake may use.

use std::sync::{Arc, LazyLock};

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::TlsVersion;
use portcullis_shared::tls;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedProtocolVersion};

/// AWS-LC: its key exchange and signatures cost a third less than ring's, and it has the post-quantum group.
static ALL: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut all = aws_lc_rs::default_provider();
    all.cipher_suites.sort_by_key(|suite| place(suite.suite()));
    Arc::new(all)
});

/// Suites by what they cost where AES has instructions of its own: 128 bits are enough, and SHA-256 has them too.
fn place(suite: CipherSuite) -> u8 {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 1,
        _ => 2,
    }
}

/// What the configuration asks for.
#[derive(Debug, Clone, Copy)]
pub struct Choices<'a> {
    /// Lowest version.
    pub min: TlsVersion,
    /// Highest version.
    pub max: TlsVersion,
    /// OpenSSL names of TLS 1.2 suites; empty = all.
    pub cipher_suites: &'a [Arc<str>],
    /// Names of groups; empty = all.
    pub curves: &'a [Arc<str>],
}

/// What rustls takes for it.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Suites, groups and keys.
    pub crypto: Arc<CryptoProvider>,
    /// Versions.
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

impl Provider {
    /// The provider for these choices. Names of suites and groups that are not offered are left out.
    ///
    /// # Errors
    /// Nothing of what was asked for is offered.
    pub fn choose(choices: &Choices<'_>) -> Result<Self, Invalid> {
        let mut versions = Vec::new();
        if choices.min != TlsVersion::V1_3 {
            versions.push(&TLS12);
        }
        if choices.max != TlsVersion::V1_2 {
            versions.push(&TLS13);
        }
        let mut crypto = Arc::clone(&ALL);
        if !choices.cipher_suites.is_empty() {
            let wanted: Vec<_> =
                tls::cipher_suite_names(choices.cipher_suites).filter_map(tls::cipher_suite).collect();
            let new = Arc::make_mut(&mut crypto);
            let mut suites: Vec<_> =
                new.cipher_suites.iter().filter(|suite| suite.tls13().is_some()).copied().collect();
            // The order of the list is the order of preference.
            let find = |wanted| new.cipher_suites.iter().find(|suite| suite.suite() == wanted).copied();
            suites.extend(wanted.into_iter().filter_map(find));
            new.cipher_suites = suites;
            if !crypto.cipher_suites.iter().any(|suite| suite.tls13().is_none()) {
                versions.retain(|version| **version != TLS12);
            }
        }
        if versions.is_empty() {
            return Err(Invalid::new("cipher_suites", "none of them is offered"));
        }
        if !choices.curves.is_empty() {
            let wanted: Vec<_> = choices.curves.iter().filter_map(|name| tls::curve(name)).collect();
            let new = Arc::make_mut(&mut crypto);
            let find = |wanted| new.kx_groups.iter().find(|group| group.name() == wanted).copied();
            let groups: Vec<_> = wanted.into_iter().filter_map(find).collect();
            new.kx_groups = groups;
            if crypto.kx_groups.is_empty() {
                return Err(Invalid::new("curves", "none of them is offered"));
            }
        }
        Ok(Self { crypto, versions })
    }
}
