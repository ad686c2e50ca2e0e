//! Versions for people, digests for decisions.
//!
//! A [`Version`] names a table in logs and acknowledgements. What has to be sent is decided by [`Digest`]s of single
//! resources; a [`TableDigest`] says in 16 bytes whether two sides hold the same set of them.

use std::fmt;

use portcullis_proto::link::v1 as wire;

/// Which table: the epoch changes when control starts anew, the sequence with each published table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Start of the control process.
    pub epoch: u64,
    /// Count of tables in that epoch, from 1.
    pub seq: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

impl From<wire::Version> for Version {
    fn from(wire: wire::Version) -> Self {
        Self { epoch: wire.epoch, seq: wire.seq }
    }
}

impl From<Version> for wire::Version {
    fn from(version: Version) -> Self {
        Self { epoch: version.epoch, seq: version.seq }
    }
}

/// 128 bits of BLAKE3 over deterministic bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::truncated(&blake3::hash(bytes))
    }

    /// A digest received as bytes; `None` unless there are exactly 16.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 16 bytes, as they travel.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 16 bytes as an owned buffer for a wire message.
    pub fn to_bytes(&self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }

    fn truncated(hash: &blake3::Hash) -> Self {
        // A BLAKE3 hash has 32 bytes, so the first chunk exists.
        Self(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Digest of a set of resources, whatever their order, kept up to date by adding and removing members.
///
/// It detects drift between two honest sides; it does not resist someone who chooses resources to collide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableDigest(u128);

impl TableDigest {
    /// Takes a resource in. `kind` is the number of the wire enum.
    pub fn add(&mut self, kind: i32, name: &str, digest: &Digest) {
        self.0 = self.0.wrapping_add(member(kind, name, digest));
    }

    /// Takes out a resource that was added with the same arguments.
    pub fn remove(&mut self, kind: i32, name: &str, digest: &Digest) {
        self.0 = self.0.wrapping_sub(member(kind, name, digest));
    }

    /// The digest of the present members; all zero for none.
    pub fn get(&self) -> Digest {
        Digest(self.0.to_le_bytes())
    }
}

fn member(kind: i32, name: &str, digest: &Digest) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&kind.to_le_bytes());
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(digest.as_bytes());
    u128::from_le_bytes(Digest::truncated(&hasher.finalize()).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_epoch_first() {
        assert!(Version { epoch: 2, seq: 1 } > Version { epoch: 1, seq: 9 });
        assert_eq!(Version { epoch: 2, seq: 7 }.to_string(), "2.7");
        let version = Version { epoch: 3, seq: 4 };
        assert_eq!(Version::from(wire::Version::from(version)), version);
    }

    #[test]
    fn digests_travel_as_sixteen_bytes() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::from_slice(digest.as_bytes()), Some(digest));
        assert_eq!(Digest::from_slice(&[0; 15]), None);
        assert_eq!(digest.to_string().len(), 32);
        assert_ne!(digest, Digest::of(b"y"));
        assert_eq!(Digest::default().to_string(), "0".repeat(32));
    }

    #[test]
    fn a_table_digest_does_not_depend_on_order() {
        let members = [(1, "a", Digest::of(b"1")), (2, "a", Digest::of(b"1")), (1, "b", Digest::of(b"2"))];
        let mut forward = TableDigest::default();
        members.iter().for_each(|(kind, name, digest)| forward.add(*kind, name, digest));
        let mut backward = TableDigest::default();
        members.iter().rev().for_each(|(kind, name, digest)| backward.add(*kind, name, digest));
        assert_eq!(forward.get(), backward.get());
        backward.remove(2, "a", &Digest::of(b"1"));
        assert_ne!(forward.get(), backward.get());
        backward.remove(1, "a", &Digest::of(b"1"));
        backward.remove(1, "b", &Digest::of(b"2"));
        assert_eq!(backward.get(), Digest::default());
    }
}
