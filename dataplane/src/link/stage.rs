//! Assembles the frames of one Delta into a transaction. Nothing is applied before the frame with the commit is here.

use portcullis_proto::link::v1::{Delta, ResourceId, Upsert};
use portcullis_shared::version::{Digest, Version};

use super::session::Violation;

/// Resources of one transaction that are held before its commit; more means that something is wrong with control.
const LIMIT: usize = 4_000_000;

/// A complete Delta: to be applied as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// Forget everything held before.
    pub reset: bool,
    /// New and changed resources.
    pub upserts: Vec<Upsert>,
    /// Resources that are no longer there.
    pub removes: Vec<ResourceId>,
    /// What the table is called after it.
    pub version: Version,
    /// What the table's digest is after it.
    pub table_digest: Digest,
}

/// Frames that came so far.
#[derive(Debug, Default)]
pub struct Stage {
    open: Option<Delta>,
}

impl Stage {
    /// Adds a frame; gives the transaction when it was the last one.
    ///
    /// # Errors
    /// The frames do not make a transaction.
    pub fn push(&mut self, frame: Delta) -> Result<Option<Transaction>, Violation> {
        let commit = frame.commit.clone();
        match &mut self.open {
            None => self.open = Some(frame),
            Some(_) if frame.reset => return Err(Violation("reset in a later frame of a Delta")),
            Some(open) => {
                open.upserts.extend(frame.upserts);
                open.removes.extend(frame.removes);
            }
        }
        if self.open.as_ref().is_some_and(|open| open.upserts.len() + open.removes.len() > LIMIT) {
            return Err(Violation("a Delta with too many resources"));
        }
        let Some(commit) = commit else { return Ok(None) };
        let open = self.open.take().unwrap_or_default();
        let version = commit.version.ok_or(Violation("commit without version"))?;
        let table_digest =
            Digest::from_slice(&commit.table_digest).ok_or(Violation("commit without a table digest"))?;
        Ok(Some(Transaction {
            reset: open.reset,
            upserts: open.upserts,
            removes: open.removes,
            version: version.into(),
            table_digest,
        }))
    }

    /// Whether frames came whose commit did not.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}
