//! A certificate chain with the key that belongs to it.

use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::Certificate;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

/// The chain and key of `certificate`, ready to sign.
///
/// # Errors
/// No chain, no key, a key of a kind that is not supported, or one of another certificate.
pub fn certified_key(certificate: &Certificate, crypto: &CryptoProvider) -> Result<CertifiedKey, Invalid> {
    let bad = |reason: String| Invalid::new("", format!("certificate \"{}\" {reason}", certificate.name));
    if certificate.chain.is_empty() {
        return Err(bad("has no chain".into()));
    }
    let key = certificate.private_key().ok_or_else(|| bad("has no private key".into()))?;
    let key =
        crypto.key_provider.load_private_key(key).map_err(|e| bad(format!("has an unusable key: {e}")))?;
    let certified = CertifiedKey::new(certificate.chain.clone(), key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        // The kind of key does not tell its public half: nothing speaks against it.
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(e) => Err(bad(format!("does not fit its private key: {e}"))),
    }
}

/// As [`certified_key`], shared.
pub(super) fn shared(
    certificate: &Certificate,
    crypto: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Invalid> {
    certified_key(certificate, crypto).map(Arc::new)
}
