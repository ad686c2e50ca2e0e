//! How one of several endpoints is chosen. Lock free: a counter, a random number or a hash, never a queue.

mod maglev;
mod ring;
mod slow_start;
mod spread;
mod subset;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_shared::table::{Label, LoadBalancer, Place};
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::rules::Rules;
use maglev::Maglev;
use ring::Ring;
use spread::Schedule;
pub(super) use subset::Subsets;

/// What a request asks of the choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'a> {
    /// Endpoints that it was on: another one is better.
    pub tried: &'a [Place],
    /// Equal ones go to the same endpoint, where the balancer is one that hashes.
    pub hash: Option<u64>,
    /// The endpoint should have these labels, which are in order of their keys.
    pub labels: &'a [Label],
}

/// Endpoints that requests may go to, and how they share them.
#[derive(Debug, Default)]
pub(super) struct Choices {
    list: Vec<Arc<Endpoint>>,
    shares: Shares,
}

#[derive(Debug)]
enum Shares {
    Turns(Schedule),
    Ring(Ring),
    Maglev(Maglev),
}

impl Default for Shares {
    fn default() -> Self {
        Shares::Turns(Schedule::default())
    }
}

impl Choices {
    /// The healthy ones of `all`, or all of them when too few are healthy to take the load.
    pub(super) fn new(all: &[Arc<Endpoint>], rules: &Rules, now: Instant) -> Self {
        let healthy: Vec<_> = all.iter().filter(|endpoint| endpoint.is_healthy()).cloned().collect();
        #[expect(clippy::cast_precision_loss, reason = "nobody has so many endpoints")]
        let panic = (healthy.len() as f64) * 100.0 < rules.panic_threshold * (all.len() as f64);
        let list = if panic { all.to_vec() } else { healthy };
        let shares = match rules.balancer {
            LoadBalancer::RingHash { minimum, maximum } => {
                Shares::Ring(Ring::new(&list, rules.hash_by_hostname, minimum, maximum))
            }
            LoadBalancer::Maglev => Shares::Maglev(Maglev::new(&list, rules.hash_by_hostname)),
            LoadBalancer::RoundRobin | LoadBalancer::LeastRequest { .. } | LoadBalancer::Random => {
                Shares::Turns(Schedule::new(&slow_start::weights(&list, rules.slow_start.as_ref(), now)))
            }
        };
        Self { list, shares }
    }

    /// The endpoint at `point` of an evenly visited line: turns in order, or anything random.
    fn at(&self, point: u64, scatter: bool) -> Option<&Arc<Endpoint>> {
        match &self.shares {
            Shares::Turns(schedule) => self.list.get(schedule.at(point, self.list.len(), scatter)?),
            Shares::Ring(ring) => self.list.get(ring.at(point, 0)?),
            Shares::Maglev(maglev) => self.list.get(maglev.at(point, 0)?),
        }
    }

    /// The endpoint for `hash`, or the `step`th after it.
    fn hashed(&self, hash: u64, step: usize) -> Option<&Arc<Endpoint>> {
        match &self.shares {
            Shares::Turns(_) => self.at(hash, false),
            Shares::Ring(ring) => self.list.get(ring.at(hash, step)?),
            Shares::Maglev(maglev) => self.list.get(maglev.at(hash, step)?),
        }
    }
}

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
    /// By the hash of the request; at random where it has none.
    Hash,
}

/// Steps that are made to find an endpoint that was not tried, before any fresh one is taken.
const MOST_STEPS: usize = 64;

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
            (LoadBalancer::RingHash { .. } | LoadBalancer::Maglev, _) => Self::Hash,
        }
    }

    /// An endpoint that was not tried, or any one when all were.
    pub(super) fn pick(&self, choices: &Choices, wish: &Wish<'_>) -> Option<Arc<Endpoint>> {
        let list = &choices.list;
        let fresh = |endpoint: &Arc<Endpoint>| !wish.tried.contains(&endpoint.address);
        // A retry looks at every endpoint, which is rare enough to afford; the first try never does.
        let tried = if wish.tried.is_empty() || !list.iter().any(fresh) { &[] } else { wish.tried };
        let fresh = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.address);
        let chosen = match (list.as_slice(), self) {
            ([], _) => None,
            ([only], _) => Some(only),
            (_, Self::RoundRobin(counter)) => (0..MOST_STEPS).find_map(|_| {
                let turn = counter.fetch_add(1, Ordering::Relaxed);
                choices.at(turn, true).filter(fresh)
            }),
            (_, Self::LeastRequest { choices: count }) => least_request(choices, *count, fresh),
            (_, Self::Random) => random(choices, fresh),
            (_, Self::Hash) => {
                let hash = wish.hash.unwrap_or_else(|| fastrand::u64(..));
                (0..MOST_STEPS).find_map(|step| choices.hashed(hash, step).filter(fresh))
            }
        };
        chosen.or_else(|| list.iter().find(fresh)).cloned()
    }
}

fn random(choices: &Choices, fresh: impl Fn(&&Arc<Endpoint>) -> bool) -> Option<&Arc<Endpoint>> {
    (0..MOST_STEPS).find_map(|_| choices.at(fastrand::u64(..), false).filter(&fresh))
}

fn least_request(
    choices: &Choices,
    count: u32,
    fresh: impl Fn(&&Arc<Endpoint>) -> bool,
) -> Option<&Arc<Endpoint>> {
    let mut best: Option<&Arc<Endpoint>> = None;
    for _ in 0..count {
        let Some(candidate) = random(choices, &fresh) else { continue };
        // Candidates already come by weight, so the plain count decides.
        if best.is_none_or(|best| candidate.active() < best.active()) {
            best = Some(candidate);
        }
    }
    best
}

/// What stands for an endpoint in rings and tables, as in Envoy, so that a mixed fleet agrees.
fn hash_key(endpoint: &Endpoint, by_hostname: bool) -> String {
    match &endpoint.hostname {
        Some(hostname) if by_hostname => hostname.to_string(),
        _ => endpoint.address.to_string(),
    }
}
