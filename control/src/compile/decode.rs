//! A table read back as a worker reads it: through the validated types of `shared::table`.

use std::sync::Arc;

use portcullis_proto::link::v1::upsert::Resource;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::{Listener, Split, Upstream, VirtualHost};

use super::{Body, Key, Table};

/// What a worker would run. Certificates are left out.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In order of name.
    pub listeners: Vec<Listener>,
    /// In order of name.
    pub virtual_hosts: Vec<VirtualHost>,
    /// In order of name.
    pub upstreams: Vec<Upstream>,
    /// In order of name.
    pub splits: Vec<Split>,
    /// What a worker would refuse: a defect of the translation, never the user's.
    pub invalid: Vec<(Key, Invalid)>,
}

/// Decodes all entries.
pub fn decode(table: &Table) -> Decoded {
    let mut decoded = Decoded::default();
    for ((kind, name), entry) in &table.entries {
        let Body::Upsert(resource) = &entry.body else {
            continue;
        };
        let result = match resource.clone() {
            Resource::Listener(message) => message.try_into().map(|it| decoded.listeners.push(it)),
            Resource::VirtualHost(message) => message.try_into().map(|it| decoded.virtual_hosts.push(it)),
            Resource::Upstream(message) => message.try_into().map(|it| decoded.upstreams.push(it)),
            Resource::Split(message) => message.try_into().map(|it| decoded.splits.push(it)),
            Resource::Certificate(_) => Ok(()),
        };
        if let Err(invalid) = result {
            decoded.invalid.push(((*kind, Arc::clone(name)), invalid));
        }
    }
    decoded
}
