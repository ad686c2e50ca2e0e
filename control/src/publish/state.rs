//! What one worker has and what it should get next: the protocol's rules as a plain struct, without sockets or time.
//!
//! ```text
//!          offer               something differs, nothing is in flight         ack, or nack of some resources
//! newest --------> next_plan ---------------------------------------> flight -------------------------------> held
//!                                                                        |
//!                      nack for the digest, or drift in a beat: held is forgotten, the next plan is a reset
//! ```
//!
//! `held` is what the worker *received*: a resource that it refused counts as received, because sending the same bytes
//! again would be refused again. Which ones it refuses is told anew with every answer ([`State::refused`]).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_shared::version::{Digest, TableDigest, Version};

use super::Target;
use crate::compile::{Key, Table, TableEntry};

/// Why a worker does not run the current form of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Field path in the wire resource.
    pub path: String,
    /// The worker's words.
    pub reason: String,
}

/// One transaction to be written to the worker.
#[derive(Clone)]
pub struct Plan {
    /// The worker must forget everything first.
    pub reset: bool,
    /// What to send, in key order.
    pub upserts: Vec<(Key, Arc<TableEntry>)>,
    /// What to remove, in key order.
    pub removes: Vec<Key>,
    /// The table that this leads to.
    pub target: Target,
}

impl Plan {
    /// Whether the worker has everything already and is only told the version.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.reset && self.upserts.is_empty() && self.removes.is_empty()
    }
}

/// An answer that does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Nothing with this version is in flight.
    #[error("answer to version {got}, but {expected} is in flight")]
    Version {
        /// The version in the answer.
        got: Version,
        /// What is in flight, "nothing" otherwise.
        expected: String,
    },
}

/// What a worker has received.
enum Held {
    /// What it said at first.
    Listed(BTreeMap<Key, Digest>, TableDigest),
    /// A table that it answered.
    Table(Arc<Table>),
}

impl Default for Held {
    fn default() -> Self {
        Self::Listed(BTreeMap::new(), TableDigest::default())
    }
}

impl Held {
    fn listed(list: impl IntoIterator<Item = (Key, Digest)>) -> Self {
        let (mut held, mut sum) = (BTreeMap::new(), TableDigest::default());
        for (key, digest) in list {
            sum.add(key.0, &key.1, &digest);
            if let Some(old) = held.insert(key.clone(), digest) {
                sum.remove(key.0, &key.1, &old);
            }
        }
        Self::Listed(held, sum)
    }

    fn digest(&self) -> Digest {
        match self {
            Self::Listed(_, sum) => sum.get(),
            Self::Table(table) => table.digest,
        }
    }

    /// What to send and what to remove so that this becomes `wanted`, both in order of key.
    fn difference(&self, wanted: &Table) -> (Vec<Upsert>, Vec<Key>) {
        match self {
            Self::Listed(held, _) => walk(held, wanted),
            Self::Table(held) => compare(held, wanted),
        }
    }
}

/// One worker as control sees it.
#[derive(Default)]
pub struct State {
    held: Held,
    newest: Option<Target>,
    /// The target of the transaction that was sent and is not answered.
    flight: Option<Target>,
    acknowledged: Option<Target>,
    refused: BTreeMap<Key, Refusal>,
    reset: bool,
    /// Resets without an acknowledgement in between.
    resets: u32,
}

impl State {
    /// A worker that says it has `held`.
    #[must_use]
    pub fn new(held: impl IntoIterator<Item = (Key, Digest)>) -> Self {
        Self { held: Held::listed(held), ..Self::default() }
    }

    /// There is a newer table. What was offered before and not yet sent is skipped.
    pub fn offer(&mut self, target: Target) {
        self.newest = Some(target);
    }

    /// The next transaction, if one is needed and none is unanswered. It counts as sent from now on.
    pub fn next_plan(&mut self) -> Option<Plan> {
        if self.flight.is_some() {
            return None;
        }
        let target = self.newest.clone()?;
        let current = self.acknowledged.as_ref().map(|t| t.version);
        if !self.reset && current == Some(target.version) {
            return None;
        }
        let reset = std::mem::take(&mut self.reset);
        if reset {
            self.held = Held::default();
        }
        let (upserts, removes) = self.held.difference(&target.table);
        self.flight = Some(target.clone());
        Some(Plan { reset, upserts, removes, target })
    }

