//! The keyring's actor: topics in, [`Keys`](super::Keys) out.

use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::BoxError;

use super::expiry::Expiry;
use super::sds::Followers;
use super::{Keys, Ring};
use crate::topics::Topics;

/// How often the files of `sslFiles` are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the ends of certificates are looked at.
const EXPIRY: Duration = Duration::from_secs(3600);

/// Runs until the process ends. A restart reads everything that is wanted again; the topic keeps its last value.
///
/// # Errors
/// A reading panicked, or the process ends.
pub async fn run(topics: Topics) -> Result<(), BoxError> {
    let (mut sources, mut wanted) = (topics.sources.subscribe(), topics.wanted.subscribe());
    sources.mark_changed();
    wanted.mark_changed();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut look_at_ends = tokio::time::interval(EXPIRY);
    let (mut ring, mut expiry, mut followers) = (Ring::default(), Expiry::default(), Followers::default());
    // What is on the topic may be an earlier incarnation's.
    let mut first = true;
    loop {
        let mut readings = Vec::new();
        tokio::select! {
            changed = sources.changed() => changed?,
            Some(reading) = followers.next() => readings.push(reading),
            changed = wanted.changed() => changed?,
            _ = look.tick(), if ring.watches() => {}
            _ = look_at_ends.tick() => {
                let keys = topics.keys.borrow().clone();
                expiry.look(&keys);
                continue;
            }
        }
        let sets = sources.borrow_and_update().clone();
        let files = wanted.borrow_and_update().clone();
        followers.want(&files);
        readings.extend(std::iter::from_fn(|| followers.another()));
        // Reading files and checking keys against certificates takes its time.
        let (back, changed) = tokio::task::spawn_blocking(move || {
            let secrets = sets.listed() && ring.read_sources(&sets);
            let unwanted = ring.want(&files);
            let read = ring.read_files();
            let mut sent = false;
            for (source, outcome) in readings {
                // It may have been dropped while its reading was under way.
                sent |= files.contains(&source) && ring.take(source, outcome);
            }
            ((ring, sets.seq), secrets || unwanted || read || sent)
        })
        .await?;
        ring = back.0;
        let known = topics.keys.borrow().clone();
        let first = std::mem::take(&mut first);
        if changed || (first && known.sources != back.1) {
            let keys = Arc::new(ring.keys(back.1));
            expiry.look(&keys);
            topics.keys.send_replace(keys);
        } else if known.sources != back.1 {
            topics.keys.send_replace(Arc::new(Keys { sources: back.1, ..Keys::clone(&known) }));
        }
    }
}
