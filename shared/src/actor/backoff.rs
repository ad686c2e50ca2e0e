//! Exponential backoff between restarts or reconnects.

use std::time::Duration;

/// Doubles from `first` to `max` with each [`next`](Backoff::next); [`reset`](Backoff::reset) starts over.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    current: Option<Duration>,
}

impl Backoff {
    /// A backoff that starts at `first` and never exceeds `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, current: None }
    }

    /// 100 ms to 5 s: what supervisors and the link use.
    #[must_use]
    pub const fn standard() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// How long to wait before the next try.
    #[allow(clippy::should_implement_trait, reason = "an endless sequence, not an iterator to be collected")]
    pub fn next(&mut self) -> Duration {
        let now = self.current.map_or(self.first, |d| d.saturating_mul(2)).min(self.max);
        self.current = Some(now);
        now
    }

    /// After a success: the next wait is the first one again.
    pub fn reset(&mut self) {
        self.current = None;
    }
}
