//! Turns a plan into Delta frames of about one MiB. Certificates get their bytes here and nowhere earlier.

use std::sync::Arc;

use portcullis_proto::link::v1 as wire;
use portcullis_shared::version::Digest;
use prost::Message;

use super::state::Plan;
use crate::compile::{Body, Key, TableEntry};
use crate::keyring::Keys;

/// A frame is closed when it is at least this large.
pub const FRAME: usize = 1 << 20;
/// The decode limit on both sides: the largest resource (16 MiB) and a frame's worth of others fit.
pub const DECODE_LIMIT: usize = 20 << 20;

/// Why a plan cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The keyring does not hold what the table was compiled against.
    #[error("the keyring has no material for certificate {name}")]
    NoMaterial {
        /// The certificate.
        name: String,
    },
}

/// The frames of one transaction, made one at a time.
pub struct Frames {
    plan: Plan,
    upserts: std::vec::IntoIter<(Key, Arc<TableEntry>)>,
    removes: std::vec::IntoIter<Key>,
    first: bool,
    done: bool,
}

impl Frames {
    /// Prepares the frames of `plan`.
    #[must_use]
    pub fn new(mut plan: Plan) -> Self {
        let upserts = std::mem::take(&mut plan.upserts).into_iter();
        let removes = std::mem::take(&mut plan.removes).into_iter();
        Self { plan, upserts, removes, first: true, done: false }
    }

    fn frame(&mut self) -> Result<wire::Delta, FrameError> {
        let mut delta = wire::Delta { reset: self.plan.reset && self.first, ..wire::Delta::default() };
        self.first = false;
        let mut size = 0;
        for (kind, name) in self.removes.by_ref() {
            size += name.len() + 8;
            delta.removes.push(wire::ResourceId { kind, name: name.to_string() });
            if size >= FRAME {
                return Ok(delta);
            }
        }
        for (_, entry) in self.upserts.by_ref() {
            let upsert = upsert(&entry, &self.plan.target.keys)?;
            size += upsert.encoded_len() + 8;
            delta.upserts.push(upsert);
            if size >= FRAME {
                return Ok(delta);
            }
        }
        self.done = true;
        delta.commit = Some(wire::Commit {
            version: Some(self.plan.target.version.into()),
            table_digest: bytes_of(&self.plan.target.table.digest),
        });
        Ok(delta)
    }
}

impl Iterator for Frames {
    type Item = Result<wire::Delta, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.frame();
        self.done |= frame.is_err();
        Some(frame)
    }
}

/// A digest as it travels.
#[must_use]
pub fn bytes_of(digest: &Digest) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(digest.as_bytes())
}

fn upsert(entry: &TableEntry, keys: &Keys) -> Result<wire::Upsert, FrameError> {
    let resource = match &entry.body {
        Body::Upsert(resource) => resource.clone(),
        Body::Certificate(source) => {
            let material = keys
                .material(source)
                .ok_or_else(|| FrameError::NoMaterial { name: source.name().to_string() })?;
            wire::upsert::Resource::Certificate(material.to_wire())
        }
    };
    Ok(wire::Upsert { digest: bytes_of(&entry.digest), resource: Some(resource) })
}
