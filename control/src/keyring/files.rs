//! The files of `sslFiles`: read when they are wanted and again when they change.
//!
//! Change is seen by looking at the metadata once a second, which also works on the symlinked mounts of Kubernetes and on
//! network file systems where notifications do not. A file that cannot be read is an error of that source, and what was
//! read before stays in use.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::material::{Material, Parts, Unusable};
use crate::ir::CertificateSource;

/// No certificate, key or CA bundle is larger.
const LIMIT: u64 = 4 << 20;

/// What tells one state of a file from another without reading it: device, inode, size, mtime and ctime.
type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// The wanted files and what they looked like when they were read last.
#[derive(Default)]
pub(super) struct Files {
    stamps: BTreeMap<CertificateSource, Option<Vec<Stamp>>>,
}

impl Files {
    /// From now on exactly the file sources in `wanted` are watched. Returns the ones that are not wanted any more.
    pub(super) fn want(&mut self, wanted: &BTreeSet<CertificateSource>) -> Vec<CertificateSource> {
        let wanted: BTreeSet<&CertificateSource> =
            wanted.iter().filter(|source| matches!(source, CertificateSource::Files { .. })).collect();
        let gone: Vec<_> = self.stamps.keys().filter(|source| !wanted.contains(source)).cloned().collect();
        for source in &gone {
            self.stamps.remove(source);
        }
        for source in wanted {
            if !self.stamps.contains_key(source) {
                self.stamps.insert(source.clone(), None);
            }
        }
        gone
    }

    /// Whether there is nothing to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    /// Reads every source that is new or whose files changed. Blocks.
    pub(super) fn read(&mut self) -> Vec<(CertificateSource, Result<Material, Unusable>)> {
        let mut readings = Vec::new();
        for (source, known) in &mut self.stamps {
            let now: Vec<Stamp> = parts(source).into_iter().map(|part| part.and_then(stamp)).collect();
            if known.as_ref() == Some(&now) {
                continue;
            }
            *known = Some(now);
            readings.push((source.clone(), read(source)));
        }
        readings
    }
}

fn parts(source: &CertificateSource) -> [Option<&Arc<str>>; 4] {
    match source {
        CertificateSource::Files { cert, key, root_ca, ocsp } => {
            [cert.as_ref(), key.as_ref(), root_ca.as_ref(), ocsp.as_ref()]
        }
        CertificateSource::Secret { .. } => [None; 4],
    }
}

/// PEM text in place of a path.
fn inline(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

fn stamp(path: &Arc<str>) -> Stamp {
    if inline(path) {
        return None;
    }
    let meta = std::fs::metadata(&**path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()))
}

fn read(source: &CertificateSource) -> Result<Material, Unusable> {
    let mut contents = Vec::with_capacity(4);
    for part in parts(source) {
        contents.push(part.map(content).transpose()?);
    }
    let mut contents = contents.iter().map(|content| content.as_ref().map(|bytes| bytes.as_slice()));
    let mut next = || contents.next().flatten();
    let parts = Parts { cert: next(), key: next(), ca: next(), ocsp: next() };
    Material::parse(source.name(), parts)
}

fn content(text: &Arc<str>) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    if inline(text) {
        return Ok(Zeroizing::new(text.as_bytes().to_vec()));
    }
    let failed = |error: &dyn std::fmt::Display| Unusable::Invalid(format!("cannot read {text}: {error}"));
    let file = std::fs::File::open(&**text).map_err(|error| failed(&error))?;
    let size = file.metadata().map_err(|error| failed(&error))?.len();
    if size > LIMIT {
        return Err(failed(&format_args!("larger than {LIMIT} bytes")));
    }
    // Reserved at once, so that growing leaves no copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}
