//! The topics: what is known now, on `tokio::sync::watch` channels that the root owns.
//!
//! A topic survives the actor that publishes on it and hands the newest value to whoever comes late, so an actor that
//! was restarted rebuilds itself from here. Values are cheap to clone; a type belongs to the module that publishes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Published;
use crate::discovery::Endpoints;
use crate::ir::CertificateSource;
use crate::keyring::Keys;
use crate::publish::Rollout;
use crate::resource::{Entry, Finding};
use crate::translate::DynamicUpstream;

/// All topics of control. Cloning clones the handles.
#[derive(Clone)]
pub struct Topics {
    /// What the sources hold.
    pub sources: watch::Sender<Sources>,
    /// Facts and bytes of secrets.
    pub keys: watch::Sender<Arc<Keys>>,
    /// The tables and what is said about each object; `None` before the first build.
    pub tables: watch::Sender<Option<Arc<Published>>>,
    /// Certificate sources that the present configuration names.
    pub wanted: watch::Sender<Arc<BTreeSet<CertificateSource>>>,
    /// Upstreams whose endpoints have to be found.
    pub dynamic: watch::Sender<Arc<Vec<DynamicUpstream>>>,
    /// What discovery found.
    pub endpoints: watch::Sender<Arc<Endpoints>>,
    /// Which worker runs what.
    pub rollout: watch::Sender<Rollout>,
    /// `true` once the process is told to end.
    pub stopping: watch::Sender<bool>,
}

impl Topics {
    /// Topics on which nothing was said yet. `sources` are the names of the sources that will publish.
    #[must_use]
    pub fn new(sources: &[&'static str]) -> Self {
        Self {
            sources: watch::Sender::new(Sources::expecting(sources)),
            keys: watch::Sender::default(),
            tables: watch::Sender::default(),
            wanted: watch::Sender::default(),
            dynamic: watch::Sender::default(),
            endpoints: watch::Sender::default(),
            rollout: watch::Sender::default(),
            stopping: watch::Sender::new(false),
        }
    }
}

/// Everything that one source holds.
#[derive(Default)]
pub struct Set {
    /// One per document of a kind that is served.
    pub entries: Vec<Arc<Entry>>,
    /// What belongs to no object.
    pub problems: Vec<Finding>,
    /// Documents of kinds that are not served.
    pub notices: Vec<Finding>,
    /// Files and folders that could not be read whole: what came from there before is not known to be gone.
    pub incomplete: Vec<PathBuf>,
}

impl Set {
    /// What stands in this list and not at the same place in `newer`, and the other way round. An entry that only moved
    /// is in both. Nothing is looked at but places in memory, so that it costs little among very many.
    #[must_use]
    pub fn differing<'a>(&'a self, newer: &'a Self) -> (Vec<&'a Arc<Entry>>, Vec<&'a Arc<Entry>>) {
        let (old, new) = middle(&self.entries, &newer.entries);
        if old.len() != new.len() {
            return (old.iter().collect(), new.iter().collect());
        }
        old.iter().zip(new).filter(|(old, new)| !Arc::ptr_eq(old, new)).unzip()
    }
}

/// What is between the common beginning and the common end of two lists.
fn middle<'a>(old: &'a [Arc<Entry>], new: &'a [Arc<Entry>]) -> (&'a [Arc<Entry>], &'a [Arc<Entry>]) {
    let same = |(a, b): &(&Arc<Entry>, &Arc<Entry>)| Arc::ptr_eq(a, b);
    let front = old.iter().zip(new).take_while(same).count();
    let (old, new) = (old.get(front..).unwrap_or_default(), new.get(front..).unwrap_or_default());
    let back = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let cut = |list: &'a [Arc<Entry>]| list.get(..list.len() - back).unwrap_or_default();
    (cut(old), cut(new))
}

/// The newest set of every source.
#[derive(Clone, Default)]
pub struct Sources {
    /// Grows with every change of any set.
    pub seq: u64,
    sets: BTreeMap<&'static str, Option<Arc<Set>>>,
}

impl Sources {
    fn expecting(names: &[&'static str]) -> Self {
        Self { seq: 0, sets: names.iter().map(|name| (*name, None)).collect() }
    }

    /// A source has a new set.
    pub fn put(&mut self, name: &'static str, set: Arc<Set>) {
        self.seq += 1;
        self.sets.insert(name, Some(set));
    }

    /// Whether every source gave its first full list. Before that, absence means nothing.
    #[must_use]
    pub fn listed(&self) -> bool {
        self.sets.values().all(Option::is_some)
    }

    /// Names of the sources that did not give their first list yet.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.sets.iter().filter(|(_, set)| set.is_none()).map(|(name, _)| *name)
    }

    /// All sets that are there, in order of source name.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<Set>> {
        self.sets.values().flatten()
    }

    /// All entries of all sets.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.sets().flat_map(|set| set.entries.iter())
    }
}
