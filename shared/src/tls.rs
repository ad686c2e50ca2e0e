//! Names that users give to cipher suites and key exchange groups, and what this build offers of them.
//!
//! Control reports a name that is not offered; the data plane configures those that are. Both look here.

use rustls::{CipherSuite, NamedGroup};

/// Suites of TLS 1.2 that are offered, by their OpenSSL names. Those of TLS 1.3 cannot be chosen: all are offered.
pub const CIPHER_SUITES: &[(&str, CipherSuite)] = &[
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Key exchange groups that are offered.
pub const CURVES: &[(&str, NamedGroup)] = &[
    ("X25519MLKEM768", NamedGroup::X25519MLKEM768),
    ("X25519", NamedGroup::X25519),
    ("P-256", NamedGroup::secp256r1),
    ("P-384", NamedGroup::secp384r1),
];

/// The suite of an OpenSSL name.
pub fn cipher_suite(name: &str) -> Option<CipherSuite> {
    CIPHER_SUITES.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite)
}

/// The names in a list of suites, of which an item may be a group of equal preference, `[A|B]`.
pub fn cipher_suite_names<'a, S: AsRef<str> + 'a>(list: &'a [S]) -> impl Iterator<Item = &'a str> {
    list.iter().flat_map(|item| item.as_ref().trim_matches(['[', ']']).split('|')).map(str::trim)
}

/// The group of a name.
pub fn curve(name: &str) -> Option<NamedGroup> {
    CURVES.iter().find(|(known, _)| *known == name).map(|(_, group)| *group)
}

/// A suite as OpenSSL and Envoy print it. TLS 1.3 suites have the same name everywhere.
pub fn cipher_suite_text(suite: CipherSuite) -> &'static str {
    let tls12 = CIPHER_SUITES.iter().find(|(_, known)| *known == suite).map(|(name, _)| *name);
    tls12.unwrap_or_else(|| match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    })
}
