//! How one of several endpoints is chosen. Lock free: a counter or a random number, never a queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_shared::table::LoadBalancer;

use super::endpoint::{Endpoint, Endpoints, Schedule};

/// Chooses endpoints. Every kind respects their weights.
#[derive(Debug)]
pub enum Balancer {
    /// One after the other.
    RoundRobin(AtomicU64),
    /// The least loaded of a few random ones.
    LeastRequest {
        /// How many are compared.
        choices: u32,
    },
    /// At random.
    Random,
}

impl Balancer {
    /// The balancer of an upstream's next form; round robin goes on where it was.
    pub(super) fn next(kind: LoadBalancer, previous: Option<&Self>) -> Self {
        match (kind, previous) {
            (LoadBalancer::RoundRobin, Some(Self::RoundRobin(counter))) => {
                Self::RoundRobin(AtomicU64::new(counter.load(Ordering::Relaxed)))
            }
            // Workers begin at different places, or all of them would send their first request to the first endpoint.
            (LoadBalancer::RoundRobin, _) => Self::RoundRobin(AtomicU64::new(fastrand::u64(..u64::MAX / 2))),
            (LoadBalancer::LeastRequest { choice_count }, _) => {
                Self::LeastRequest { choices: choice_count.max(1) }
            }
            (LoadBalancer::Random, _) => Self::Random,
        }
    }

    /// An endpoint that is not in `tried`, or any one when all are.
    pub(super) fn pick(&self, endpoints: &Endpoints, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        let fresh = |endpoint: &Arc<Endpoint>| !tried.contains(&endpoint.address);
        // A retry looks at every endpoint, which is rare enough to afford; the first try never does.
        let tried = if tried.is_empty() || !endpoints.list().iter().any(fresh) { &[] } else { tried };
        let fresh = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.address);
        let chosen = match (endpoints.list(), self) {
            ([], _) => None,
            ([only], _) => Some(only),
            (_, Self::RoundRobin(counter)) => round_robin(endpoints, counter, fresh),
            (_, Self::LeastRequest { choices }) => least_request(endpoints, *choices, fresh),
            (_, Self::Random) => random(endpoints, fresh),
        };
        chosen.or_else(|| endpoints.list().iter().find(fresh)).cloned()
    }
}

/// Steps that are made to find an endpoint that was not tried, before any fresh one is taken.
const MOST_STEPS: usize = 64;

fn round_robin<'a>(
    endpoints: &'a Endpoints,
    counter: &AtomicU64,
    fresh: impl Fn(&&Arc<Endpoint>) -> bool,
) -> Option<&'a Arc<Endpoint>> {
    (0..MOST_STEPS).find_map(|_| {
        let turn = counter.fetch_add(1, Ordering::Relaxed);
        at_turn(endpoints, turn).filter(&fresh)
    })
}

fn at_turn(endpoints: &Endpoints, turn: u64) -> Option<&Arc<Endpoint>> {
    let list = endpoints.list();
    match endpoints.schedule() {
        Schedule::Equal => list.get(below(turn, list.len())),
        Schedule::Spread(order) => list.get(usize::from(*order.get(below(turn, order.len()))?)),
        // Multiples of the golden ratio fall evenly into an interval, so that neither short nor long runs favour one.
        Schedule::Sums(sums) => by_weight(list, sums, turn.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    }
}

fn below(turn: u64, len: usize) -> usize {
    usize::try_from(turn % (len as u64).max(1)).unwrap_or(0)
}

/// The endpoint in whose share `point` falls; `point` spans all of u64.
fn by_weight<'a>(list: &'a [Arc<Endpoint>], sums: &[u64], point: u64) -> Option<&'a Arc<Endpoint>> {
    let total = u128::from(*sums.last()?);
    let scaled = u64::try_from((u128::from(point) * total) >> 64).unwrap_or(0);
    list.get(sums.partition_point(|sum| *sum <= scaled))
}

fn random_one(endpoints: &Endpoints) -> Option<&Arc<Endpoint>> {
    at_random(endpoints, fastrand::u64(..))
}

fn at_random(endpoints: &Endpoints, point: u64) -> Option<&Arc<Endpoint>> {
    let list = endpoints.list();
    match endpoints.schedule() {
        Schedule::Equal => list.get(below(point, list.len())),
        Schedule::Spread(order) => list.get(usize::from(*order.get(below(point, order.len()))?)),
        Schedule::Sums(sums) => by_weight(list, sums, point),
    }
}

fn random(endpoints: &Endpoints, fresh: impl Fn(&&Arc<Endpoint>) -> bool) -> Option<&Arc<Endpoint>> {
    (0..MOST_STEPS).find_map(|_| random_one(endpoints).filter(&fresh))
}

fn least_request(
    endpoints: &Endpoints,
    choices: u32,
    fresh: impl Fn(&&Arc<Endpoint>) -> bool,
) -> Option<&Arc<Endpoint>> {
    let mut best: Option<&Arc<Endpoint>> = None;
    for _ in 0..choices {
        let Some(candidate) = random(endpoints, &fresh) else { continue };
        // Candidates already come by weight, so the plain count decides.
        if best.is_none_or(|best| candidate.active() < best.active()) {
            best = Some(candidate);
        }
    }
    best
}
