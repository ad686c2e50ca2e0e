//! Protection from running out of memory: what the worker uses is held against what it may use, beside the requests, and
//! what it takes on follows.
//!
//! | level | from | until below | what happens |
//! |---|---|---|---|
//! | calm | | | |
//! | tight | 85 % | 75 % | no new connections; the present ones end, at the latest after the time of a drain |
//! | full | 95 % | 85 % | requests are answered 503 `overload` |
//!
//! Owns the level. A request reads one number that hardly ever changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use portcullis_shared::actor::BoxError;
use portcullis_shared::memory;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;
use tokio::time::Instant;

/// Percent of the limit at which a level begins, and below which it ends.
const TIGHT: (u64, u64) = (85, 75);
const FULL: (u64, u64) = (95, 85);
/// Between two looks while less than half of the limit is used, and while more is.
const CALM_PERIOD: Duration = Duration::from_millis(250);
const BUSY_PERIOD: Duration = Duration::from_millis(50);
/// While the level is not calm, data threads give back what they have freed this often.
const NUDGE: Duration = Duration::from_secs(1);
/// At other times this often, if so many more bytes are used than after the last time.
const RARE_NUDGE: Duration = Duration::from_secs(10);
const GROWTH: u64 = 32 << 20;
/// Allocations after which the allocator has looked for pages to give back to the system at least once (its
/// `generic_collect` option, of those that do not come from a page at hand).
const ALLOCATIONS: usize = 11_000;
/// Bytes of each: too large to come from a page at hand, and never touched.
const ALLOCATION: usize = 256 * 1024;

/// How scarce memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Enough.
    #[default]
    Calm,
    /// Nothing more is taken on.
    Tight,
    /// Requests are refused.
    Full,
}

impl Level {
    /// The level after `used` of `limit` bytes were seen at this level.
    fn after(self, used: u64, limit: u64) -> Self {
        let above = |percent: u64| used >= limit / 100 * percent;
        let holds = |level: Self, (begin, end): (u64, u64)| above(if self >= level { end } else { begin });
        if holds(Self::Full, FULL) {
            Self::Full
        } else if holds(Self::Tight, TIGHT) {
            Self::Tight
        } else {
            Self::Calm
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Tight => "tight",
            Self::Full => "full",
        }
    }
}

/// What the data threads are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// The level.
    pub level: Level,
    /// Grows when freed memory should be given back.
    pub nudge: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Overload {
    level: AtomicU8,
    told: watch::Sender<Told>,
    limit: Option<u64>,
    used: AtomicU64,
    /// How often each level began.
    tight: AtomicU64,
    full: AtomicU64,
}

impl Overload {
    /// Holds the worker below `limit` bytes. Without a limit it is always calm.
    #[must_use]
    pub fn new(limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            level: AtomicU8::default(),
            told: watch::Sender::new(Told::default()),
            limit,
            used: AtomicU64::default(),
            tight: AtomicU64::default(),
            full: AtomicU64::default(),
        })
    }

    /// No new connections.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Level::Tight as u8
    }

    /// No new requests.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.level.load(Ordering::Relaxed) >= Level::Full as u8
    }

    /// Tells of changes.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }

    /// Takes note of what is used, in bytes.
    pub fn see(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
        let Some(limit) = self.limit else { return };
        let before = self.told.borrow().level;
        let level = before.after(used, limit);
        if level == before {
            return;
        }
        if level > before {
            tracing::warn!(level = level.name(), used, limit, "memory is scarce");
            let count = if level == Level::Full { &self.full } else { &self.tight };
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            tracing::info!(level = level.name(), used, limit, "memory is less scarce");
        }
        self.level.store(level as u8, Ordering::Relaxed);
        self.told.send_modify(|told| told.level = level);
    }

    fn period(&self) -> Duration {
        let used = self.used.load(Ordering::Relaxed);
        if self.limit.is_some_and(|limit| used > limit / 2) { BUSY_PERIOD } else { CALM_PERIOD }
    }
}

/// Watches until the worker ends.
///
/// # Errors
/// None.
pub async fn run(overload: Arc<Overload>) -> Result<(), BoxError> {
    if let Some(limit) = overload.limit {
        tracing::info!(limit, "memory is watched");
    }
    let mut nudges = Nudges { last: Instant::now(), kept: memory::used().unwrap_or_default() };
    loop {
        if let Some(used) = memory::used() {
            overload.see(used);
            if nudges.is_due(overload.is_tight(), used) {
                overload.told.send_modify(|told| told.nudge += 1);
            }
        }
        tokio::time::sleep(overload.period()).await;
    }
}

