//! Files with descriptors of gRPC services: no secrets, but files that control looks after in the same way.
//!
//! A file that cannot be read any more, or is no set of descriptors, is told, and what was read before stays in use.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use portcullis_shared::transcoding;
use portcullis_shared::version::Digest;

use super::files::{Stamp, stamp_of};
use crate::ir::CertificateSource;
use crate::translate::{Content, SecretFacts};

/// No set of descriptors is larger.
const LIMIT: u64 = 8 << 20;

/// The wanted files, what they looked like when they were read last, and what came of it.
#[derive(Default)]
pub(super) struct Descriptors {
    files: BTreeMap<CertificateSource, Option<(Stamp, SecretFacts)>>,
}

impl Descriptors {
    /// From now on exactly the descriptors in `wanted` are watched. Returns whether there are other ones now.
    pub(super) fn want(&mut self, wanted: &BTreeSet<CertificateSource>) -> bool {
        let is_descriptor = |source: &&CertificateSource| path(source).is_some();
        let before = self.files.len();
        self.files.retain(|source, _| wanted.contains(source));
        let mut changed = self.files.len() != before;
        for source in wanted.iter().filter(is_descriptor) {
            self.files.entry(source.clone()).or_insert_with(|| {
                changed = true;
                None
            });
        }
        changed
    }

    /// Whether there is nothing to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Reads every file that is new or has changed. Returns whether the facts are others. Blocks.
    pub(super) fn read(&mut self) -> bool {
        let mut changed = false;
        for (source, known) in &mut self.files {
            let Some(path) = path(source) else { continue };
            let now = stamp_of(path);
            if known.as_ref().is_some_and(|(stamp, _)| *stamp == now) {
                continue;
            }
            let before = known.take().map(|(_, facts)| facts);
            let facts = match read(Path::new(path)) {
                Ok(content) => SecretFacts {
                    digest: Digest::of(&content.0),
                    content: Some(content),
                    ..SecretFacts::default()
                },
                Err(error) => SecretFacts {
                    problem: Some(format!("cannot use {path}: {error}")),
                    ..before.clone().unwrap_or_default()
                },
            };
            changed |= before.as_ref() != Some(&facts);
            *known = Some((now, facts));
        }
        changed
    }

    /// What was found out.
    pub(super) fn facts(&self) -> impl Iterator<Item = (CertificateSource, SecretFacts)> {
        self.files.iter().filter_map(|(source, known)| Some((source.clone(), known.as_ref()?.1.clone())))
    }
}

fn path(source: &CertificateSource) -> Option<&str> {
    match source {
        CertificateSource::Descriptor { path } => Some(path),
        CertificateSource::Secret { .. } | CertificateSource::Files { .. } | CertificateSource::Sds(_) => {
            None
        }
    }
}

fn read(path: &Path) -> std::io::Result<Content> {
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(std::io::Error::other(format!("it is larger than {LIMIT} bytes")));
    }
    let bytes = bytes.into();
    transcoding::check(&bytes).map_err(std::io::Error::other)?;
    Ok(Content(bytes))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;

    fn set(name: &str) -> Vec<u8> {
        let file = FileDescriptorProto { name: Some(name.to_owned()), ..Default::default() };
        FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_kept_when_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.pb");
        let source = CertificateSource::Descriptor { path: file.to_str().unwrap().into() };
        let mut descriptors = Descriptors::default();
        let facts = |descriptors: &Descriptors| descriptors.facts().next().map(|(_, facts)| facts);
        let content = |facts: SecretFacts| facts.content.map(|content| content.0);

        assert!(descriptors.want(&[source.clone()].into()));
        assert!(descriptors.read());
        let missing = facts(&descriptors).unwrap();
        assert!(missing.problem.unwrap().starts_with("cannot use /"));
        std::fs::write(&file, set("one")).unwrap();
        assert!(descriptors.read());
        assert!(!descriptors.read(), "nothing has changed");
        assert_eq!(content(facts(&descriptors).unwrap()).unwrap(), set("one"));
        std::fs::write(&file, set("another")).unwrap();
        assert!(descriptors.read());
        std::fs::write(&file, "none at all").unwrap();
        assert!(descriptors.read());
        let kept = facts(&descriptors).unwrap();
        assert!(kept.problem.is_some_and(|problem| problem.contains("the descriptor set cannot be used")));
        std::fs::remove_file(&file).unwrap();
        assert!(descriptors.read());
        let kept = facts(&descriptors).unwrap();
        assert!(kept.problem.is_some());
        assert_eq!(content(kept).unwrap(), set("another"));
        assert!(!descriptors.want(&[source].into()));
        assert!(descriptors.want(&BTreeSet::new()) && descriptors.is_empty());
    }
}
