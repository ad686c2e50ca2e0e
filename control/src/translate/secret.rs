//! What translation may know about key material: facts and digests, never bytes. Only what is no secret comes whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use portcullis_shared::version::Digest;

use crate::ir::CertificateSource;

/// What the keyring says about one certificate source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretFacts {
    /// Over the material; decides whether workers need it anew.
    pub digest: Digest,
    /// There is a certificate chain with its key.
    pub has_certificate: bool,
    /// There are certificate authorities.
    pub has_ca: bool,
    /// Why the material cannot be used. With `has_certificate` an earlier, good form of it stays in use.
    pub problem: Option<String>,
    /// What stands in a file that is no key material.
    pub content: Option<Content>,
}

/// The content of a file. Shows as its size; `digest` tells one from another.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Content(pub Bytes);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The facts of every source that was found. A source that is not here does not exist (yet).
///
/// Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretIndex {
    facts: Arc<BTreeMap<CertificateSource, SecretFacts>>,
}

impl SecretIndex {
    /// The facts of `source`.
    pub fn lookup(&self, source: &CertificateSource) -> Option<&SecretFacts> {
        self.facts.get(source)
    }

    /// Adds or replaces the facts of a source.
    pub fn insert(&mut self, source: CertificateSource, facts: SecretFacts) {
        Arc::make_mut(&mut self.facts).insert(source, facts);
    }

    /// Forgets a source.
    pub fn remove(&mut self, source: &CertificateSource) {
        Arc::make_mut(&mut self.facts).remove(source);
    }

    /// In order of source.
    pub fn iter(&self) -> impl Iterator<Item = (&CertificateSource, &SecretFacts)> {
        self.facts.iter()
    }

    /// Both are the same map, without looking inside.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.facts, &other.facts)
    }
}

impl FromIterator<(CertificateSource, SecretFacts)> for SecretIndex {
    fn from_iter<T: IntoIterator<Item = (CertificateSource, SecretFacts)>>(iter: T) -> Self {
        Self { facts: Arc::new(iter.into_iter().collect()) }
    }
}