/// When freed memory is given back.
struct Nudges {
    last: Instant,
    /// What was used some time after the last nudge: it was not free.
    kept: u64,
}

impl Nudges {
    fn is_due(&mut self, tight: bool, used: u64) -> bool {
        self.kept = self.kept.min(used);
        let passed = self.last.elapsed();
        if passed < if tight { NUDGE } else { RARE_NUDGE } || (!tight && used < self.kept + GROWTH) {
            return false;
        }
        self.last = Instant::now();
        // Falls with what is given back, and else says that there was nothing.
        self.kept = used;
        true
    }
}

/// Has the allocator of this thread give back what was freed: it looks for that only while it is asked for memory, which
/// nobody does when nothing is taken on.
pub fn give_back() {
    for _ in 0..ALLOCATIONS {
        std::hint::black_box(Vec::<u8>::with_capacity(ALLOCATION));
    }
}

impl Collector for Overload {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let number = |count: &AtomicU64| i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let level = i64::from(self.level.load(Ordering::Relaxed));
        let limit = self.limit.map_or(0, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        for (name, help, value) in [
            ("memory_used_bytes", "Memory that the worker uses", number(&self.used)),
            ("memory_limit_bytes", "Memory that it may use; 0 without a limit", limit),
            ("overload_level", "0 calm, 1 tight: no new connections, 2 full: no new requests", level),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let (name, help) = ("overloads", "How often a level of overload began");
        let counter = ConstCounter::new(0_u64);
        let mut family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
        for (level, count) in [("tight", &self.tight), ("full", &self.full)] {
            let counter = ConstCounter::new(count.load(Ordering::Relaxed));
            counter.encode(family.encode_family(&[("level", level)])?)?;
        }
        Ok(())
    }
}

/// Shared, where a registry wants to own it.
#[derive(Debug)]
pub struct Shown(pub Arc<Overload>);

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_high_and_end_lower() {
        let mut level = Level::Calm;
        let mut course = Vec::new();
        for used in [10, 84, 85, 80, 76, 74, 84, 96, 90, 86, 84, 80, 94, 74, 99, 50] {
            level = level.after(used * 1000, 100_000);
            course.push((used, level as u8));
        }
        let wanted = [
            (10, 0),
            (84, 0),
            (85, 1),
            (80, 1),
            (76, 1),
            (74, 0),
            (84, 0),
            (96, 2),
            (90, 2),
            (86, 2),
            (84, 1),
            (80, 1),
            (94, 1),
            (74, 0),
            (99, 2),
            (50, 0),
        ];
        assert_eq!(course, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn freed_memory_is_given_back_often_when_it_is_scarce_and_else_when_much_was_used() {
        let mut nudges = Nudges { last: Instant::now(), kept: GROWTH };
        assert!(!nudges.is_due(true, GROWTH));
        tokio::time::advance(NUDGE).await;
        assert!(nudges.is_due(true, GROWTH) && !nudges.is_due(true, GROWTH));
        tokio::time::advance(RARE_NUDGE).await;
        assert!(!nudges.is_due(false, GROWTH + 1), "there is nothing to gain");
        assert!(nudges.is_due(false, 3 * GROWTH));
        // It was in use.
        tokio::time::advance(RARE_NUDGE).await;
        assert!(!nudges.is_due(false, 3 * GROWTH));
        assert!(!nudges.is_due(false, GROWTH), "now it is not");
        assert!(nudges.is_due(false, 2 * GROWTH));
    }

    #[test]
    fn the_level_is_told_and_counted() {
        let overload = Overload::new(Some(1000));
        let told = overload.follow();
        overload.see(900);
        assert!(overload.is_tight() && !overload.is_full());
        overload.see(990);
        assert!(overload.is_full());
        assert_eq!(told.borrow().level, Level::Full);
        overload.see(10);
        assert!(!overload.is_tight());
        let mut registry = prometheus_client::registry::Registry::with_prefix("portcullis");
        registry.register_collector(Box::new(Shown(overload)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "portcullis_memory_used_bytes 10",
            "portcullis_overload_level 0",
            "portcullis_overloads_total{level=\"full\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let unlimited = Overload::new(None);
        unlimited.see(u64::MAX);
        assert!(!unlimited.is_tight());
    }
}
