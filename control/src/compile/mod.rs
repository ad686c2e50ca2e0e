//! The validated model made into what travels: one table per proxy, deterministic bytes, a digest per entry.
//!
//! Compiling cannot fail. Entries whose model is the same object as last time are taken from the memo, so a small
//! change in a large configuration costs little. Key material is not here: a certificate entry names its source, and
//! the bytes are fetched from the keyring when they are sent.

mod decode;
mod draft;
mod lower;
mod memo;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, decode};
pub use lower::{labels, matcher as lower_matcher, type_url};
pub use memo::Memo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::Kind;
use portcullis_shared::table::digest;
use portcullis_shared::version::Digest;
use prost::Message;

use crate::ir::{CertificateSource, Ir, Proxy};
use crate::ordered::Ordered;
use crate::translate::SecretIndex;

/// Kind (the number on the wire) and name of an entry.
pub type Key = (i32, Arc<str>);

/// A larger resource is not sent; decoders on both sides stop there.
pub const MAX_RESOURCE_BYTES: usize = 16 << 20;

/// Everything that one proxy's workers run. Cloning shares the entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// In order of kind, then name.
    pub entries: Ordered<Key, Arc<TableEntry>>,
    /// Over the digests of all entries.
    pub digest: Digest,
    /// Resources that are too large to be sent, left out of `entries`.
    pub refused: Vec<Key>,
}

/// One resource of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableEntry {
    /// Over the deterministic encoding; for certificates the keyring's.
    pub digest: Digest,
    /// The resource.
    pub body: Body,
}

/// A resource, or where it is fetched from when it is sent.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "the large variant is the rule")]
pub enum Body {
    /// Sent as it is.
    Upsert(Resource),
    /// The keyring has the bytes.
    Certificate(CertificateSource),
}

/// Compiles the tables of all proxies, by proxy name.
pub fn compile(ir: &Ir, secrets: &SecretIndex, memo: &mut Memo) -> BTreeMap<Arc<str>, Arc<Table>> {
    let shared = memo.share(ir);
    let mut tables = BTreeMap::new();
    for (name, proxy) in &ir.proxies {
        let certificates = || certificates(ir, proxy, secrets);
        tables.insert(Arc::clone(name), memo.table(name, ir, proxy, &shared, secrets, certificates));
    }
    tables
}

/// Those of all upstreams and of the proxy's listeners.
fn certificates(ir: &Ir, proxy: &Proxy, secrets: &SecretIndex) -> Vec<(Key, Arc<TableEntry>)> {
    let upstreams = ir.upstreams.values().filter_map(|upstream| upstream.tls.as_ref());
    let mut sources: BTreeSet<&CertificateSource> =
        upstreams.flat_map(|tls| tls.ca.iter().chain(&tls.client)).collect();
    for listener in &proxy.listeners {
        sources.extend(listener.chains.iter().filter_map(|chain| Some(&chain.tls.as_ref()?.certificate)));
    }
    sources.into_iter().filter_map(|source| certificate(source, secrets)).collect()
}

/// A resource with its digest.
fn seal(resource: Resource) -> Arc<TableEntry> {
    Arc::new(TableEntry { digest: digest(&resource), body: Body::Upsert(resource) })
}

fn too_large(entry: &TableEntry) -> bool {
    let size = match &entry.body {
        Body::Upsert(Resource::VirtualHost(message)) => message.encoded_len(),
        Body::Upsert(Resource::Upstream(message)) => message.encoded_len(),
        Body::Upsert(Resource::Split(message)) => message.encoded_len(),
        Body::Upsert(Resource::Listener(message)) => message.encoded_len(),
        Body::Upsert(Resource::Certificate(_)) | Body::Certificate(_) => 0,
    };
    size > MAX_RESOURCE_BYTES
}

fn certificate(source: &CertificateSource, secrets: &SecretIndex) -> Option<(Key, Arc<TableEntry>)> {
    let facts = secrets.lookup(source)?;
    if !facts.has_certificate && !facts.has_ca {
        return None;
    }
    let entry = TableEntry { digest: facts.digest, body: Body::Certificate(source.clone()) };
    Some(((Kind::Certificate as i32, source.name()), Arc::new(entry)))
}
