//! One build: sources and secrets in, tables and report out. Pure but for the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portcullis_shared::version::Version;

use super::memory::Memory;
use super::merge::{Merged, Merger};
use super::{ProxyTable, Published};
use crate::compile::{self, Table};
use crate::ir::CertificateSource;
use crate::keyring::Keys;
use crate::store::Change;
use crate::topics::Sources;
use crate::translate::{self, DynamicUpstream, Snapshot};

/// What stays between builds. Losing it costs time (a full build), never correctness.
pub(super) struct Builder {
    epoch: u64,
    seq: u64,
    own_namespace: Arc<str>,
    merger: Merger,
    memory: Memory,
    translated: translate::Memo,
    compiled: compile::Memo,
    proxies: BTreeMap<Arc<str>, ProxyTable>,
}

/// The outcome of a build.
pub(super) struct Built {
    pub published: Published,
    pub wanted: Arc<BTreeSet<CertificateSource>>,
    pub dynamic: Arc<Vec<DynamicUpstream>>,
    /// File sources that the keyring has not read yet: the outcome is better not used until it has.
    pub unread: bool,
    /// Not every source gave its list, and secrets that the tables need are missing: secrets are not remembered, and
    /// tables without their certificates would take down what workers serve. The outcome must not be used.
    pub blind: bool,
    /// What the store must learn.
    pub changes: Vec<Change>,
}

/// Where the time of a build goes.
#[derive(Debug)]
struct Phases {
    last: Instant,
    merge: Duration,
    translate: Duration,
    compile: Duration,
    settle: Duration,
}

impl Phases {
    fn new(last: Instant) -> Self {
        let zero = Duration::ZERO;
        Self { last, merge: zero, translate: zero, compile: zero, settle: zero }
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.last, now)
    }
}

impl Builder {
    /// A builder without memory of earlier builds. `seq` is the last sequence number that was published.
    pub fn new(epoch: u64, seq: u64, own_namespace: Arc<str>, memory: Memory) -> Self {
        Self {
            epoch,
            seq,
            own_namespace,
            merger: Merger::default(),
            memory,
            translated: translate::Memo::default(),
            compiled: compile::Memo::default(),
            proxies: BTreeMap::new(),
        }
    }

    /// Takes over the tables that were published before, so that versions do not change without need.
    pub fn resume(&mut self, published: &Published) {
        self.proxies.clone_from(&published.proxies);
    }

    /// Builds. `None` when there is nothing to build from: no source could be read and nothing is remembered.
    pub fn build(&mut self, sources: &Sources, keys: &Arc<Keys>) -> Option<Built> {
        let began = Instant::now();
        let mut phases = Phases::new(began);
        let Merged { entries, touched, problems, notices } = self.merger.merge(sources, &self.memory);
        if !sources.listed() && entries.is_empty() {
            return None;
        }
        let snapshot = Snapshot {
            entries,
            accepted: std::mem::take(&mut self.memory.accepted),
            secrets: keys.index.clone(),
            own_namespace: Arc::clone(&self.own_namespace),
        };
        phases.merge = phases.lap();
        let translated = translate::translate(&snapshot, &mut self.translated);
        phases.translate = phases.lap();
        let tables = compile::compile(&translated.ir, &keys.index, &mut self.compiled);
        phases.compile = phases.lap();
        let Snapshot { entries, accepted, .. } = snapshot;
        self.memory.accepted = accepted;
        let changes = self.memory.settle(&entries, &touched, &translated.report, SystemTime::now());
        self.merger.remember(sources, &entries);
        phases.settle = phases.lap();
        tracing::debug!(?phases, "built");
        self.seq += 1;
        let version = Version { epoch: self.epoch, seq: self.seq };
        self.adopt(version, tables);
        let missing = |source: &&CertificateSource| keys.index.lookup(source).is_none();
        let mut missing = translated.wanted.iter().filter(missing).peekable();
        let blind = !sources.listed() && missing.peek().is_some();
        let unread = missing.any(CertificateSource::is_asked_for);
        let published = Published {
            version,
            proxies: self.proxies.clone(),
            report: translated.report,
            entries,
            first_seen: Arc::clone(&self.memory.first_seen),
            problems: Arc::new(problems),
            notices: Arc::new(notices),
            keys: Arc::clone(keys),
            took: began.elapsed(),
        };
        Some(Built {
            published,
            wanted: translated.wanted,
            dynamic: translated.dynamic,
            unread,
            blind,
            changes,
        })
    }

    /// Gives every table that differs from its predecessor the new version.
    fn adopt(&mut self, version: Version, mut tables: BTreeMap<Arc<str>, Arc<Table>>) {
        for name in self.proxies.keys() {
            tables.entry(Arc::clone(name)).or_default();
        }
        for (name, table) in tables {
            match self.proxies.get(&name) {
                Some(known) if known.table.digest == table.digest => {}
                _ => {
                    self.proxies.insert(name, ProxyTable { version, table });
                }
            }
        }
    }
}
