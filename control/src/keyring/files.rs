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
use crate::ir::{CertificateSource, KeySource};

/// No certificate, key or CA bundle is larger.
const LIMIT: u64 = 4 << 20;

/// What tells one state of a file from another without reading it: device, inode, size, mtime and ctime.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64, i64, i64)>;

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
            // Equal sources may differ in whether they hold the text of an inline key: the new one is kept.
            let known = self.stamps.remove_entry(source);
            let stamps =
                known.and_then(|(old, stamps)| stamps.filter(|_| has_text(&old) == has_text(source)));
            self.stamps.insert(source.clone(), stamps);
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
            let now: Vec<Stamp> = parts(source).iter().map(stamp).collect();
            if known.as_ref() == Some(&now) {
                continue;
            }
            *known = Some(now);
            readings.push((source.clone(), read(source)));
        }
        readings
    }
}

/// One of the four parts.
enum Part<'a> {
    Absent,
    File(&'a str),
    Text(&'a str),
    /// An inline key whose text is not stored.
    Lost,
}

fn parts(source: &CertificateSource) -> [Part<'_>; 4] {
    let CertificateSource::Files { cert, key, root_ca, ocsp } = source else {
        return [Part::Absent, Part::Absent, Part::Absent, Part::Absent];
    };
    let key = match key {
        None => Part::Absent,
        Some(KeySource::Path(path)) => part(path),
        Some(KeySource::Inline { pem: Some(pem), .. }) => Part::Text(pem.expose()),
        Some(KeySource::Inline { pem: None, .. }) => Part::Lost,
    };
    [optional(cert), key, optional(root_ca), optional(ocsp)]
}

fn optional(text: &Option<Arc<str>>) -> Part<'_> {
    text.as_deref().map_or(Part::Absent, part)
}

/// PEM text may stand in place of a path.
fn part(text: &str) -> Part<'_> {
    if text.contains("-----BEGIN ") { Part::Text(text) } else { Part::File(text) }
}

fn has_text(source: &CertificateSource) -> bool {
    !parts(source).iter().any(|part| matches!(part, Part::Lost))
}

fn stamp(part: &Part<'_>) -> Stamp {
    let Part::File(path) = part else { return None };
    stamp_of(path)
}

/// What the file looks like; `None` where it cannot be seen.
pub(super) fn stamp_of(path: &str) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ))
}

fn read(source: &CertificateSource) -> Result<Material, Unusable> {
    let [cert, key, ca, ocsp] = parts(source);
    let (cert, key, ca, ocsp) = (content(cert)?, content(key)?, content(ca)?, content(ocsp)?);
    Material::parse(
        source.name(),
        Parts {
            cert: cert.as_ref().map(|bytes| bytes.as_slice()),
            key: key.as_ref().map(|bytes| bytes.as_slice()),
            ca: ca.as_ref().map(|bytes| bytes.as_slice()),
            ocsp: ocsp.as_ref().map(|bytes| bytes.as_slice()),
        },
    )
}

fn content(part: Part<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, Unusable> {
    let path = match part {
        Part::Absent => return Ok(None),
        Part::Text(text) => return Ok(Some(Zeroizing::new(text.as_bytes().to_vec()))),
        Part::Lost => {
            return Err(Unusable::Invalid("the inline private key is not stored over restarts".to_owned()));
        }
        Part::File(path) => path,
    };
    let failed = |error: &dyn std::fmt::Display| Unusable::Invalid(format!("cannot read {path}: {error}"));
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let size = file.metadata().map_err(|error| failed(&error))?.len();
    if size > LIMIT {
        return Err(failed(&format_args!("larger than {LIMIT} bytes")));
    }
    // Reserved at once, so that growing leaves no copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(Some(bytes))
}
