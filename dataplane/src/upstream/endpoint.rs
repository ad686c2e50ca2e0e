//! Endpoints at run time, the set of them, and the lane on which new sets arrive.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, Guard};
use portcullis_shared::table;
use tokio::sync::watch;

/// One address. The count of running requests stays with it as long as the address stays in the set.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Its share among the endpoints; at least 1.
    pub weight: u32,
    /// The DNS name that it was resolved from.
    pub hostname: Option<Arc<str>>,
    /// Its own server name.
    pub sni: Option<Arc<str>>,
    active: Arc<AtomicUsize>,
}

impl Endpoint {
    fn new(config: &table::Endpoint, active: Arc<AtomicUsize>) -> Self {
        Self {
            address: config.address,
            weight: config.weight.max(1),
            hostname: config.hostname.clone(),
            sni: config.sni.clone(),
            active,
        }
    }

    /// Requests that run on it now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }
}

/// All endpoints of an upstream at one moment.
#[derive(Debug, Default)]
pub struct Endpoints {
    list: Vec<Arc<Endpoint>>,
    schedule: Schedule,
}

/// In which order round robin visits the endpoints.
#[derive(Debug, Default)]
pub(super) enum Schedule {
    /// All weights are equal: by position.
    #[default]
    Equal,
    /// Positions in the list, spread as evenly as the weights allow.
    Spread(Box<[u16]>),
    /// Sums of the weights so far, where a list of positions would be too long.
    Sums(Box<[u64]>),
}

/// Longest list of positions; beyond it, weights are followed only in the mean.
const LONGEST_SPREAD: u64 = 4096;

impl Endpoints {
    /// A set made of `list`. An address that was in `before` keeps its count of running requests.
    #[must_use]
    pub fn new(list: &[table::Endpoint], before: Option<&Self>) -> Self {
        let active: HashMap<SocketAddr, &Arc<AtomicUsize>> =
            before.iter().flat_map(|set| &set.list).map(|e| (e.address, &e.active)).collect();
        let list: Vec<_> = list
            .iter()
            .map(|config| {
                let active = active.get(&config.address).map(|count| Arc::clone(count)).unwrap_or_default();
                Arc::new(Endpoint::new(config, active))
            })
            .collect();
        let schedule = Schedule::new(&list);
        Self { list, schedule }
    }

    /// The endpoints in the order of the table.
    #[must_use]
    pub fn list(&self) -> &[Arc<Endpoint>] {
        &self.list
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

impl Schedule {
    fn new(list: &[Arc<Endpoint>]) -> Self {
        let divisor = list.iter().fold(0, |a, endpoint| gcd(a, endpoint.weight));
        let weights: Vec<u64> = list.iter().map(|e| u64::from(e.weight / divisor.max(1))).collect();
        let total: u64 = weights.iter().sum();
        if weights.iter().all(|weight| *weight == 1) {
            Self::Equal
        } else if total <= LONGEST_SPREAD {
            Self::Spread(spread(&weights, total))
        } else {
            let mut sum = 0;
            Self::Sums(
                weights
                    .iter()
                    .map(|weight| {
                        sum += weight;
                        sum
                    })
                    .collect(),
            )
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Smooth weighted round robin: in every step each endpoint earns its weight, the richest is chosen and pays the total.
fn spread(weights: &[u64], total: u64) -> Box<[u16]> {
    let total = i64::try_from(total).unwrap_or(i64::MAX);
    let mut credit: Vec<(i64, i64)> =
        weights.iter().map(|weight| (i64::try_from(*weight).unwrap_or(i64::MAX), 0)).collect();
    let mut order = Vec::new();
    for _ in 0..total {
        let mut best = (0u16, i64::MIN);
        for (at, (weight, credit)) in (0u16..).zip(&mut credit) {
            *credit += *weight;
            if *credit > best.1 {
                best = (at, *credit);
            }
        }
        if let Some((_, credit)) = credit.get_mut(usize::from(best.0)) {
            *credit -= total;
        }
        order.push(best.0);
    }
    order.into()
}

/// Where an upstream's endpoints are now. Shared by the upstreams of that name in successive runtimes as long as the
/// endpoints are dynamic.
#[derive(Debug)]
pub struct Lane {
    endpoints: ArcSwap<Endpoints>,
    /// 0 = no set since the link was made.
    sequence: AtomicU64,
    ready: watch::Sender<bool>,
    dynamic: bool,
}

impl Lane {
    /// Endpoints that stand in the table.
    pub(super) fn fixed(list: &[table::Endpoint], before: Option<Arc<Endpoints>>) -> Self {
        Self::holding(Arc::new(Endpoints::new(list, before.as_deref())), true, false)
    }

    /// A dynamic upstream that knows none yet.
    pub(super) fn waiting() -> Self {
        Self::holding(Arc::default(), false, true)
    }

    fn holding(endpoints: Arc<Endpoints>, ready: bool, dynamic: bool) -> Self {
        Self {
            endpoints: ArcSwap::new(endpoints),
            sequence: AtomicU64::new(0),
            ready: watch::Sender::new(ready),
            dynamic,
        }
    }

    /// The lane of the next form of this upstream, which is dynamic. One that was fixed serves its old endpoints until
    /// the first set arrives.
    pub(super) fn to_dynamic(self: &Arc<Self>) -> Arc<Self> {
        if self.dynamic { Arc::clone(self) } else { Arc::new(Self::holding(self.load(), true, true)) }
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
        self.endpoints.store(Arc::new(Endpoints::new(&set.endpoints, Some(&self.load()))));
        self.sequence.store(set.sequence, Ordering::Release);
        self.ready.send_replace(true);
        true
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

/// A chosen endpoint. The request counts as running on it until this is dropped.
#[derive(Debug)]
pub struct Picked {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
}

impl Picked {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.active.fetch_add(1, Ordering::Relaxed);
        Self { endpoint }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.endpoint.active.fetch_sub(1, Ordering::Relaxed);
    }
}
