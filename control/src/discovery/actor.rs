//! The discovery actor: one task per name, at most so many lookups at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_shared::actor::BoxError;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::lookup::{Known, Life, Rhythm};
use super::resolver::Resolver;
use super::sets::{compose, compose_some, names, users};
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
    let mut tasks: BTreeMap<Arc<str>, (watch::Sender<Rhythm>, AbortOnDropHandle<()>)> = BTreeMap::new();
    let mut known: BTreeMap<Arc<str>, Known> = BTreeMap::new();
    let mut sequence = first_sequence();
    let mut upstreams = dynamic.borrow().clone();
    let mut users: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    loop {
        // The upstreams that something new is known of, by position; `None` = any.
        let mut moved: Option<BTreeSet<usize>> = None;
        tokio::select! {
            changed = dynamic.changed() => {
                changed?;
                upstreams = dynamic.borrow_and_update().clone();
                users = self::users(&upstreams);
                let wanted = names(&upstreams);
                tasks.retain(|name, _| wanted.contains_key(name));
                known.retain(|name, _| wanted.contains_key(name));
                for (name, rhythm) in wanted {
                    let (told, _) = tasks.entry(name).or_insert_with_key(|name| {
                        let (tell, told) = watch::channel(rhythm);
                        let looks = Looks { resolver: resolver.clone(), permits: Arc::clone(&permits), rhythm: told };
                        let follow = follow(Arc::clone(name), looks, found.clone());
                        (tell, AbortOnDropHandle::new(tokio::spawn(follow)))
                    });
                    told.send_if_modified(|known| std::mem::replace(known, rhythm) != rhythm);
                }
            }
            Some(first) = outcomes.recv() => {
                let moved = moved.get_or_insert_default();
                // Many names answer at about the same time.
                for (name, news) in std::iter::once(first).chain(std::iter::from_fn(|| outcomes.try_recv().ok())) {
                    // The name may have been dropped while its outcome was under way.
                    if tasks.contains_key(&name) {
                        moved.extend(users.get(&name).into_iter().flatten());
                        known.insert(name, news);
                    }
                }
            }
        }
        sequence += 1;
        topics.endpoints.send_if_modified(|endpoints| {
            let now = match &moved {
                None => compose(&upstreams, &known, endpoints, sequence),
                Some(moved) => {
                    let some = moved.iter().filter_map(|at| upstreams.get(*at));
                    compose_some(some, &known, endpoints, sequence)
                }
            };
            let mut same = true;
            endpoints.sets.compare(&now.sets, |_, was, is| {
                same &= matches!((was, is), (Some(was), Some(is)) if Arc::ptr_eq(was, is));
            });
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

/// How a name is looked up.
struct Looks {
    resolver: Resolver,
    permits: Arc<Semaphore>,
    rhythm: watch::Receiver<Rhythm>,
}

async fn follow(name: Arc<str>, mut looks: Looks, found: mpsc::Sender<(Arc<str>, Known)>) {
    let mut life = Life::new(Arc::clone(&name));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = looks.permits.acquire().await else { return };
        let answer = looks.resolver.look_up(&name).await;
        drop(permit);
        let rhythm = *looks.rhythm.borrow_and_update();
        let outcome = life.answered(answer, rhythm, Instant::now());
        if let Some(news) = outcome.news
            && found.send((Arc::clone(&name), news)).await.is_err()
        {
            return;
        }
        tokio::select! {
            () = sleep(outcome.again) => {}
            // The wait may have become too long: the next answer begins it anew.
            changed = looks.rhythm.changed() => if changed.is_err() { return },
        }
    }
}
