//! Deterministic bytes of a wire resource and their digest.
//!
//! The schema has no `map<>` and the compiler sorts what has no order of its own, so the plain prost encoding of equal
//! resources is equal.

use bytes::Bytes;
use portcullis_proto::link::v1::{Upsert, upsert::Resource};
use prost::Message;

use crate::Digest;

/// The digest of a resource and the bytes it was taken over.
pub fn encode_upsert(resource: &Resource) -> (Digest, Bytes) {
    let bytes: Bytes = match resource {
        Resource::Listener(wire) => wire.encode_to_vec(),
        Resource::VirtualHost(wire) => wire.encode_to_vec(),
        Resource::Upstream(wire) => wire.encode_to_vec(),
        Resource::Split(wire) => wire.encode_to_vec(),
        Resource::Certificate(wire) => wire.encode_to_vec(),
    }
    .into();
    (Digest::of(&bytes), bytes)
}

/// The digest of a resource.
pub fn digest(resource: &Resource) -> Digest {
    encode_upsert(resource).0
}

/// The message that carries a resource, with its digest.
pub fn upsert(resource: Resource) -> Upsert {
    Upsert { digest: digest(&resource).to_bytes(), resource: Some(resource) }
}
