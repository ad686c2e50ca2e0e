//! Circuit breakers: what one worker uses of an upstream at one time is counted, and what goes beyond a bound is refused.
//!
//! Counts live in the upstream's statistics, so that they hold over new forms of it, and are exact over all data threads.
//! Must not wait: a request that is to wait for a connection holds a pending slot while the engine waits.

use std::sync::Arc;

use portcullis_shared::table::CircuitBreakers;

use super::stats::{Counter, Gauge, Stats};

/// The breakers of an upstream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Breakers {
    limits: CircuitBreakers,
    stats: Arc<Stats>,
}

/// What a breaker bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Open connections, those that are being made included.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests on a connection.
    Requests,
    /// Retries, from the decision to their end.
    Retries,
}

impl Bound {
    /// All of them.
    pub const ALL: [Bound; 4] = [Bound::Connections, Bound::Pending, Bound::Requests, Bound::Retries];

    fn gauge(self, stats: &Stats) -> &Gauge {
        match self {
            Bound::Connections => &stats.connections_active,
            Bound::Pending => &stats.pending,
            Bound::Requests => &stats.requests_active,
            Bound::Retries => &stats.retries_active,
        }
    }

    fn overflows(self, stats: &Stats) -> &Counter {
        match self {
            Bound::Connections => &stats.connection_overflows,
            // Envoy counts both as one.
            Bound::Pending | Bound::Requests => &stats.request_overflows,
            Bound::Retries => &stats.retry_overflows,
        }
    }
}

/// One of the things that a breaker counts; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    stats: Arc<Stats>,
    bound: Bound,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.bound.gauge(&self.stats).dec();
        if matches!(self.bound, Bound::Connections | Bound::Requests) && self.stats.connection_waits.get() > 0
        {
            self.stats.freed.notify_waiters();
        }
    }
}

impl Breakers {
    /// Breakers that count in `stats`.
    #[must_use]
    pub fn new(limits: CircuitBreakers, stats: Arc<Stats>) -> Self {
        Self { limits, stats }
    }

    /// A slot, or none, counted, when all are taken.
    pub fn take(&self, bound: Bound) -> Option<Slot> {
        if bound.gauge(&self.stats).inc_below(self.limit(bound)) {
            return Some(Slot { stats: Arc::clone(&self.stats), bound });
        }
        bound.overflows(&self.stats).inc();
        None
    }

    /// A slot beyond the bound, where refusing would mean to stand still.
    pub fn take_anyway(&self, bound: Bound) -> Slot {
        bound.gauge(&self.stats).inc();
        Slot { stats: Arc::clone(&self.stats), bound }
    }

    /// A connection was made.
    pub fn connected(&self) {
        self.stats.connections.inc();
    }

    /// Somebody waits for a connection because all that may be open are.
    #[must_use]
    pub fn is_short_of_connections(&self) -> bool {
        self.stats.connection_waits.get() > 0
    }

    /// Tries until `attempt` gives something: now, and after each connection or request that ends.
    pub async fn wait_for_connection<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let _waiting = Waiting::on(&self.stats.connection_waits);
        loop {
            let mut freed = std::pin::pin!(self.stats.freed.notified());
            // Before looking: what is freed meanwhile wakes us.
            freed.as_mut().enable();
            if let Some(found) = attempt() {
                return found;
            }
            freed.await;
        }
    }

    /// The most of it.
    #[must_use]
    pub fn limit(&self, bound: Bound) -> u64 {
        let limits = &self.limits;
        u64::from(match bound {
            Bound::Connections => limits.max_connections,
            Bound::Pending => limits.max_pending_requests,
            Bound::Requests => limits.max_requests,
            Bound::Retries => limits.max_retries,
        })
    }

    /// How much is left of it.
    #[must_use]
    pub fn remaining(&self, bound: Bound) -> u64 {
        self.limit(bound).saturating_sub(bound.gauge(&self.stats).get())
    }

    /// Metrics say how much is left.
    #[must_use]
    pub fn track_remaining(&self) -> bool {
        self.limits.track_remaining
    }
}

struct Waiting<'a>(&'a Gauge);

impl<'a> Waiting<'a> {
    fn on(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Waiting(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breakers(max: u32) -> Breakers {
        let limits =
            CircuitBreakers { max_connections: max, max_requests: max, ..CircuitBreakers::default() };
        Breakers::new(limits, Arc::default())
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let breakers = breakers(1);
        let first = breakers.take(Bound::Requests).expect("one");
        assert!(breakers.take(Bound::Requests).is_none());
        assert_eq!((breakers.stats.request_overflows.get(), breakers.remaining(Bound::Requests)), (1, 0));
        drop(first);
        assert!(breakers.take(Bound::Requests).is_some());
        assert!(
            (0..3).map(|_| breakers.take(Bound::Retries)).collect::<Vec<_>>().iter().all(Option::is_some)
        );
    }

    #[test]
    fn zero_lets_nothing_pass() {
        assert!(breakers(0).take(Bound::Connections).is_none());
    }

    #[tokio::test]
    async fn who_waits_for_a_connection_is_woken_by_its_end() {
        let breakers = breakers(1);
        let first = breakers.take(Bound::Connections).expect("one");
        let waiter = tokio::spawn({
            let breakers = breakers.clone();
            async move { breakers.wait_for_connection(|| breakers.take(Bound::Connections)).await }
        });
        while !breakers.is_short_of_connections() {
            tokio::task::yield_now().await;
        }
        drop(first);
        let second = waiter.await.expect("joined");
        assert!(!breakers.is_short_of_connections());
        drop(second);
    }
}