    /// The worker runs `version` but for what it refuses.
    ///
    /// # Errors
    /// The version is not in flight; nothing changes.
    pub fn answered(
        &mut self,
        version: Version,
        refused: impl IntoIterator<Item = (Key, Refusal)>,
    ) -> Result<(), AnswerError> {
        let target = self.take_flight(version)?;
        self.held = Held::Table(Arc::clone(&target.table));
        self.refused = refused.into_iter().collect();
        self.acknowledged = Some(target);
        self.resets = 0;
        Ok(())
    }

    /// The worker put the transaction together and got another table digest: it applied nothing.
    ///
    /// # Errors
    /// The version is not in flight; nothing changes.
    pub fn mismatch(&mut self, version: Version) -> Result<(), AnswerError> {
        self.take_flight(version)?;
        self.plan_reset();
        Ok(())
    }

    fn take_flight(&mut self, version: Version) -> Result<Target, AnswerError> {
        match self.flight.take() {
            Some(flight) if flight.version == version => Ok(flight),
            other => {
                let expected =
                    other.as_ref().map_or_else(|| "nothing".to_owned(), |flight| flight.version.to_string());
                self.flight = other;
                Err(AnswerError::Version { got: version, expected })
            }
        }
    }

    /// Compares what the worker says it has. `true` when it drifted and a reset is planned.
    ///
    /// While something is in flight the worker may be on either side of it, so nothing is compared.
    pub fn beat(&mut self, digest: Digest) -> bool {
        if self.flight.is_some() || self.acknowledged.is_none() || digest == self.digest() {
            return false;
        }
        self.plan_reset();
        true
    }

    fn plan_reset(&mut self) {
        self.reset = true;
        self.resets += 1;
    }

    /// Resets since the last answer that fitted. A worker that needs several in a row is beyond repair.
    #[must_use]
    pub fn resets(&self) -> u32 {
        self.resets
    }

    /// Digest over what the worker has.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.held.digest()
    }

    /// Whether a transaction is unanswered.
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// The table that the worker answered last.
    #[must_use]
    pub fn acknowledged(&self) -> Option<&Target> {
        self.acknowledged.as_ref()
    }

    /// What the worker refuses of the table that it answered last.
    #[must_use]
    pub fn refused(&self) -> &BTreeMap<Key, Refusal> {
        &self.refused
    }
}

type Upsert = (Key, Arc<TableEntry>);

/// One walk over both, which are in the same order.
fn walk(held: &BTreeMap<Key, Digest>, wanted: &Table) -> (Vec<Upsert>, Vec<Key>) {
    let (mut upserts, mut removes) = (Vec::new(), Vec::new());
    let (mut held, mut wanted) = (held.iter().peekable(), wanted.entries.iter().peekable());
    loop {
        let order = match (held.peek(), wanted.peek()) {
            (None, None) => return (upserts, removes),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((h, _)), Some((w, _))) => h.cmp(w),
        };
        let old = if order.is_le() { held.next() } else { None };
        let new = if order.is_ge() { wanted.next() } else { None };
        match (old, new) {
            (Some((key, _)), None) => removes.push(key.clone()),
            (old, Some((key, entry))) => {
                if old.is_none_or(|(_, digest)| *digest != entry.digest) {
                    upserts.push((key.clone(), Arc::clone(entry)));
                }
            }
            (None, None) => {}
        }
    }
}

/// Looks only at what the tables do not share.
fn compare(held: &Table, wanted: &Table) -> (Vec<Upsert>, Vec<Key>) {
    let (mut upserts, mut removes) = (Vec::new(), Vec::new());
    held.entries.compare(&wanted.entries, |key, old, new| match (old, new) {
        (Some(old), Some(new)) if Arc::ptr_eq(old, new) || old.digest == new.digest => {}
        (_, Some(new)) => upserts.push((key.clone(), Arc::clone(new))),
        (_, None) => removes.push(key.clone()),
    });
    (upserts, removes)
}
