//! Counts of one upstream. Written by the engine, read when metrics are scraped; they survive new runtimes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Notify;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// None so far.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One more, if that does not go beyond `limit`; says whether it did.
    pub fn inc_below(&self, limit: u64) -> bool {
        let more = |count: u64| (count < limit).then_some(count.wrapping_add(1));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Responses by status. Memory is taken per hundred that occurs.
#[derive(Debug, Default)]
pub struct Codes([OnceLock<Box<[Counter; 100]>>; 5]);

impl Codes {
    /// Counts a response with this status.
    pub fn inc(&self, status: StatusCode) {
        let code = usize::from(status.as_u16());
        let hundred = (code / 100).checked_sub(1).and_then(|class| self.0.get(class));
        let hundred = hundred
            .map(|hundred| hundred.get_or_init(|| Box::new(std::array::from_fn(|_| Counter::default()))));
        if let Some(counter) = hundred.and_then(|counters| counters.get(code % 100)) {
            counter.inc();
        }
    }

    /// (status, responses), for those that occurred.
    pub fn each(&self) -> impl Iterator<Item = (u16, u64)> {
        (1u16..)
            .zip(&self.0)
            .filter_map(|(class, hundred)| hundred.get().map(|counters| (class, counters)))
            .flat_map(|(class, counters)| {
                (class * 100..)
                    .zip(counters.iter())
                    .map(|(code, count)| (code, count.get()))
                    .filter(|(_, n)| *n > 0)
            })
    }

    /// ("2", responses) for each class that occurred.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["1", "2", "3", "4", "5"]
            .into_iter()
            .zip(&self.0)
            .filter_map(|(class, hundred)| Some((class, hundred.get()?.iter().map(Counter::get).sum())))
    }
}

/// Upper bounds in milliseconds, Envoy's defaults.
const BOUNDS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, 60000.0,
    300000.0, 600000.0, 1800000.0, 3600000.0,
];

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    micros: Counter,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        let at = BOUNDS.partition_point(|bound| *bound < millis);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.inc();
        }
        self.micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Sum in milliseconds, count, and (upper bound, count in that bucket alone).
    #[must_use]
    pub fn snapshot(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.buckets.iter().map(Counter::get)).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "a sum of durations needs no exact microseconds")]
        let sum = self.micros.get() as f64 / 1000.0;
        (sum, count, buckets)
    }
}

/// Active health checks of one upstream.
#[derive(Debug, Default)]
pub struct Checks {
    /// Begun.
    pub attempts: Counter,
    /// Passed.
    pub successes: Counter,
    /// Not passed.
    pub failures: Counter,
    /// Of these, without an answer.
    pub network_failures: Counter,
    /// Of these, by another service.
    pub verify_failures: Counter,
}

/// Ejections of endpoints of one upstream.
#[derive(Debug, Default)]
pub struct Outliers {
    /// All.
    pub enforced: Counter,
    /// Not made, because too many endpoints were out.
    pub overflow: Counter,
    /// For answers of 5xx in a row.
    pub consecutive_5xx: Counter,
    /// For answers of 502, 503 and 504 in a row.
    pub consecutive_gateway: Counter,
    /// For failed connections in a row.
    pub consecutive_local: Counter,
    /// For fewer good answers than the others.
    pub success_rate: Counter,
    /// For fewer good connections than the others.
    pub local_success_rate: Counter,
}

/// What happened on one upstream.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections opened.
    pub connections: Counter,
    /// Connections open now.
    pub connections_active: Gauge,
    /// Connections that could not be opened, timeouts included.
    pub connect_failures: Counter,
    /// Tries begun.
    pub requests: Counter,
    /// Tries that have a connection now.
    pub requests_active: Gauge,
    /// Tries that wait for a connection now.
    pub pending: Gauge,
    /// Retries under way now.
    pub retries_active: Gauge,
    /// Connections that a circuit breaker refused, and requests that waited therefore.
    pub connection_overflows: Counter,
    /// Requests that a circuit breaker refused.
    pub request_overflows: Counter,
    /// Retries that a circuit breaker refused.
    pub retry_overflows: Counter,
    /// Of the pending ones, those that must not open a connection.
    pub(super) connection_waits: Gauge,
    /// A connection or a request ended while some of those waited.
    pub(super) freed: Notify,
    /// Active health checks.
    pub health: Checks,
    /// Outlier detection.
    pub outliers: Outliers,
    /// Tries after the first of a request.
    pub retries: Counter,
    /// Tries that ran into a time limit.
    pub timeouts: Counter,
    /// Tries that the upstream ended without a response.
    pub resets: Counter,
    /// Answers that a client got for requests sent here, local replies included.
    pub responses: Codes,
    /// From the complete request to the end of the answer.
    pub time: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_one_by_one_and_by_class() {
        let codes = Codes::default();
        for code in [200, 200, 204, 503] {
            codes.inc(StatusCode::from_u16(code).unwrap());
        }
        codes.inc(StatusCode::from_u16(799).unwrap());
        assert_eq!(codes.each().collect::<Vec<_>>(), [(200, 2), (204, 1), (503, 1)]);
        assert_eq!(codes.classes().collect::<Vec<_>>(), [("2", 3), ("5", 1)]);
    }

    #[test]
    fn times_fall_into_their_bucket() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(5));
        histogram.observe(Duration::from_millis(6));
        let (sum, count, buckets) = histogram.snapshot();
        assert_eq!((sum, count), (11.0, 2));
        assert_eq!(
            buckets.iter().filter(|(_, n)| *n > 0).copied().collect::<Vec<_>>(),
            [(5.0, 1), (10.0, 1)]
        );
    }
}
