//! Authenticated encryption of single cache entries (ChaCha20-Poly1305, RFC 8439), so that a copied disk gives away
//! no private key. The sealing key comes from the operator and is never stored beside what it seals by this module.

use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Why there is no sealing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file cannot be read.
    #[error("cannot read the cache key {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The key file does not hold a key.
    #[error("the cache key {path} has {length} bytes, exactly 32 are needed")]
    Length {
        /// The file.
        path: PathBuf,
        /// What it holds.
        length: usize,
    },
    /// Not sealed with this key, or altered.
    #[error("not sealed with this key, or altered")]
    Open,
    /// The system gave no randomness.
    #[error("no randomness for a nonce")]
    Random,
}

/// Seals and opens. Shows nothing of its key.
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Seals with `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Option<Self> {
        // ring refuses only keys of a wrong length.
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        Some(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Reads the key from a file of exactly 32 bytes.
    ///
    /// # Errors
    /// The file is unreadable or of another length.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|error| Error::Read { path: path.to_owned(), error })?;
        let key: Option<&[u8; 32]> = bytes.as_slice().try_into().ok();
        key.and_then(Self::new).ok_or_else(|| Error::Length { path: path.to_owned(), length: bytes.len() })
    }

    /// Seals `clear`, bound to `context` (what the bytes are for). A random nonce is put in front: the few thousand
    /// writes of a key's life are far from where random 96 bits could meet.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn seal(&self, context: &[u8], clear: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0u8; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| Error::Random)?;
        let mut body = clear.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
            .map_err(|_| Error::Random)?;
        Ok([&nonce[..], &body].concat())
    }

    /// Opens what [`Sealer::seal`] made for the same `context`.
    ///
    /// # Errors
    /// Another key or context, or altered bytes.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Error::Open)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let clear = self.key.open_in_place(nonce, Aad::from(context), &mut body).map_err(|_| Error::Open)?;
        let length = clear.len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_open() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let sealed = sealer.seal(b"a", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_eq!(sealer.open(b"a", &sealed).unwrap(), b"secret");
        assert!(sealer.open(b"b", &sealed).is_err());
        assert!(Sealer::new(&[8; 32]).unwrap().open(b"a", &sealed).is_err());
        let mut altered = sealed.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert!(sealer.open(b"a", &altered).is_err());
        assert!(sealer.open(b"a", &sealed[..5]).is_err());
    }

    #[test]
    fn a_key_file_has_exactly_32_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(matches!(Sealer::from_file(&file), Err(Error::Read { .. })));
        std::fs::write(&file, [1; 31]).unwrap();
        assert!(matches!(Sealer::from_file(&file), Err(Error::Length { length: 31, .. })));
        std::fs::write(&file, [1; 32]).unwrap();
        assert_eq!(format!("{:?}", Sealer::from_file(&file).unwrap()), "Sealer");
    }
}
