//! Counts of one upstream. Written by the engine, read when metrics are scraped; they survive new runtimes.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
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
    /// Tries running now.
    pub requests_active: Gauge,
    /// Tries after the first of a request.
    pub retries: Counter,
    /// Tries that ran into a time limit.
    pub timeouts: Counter,
    /// Tries that the upstream ended without a response.
    pub resets: Counter,
    /// Responses by class, 1xx to 5xx.
    responses: [Counter; 5],
}

impl Stats {
    /// Counts a response with this status.
    pub fn response(&self, status: http::StatusCode) {
        if let Some(counter) =
            usize::from(status.as_u16() / 100).checked_sub(1).and_then(|i| self.responses.get(i))
        {
            counter.inc();
        }
    }

    /// ("2xx", responses of that class).
    pub fn responses(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(self.responses.iter().map(Counter::get))
    }
}
