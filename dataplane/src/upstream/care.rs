//! What an upstream needs beside its requests: checks of its endpoints, ejection and return of outliers, growing shares of
//! new ones.
//!
//! [`run`] is the actor that keeps a task for each upstream that needs one; state is in the endpoints, so that a restart
//! loses nothing. Nothing here is in the path of a request: what changes is put in force by a new set of endpoints.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::BoxError;
use portcullis_shared::table::Place;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::endpoint::Endpoint;
use super::{Upstream, health};
use crate::loader::Published;

/// How often the shares of new endpoints grow: so many times while they are new, and not more often than this.
const WARMING_STEPS: u32 = 20;
const WARMING_LEAST: Duration = Duration::from_millis(100);

/// The actor's body.
///
/// # Errors
/// The process ends.
pub async fn run(mut published: watch::Receiver<Published>) -> Result<(), BoxError> {
    let mut tasks: HashMap<Arc<str>, (Arc<Upstream>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut former = Arc::new(crate::runtime::Runtime::default());
    loop {
        let runtime = Arc::clone(&published.borrow_and_update().runtime);
        let same = |name: &str, cared: &Arc<Upstream>| {
            runtime.upstream(name).is_some_and(|upstream| Arc::ptr_eq(upstream, cared))
        };
        tasks.retain(|name, (cared, _)| same(name, cared));
        for upstream in runtime.upstreams_beyond(&former).filter(|upstream| upstream.needs_care()) {
            tasks.entry(Arc::clone(&upstream.name)).or_insert_with(|| {
                let task = AbortOnDropHandle::new(tokio::spawn(of(Arc::clone(upstream))));
                (Arc::clone(upstream), task)
            });
        }
        former = runtime;
        published.changed().await?;
    }
}

/// Takes care of one form of an upstream, until it is dropped.
pub async fn of(upstream: Arc<Upstream>) {
    let mut members = upstream.lane.members();
    let mut checks: HashMap<Place, (Arc<Endpoint>, AbortOnDropHandle<()>)> = HashMap::new();
    let judge = upstream.judge.as_ref();
    let mut looks = judge.map(|judge| {
        let mut looks = tokio::time::interval_at(Instant::now() + judge.interval(), judge.interval());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks
    });
    let mut refreshed: Option<Instant> = None;
    let mut due = false;
    loop {
        let set = upstream.lane.load();
        if let Some(check) = &upstream.check {
            let same = |known: &Arc<Endpoint>| set.list().iter().any(|one| one.shares_state(known));
            checks.retain(|_, (known, _)| same(known));
            for endpoint in set.list() {
                checks.entry(endpoint.address.clone()).or_insert_with(|| {
                    let run = health::run(Arc::clone(&upstream), Arc::clone(endpoint), Arc::clone(check));
                    (Arc::clone(endpoint), AbortOnDropHandle::new(tokio::spawn(run)))
                });
            }
        }
        let refresh_at = due.then(|| {
            let now = Instant::now();
            refreshed.map_or(now, |at| (at + upstream.rules.merge_window).max(now))
        });
        let warm_at = set.is_warming(&upstream.rules).then(|| {
            let window = upstream.rules.slow_start.map_or(Duration::ZERO, |slow| slow.window);
            Instant::now() + (window / WARMING_STEPS).max(WARMING_LEAST)
        });
        tokio::select! {
            changed = members.changed() => if changed.is_err() { return },
            () = upstream.news.notified() => due = true,
            () = async { match judge { Some(judge) => judge.suspicion().await, None => pending().await } } => {
                due |= judge.is_some_and(|judge| judge.eject_suspects(set.list()));
            }
            _ = async { match &mut looks { Some(looks) => looks.tick().await, None => pending().await } } => {
                due |= judge.is_some_and(|judge| judge.look(set.list()));
            }
            () = until(refresh_at) => {
                upstream.lane.refresh();
                (refreshed, due) = (Some(Instant::now()), false);
            }
            () = until(warm_at) => upstream.lane.refresh(),
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
