//! Where an upstream's endpoints are now. Shared by the upstreams of that name in successive runtimes as long as the
//! endpoints are dynamic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use portcullis_shared::table;
use tokio::sync::watch;

use super::rules::Rules;
use super::set::Endpoints;

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    endpoints: ArcSwap<Endpoints>,
    /// Held while a new set is made, so that none is lost.
    rules: Mutex<Rules>,
    /// 0 = no set since the link was made.
    sequence: AtomicU64,
    ready: watch::Sender<bool>,
    /// Counts sets with other members.
    members: watch::Sender<u64>,
    epoch: AtomicU64,
    dynamic: bool,
}

impl Lane {
    /// Endpoints that stand in the table.
    pub(super) fn fixed(list: &[table::Endpoint], before: Option<&Self>, rules: Rules) -> Self {
        let before_set = before.map(Self::load).unwrap_or_default();
        // What is no longer in the table is gone: only discovery errs.
        let rules = Rules { keep_healthy: false, ..rules };
        let endpoints = Arc::new(Endpoints::new(list, &before_set, &rules));
        let same = before_set.list().iter().map(|one| &one.address).eq(list.iter().map(|one| &one.address));
        let lane = Self::holding(endpoints, true, false, rules);
        let epoch = before.map_or(0, Self::epoch) + u64::from(!same);
        lane.epoch.store(epoch, Ordering::Relaxed);
        lane
    }

    /// A dynamic upstream that knows none yet.
    pub(super) fn waiting(rules: Rules) -> Self {
        Self::holding(Arc::default(), false, true, rules)
    }

    fn holding(endpoints: Arc<Endpoints>, ready: bool, dynamic: bool, rules: Rules) -> Self {
        Self {
            endpoints: ArcSwap::new(endpoints),
            rules: Mutex::new(rules),
            sequence: AtomicU64::new(0),
            ready: watch::Sender::new(ready),
            members: watch::Sender::new(0),
            epoch: AtomicU64::new(0),
            dynamic,
        }
    }

    /// The lane of the next form of this upstream, which is dynamic. One that was fixed serves its old endpoints until
    /// the first set arrives.
    pub(super) fn to_dynamic(self: &Arc<Self>, rules: Rules) -> Arc<Self> {
        if !self.dynamic {
            let endpoints = Arc::new(self.load().refreshed(&rules));
            return Arc::new(Self::holding(endpoints, true, true, rules));
        }
        *self.rules.lock() = rules;
        self.refresh();
        Arc::clone(self)
    }

    pub(super) fn load(&self) -> Arc<Endpoints> {
        self.endpoints.load_full()
    }

    pub(super) fn guard(&self) -> Guard<Arc<Endpoints>> {
        self.endpoints.load()
    }

    pub(super) fn set(&self, set: &table::EndpointSet) -> bool {
        // One writer at a time (the link), so the check and the store need not be one step. Sequence 0 is a set from
        // before the session: it is taken as long as the session has sent none.
        let newest = self.sequence.load(Ordering::Acquire);
        if !self.dynamic || set.sequence < newest || (set.sequence == newest && newest > 0) {
            return false;
        }
        {
            let rules = self.rules.lock();
            self.endpoints.store(Arc::new(Endpoints::new(&set.endpoints, &self.load(), &rules)));
        }
        self.sequence.store(set.sequence, Ordering::Release);
        self.ready.send_replace(true);
        self.moved();
        true
    }

    /// Puts the health of the endpoints in force.
    pub(super) fn refresh(&self) {
        let rules = self.rules.lock();
        let before = self.load();
        let next = before.refreshed(&rules);
        let fewer = next.list().len() != before.list().len();
        self.endpoints.store(Arc::new(next));
        drop(rules);
        if fewer {
            self.moved();
        }
    }

    fn moved(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.members.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A number for the present members.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Counts the sets with other members.
    pub(super) fn members(&self) -> watch::Receiver<u64> {
        self.members.subscribe()
    }

    pub(super) fn begin_session(&self) {
        self.sequence.store(0, Ordering::Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    pub(super) async fn ready(&self) {
        // The sender lives in self, so this ends only when the value is true.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }
}
