//! The discovery actor: one task per name, at most so many lookups at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_shared::actor::BoxError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::lookup::{Known, Life};
use super::resolver::Resolver;
use super::sets::{compose, names};
use crate::topics::Topics;

/// Lookups under way at once.
const LOOKUPS: usize = 64;
/// Outcomes that wait to be taken up; a task that finds the queue full waits.
const QUEUE: usize = 64;

/// Runs until the process ends. A restart begins all lookups anew; the topic keeps the last sets.
///
/// # Errors
/// The process ends.
pub async fn run(topics: Topics) -> Result<(), BoxError> {
    let mut dynamic = topics.dynamic.subscribe();
    dynamic.mark_changed();
    let resolver = Resolver::system();
    let permits = Arc::new(Semaphore::new(LOOKUPS));
    let (found, mut outcomes) = mpsc::channel(QUEUE);
    let mut tasks: BTreeMap<Arc<str>, AbortOnDropHandle<()>> = BTreeMap::new();
    let mut known: BTreeMap<Arc<str>, Known> = BTreeMap::new();
    let mut sequence = first_sequence();
    loop {
        tokio::select! {
            changed = dynamic.changed() => {
                changed?;
                let wanted = names(&dynamic.borrow_and_update());
                tasks.retain(|name, _| wanted.contains(name));
                known.retain(|name, _| wanted.contains(name));
                for name in wanted {
                    tasks.entry(name).or_insert_with_key(|name| {
                        let follow = follow(Arc::clone(name), resolver.clone(), Arc::clone(&permits), found.clone());
                        AbortOnDropHandle::new(tokio::spawn(follow))
                    });
                }
            }
            Some((name, news)) = outcomes.recv() => {
                // The name may have been dropped while its outcome was under way.
                if tasks.contains_key(&name) {
                    known.insert(name, news);
                }
                // Many names answer at about the same time.
                while let Ok((name, news)) = outcomes.try_recv() {
                    if tasks.contains_key(&name) {
                        known.insert(name, news);
                    }
                }
            }
        }
        sequence += 1;
        let upstreams = dynamic.borrow().clone();
        topics.endpoints.send_if_modified(|endpoints| {
            let now = compose(&upstreams, &known, endpoints, sequence);
            let same = now.sets.len() == endpoints.sets.len()
                && now
                    .sets
                    .iter()
                    .all(|(name, set)| endpoints.sets.get(name).is_some_and(|known| Arc::ptr_eq(known, set)));
            if !same {
                *endpoints = Arc::new(now);
            }
            !same
        });
    }
}

/// Sequences grow over restarts of this actor and of the process: they begin at the clock.
fn first_sequence() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0) << 10)
}

async fn follow(
    name: Arc<str>,
    resolver: Resolver,
    permits: Arc<Semaphore>,
    found: mpsc::Sender<(Arc<str>, Known)>,
) {
    let mut life = Life::new(Arc::clone(&name));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = permits.acquire().await else { return };
        let answer = resolver.look_up(&name).await;
        drop(permit);
        let outcome = life.answered(answer, Instant::now());
        if let Some(news) = outcome.news
            && found.send((Arc::clone(&name), news)).await.is_err()
        {
            return;
        }
        sleep(outcome.again).await;
    }
}
