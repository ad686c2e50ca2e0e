//! A token bucket that threads share without a lock.
//!
//! It holds one number, the time up to which tokens are spoken for. Tokens come one by one, evenly spread over the
//! interval, as in Envoy. Must not know what is counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Size and filling of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What it holds, and what is in it at first.
    pub max: u32,
    /// So many tokens come
    pub per_fill: u32,
    /// within so much time.
    pub interval: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Bucket {
    rule: Rule,
    /// Time between two tokens, in nanoseconds.
    step: u64,
    /// Time in which an empty bucket fills, in nanoseconds.
    span: u64,
    begun: Instant,
    /// In nanoseconds since `begun`, `span` ahead.
    spoken_for: AtomicU64,
}

/// What is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Size of the bucket.
    pub limit: u32,
    /// Whole tokens.
    pub remaining: u32,
    /// Until there is one, if there is none now.
    pub reset: Duration,
}

type Key = (Box<str>, Rule);

/// The buckets in use. Looked at when configuration is made executable, never for a request.
static SHARED: LazyLock<Mutex<HashMap<Key, Weak<Bucket>>>> = LazyLock::new(Mutex::default);

impl Bucket {
    /// A full bucket.
    pub fn new(rule: Rule) -> Self {
        let interval = u64::try_from(rule.interval.as_nanos()).unwrap_or(u64::MAX);
        let step = (interval / u64::from(rule.per_fill.max(1))).max(1);
        // A hundred years are as good as for ever, and leave room for sums.
        let span = step.saturating_mul(u64::from(rule.max)).min(u64::MAX / 4);
        Bucket { rule, step, span, begun: Instant::now(), spoken_for: AtomicU64::new(0) }
    }

    /// The bucket of that scope and rule, as long as somebody uses it: all routes of a virtual host share one, and new
    /// configuration goes on with what is in it.
    pub fn shared(scope: &str, rule: Rule) -> Arc<Self> {
        let mut shared = SHARED.lock();
        shared.retain(|_, bucket| bucket.strong_count() > 0);
        let key = (Box::from(scope), rule);
        if let Some(bucket) = shared.get(&key).and_then(Weak::upgrade) {
            return bucket;
        }
        let bucket = Arc::new(Bucket::new(rule));
        shared.insert(key, Arc::downgrade(&bucket));
        bucket
    }

    /// Takes a token, if there is one.
    pub fn take(&self) -> bool {
        self.take_at(self.now())
    }

    /// What is in it.
    pub fn level(&self) -> Level {
        self.level_at(self.now())
    }

    /// `span` ahead, so that there is room below for a full bucket.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX / 2).saturating_add(self.span)
    }

    fn take_at(&self, now: u64) -> bool {
        let full = now.saturating_sub(self.span);
        let taken = |spoken_for: u64| {
            let next = spoken_for.max(full).saturating_add(self.step);
            (next <= now).then_some(next)
        };
        self.spoken_for.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn level_at(&self, now: u64) -> Level {
        let spoken_for = self.spoken_for.load(Ordering::Relaxed).max(now.saturating_sub(self.span));
        let free = now.saturating_sub(spoken_for);
        let remaining = u32::try_from(free / self.step).unwrap_or(u32::MAX).min(self.rule.max);
        let wait = if remaining > 0 { 0 } else { self.step.saturating_sub(free) };
        Level { limit: self.rule.max, remaining, reset: Duration::from_nanos(wait) }
    }
}

/// Buckets of one connection, each in place of one that others share. Their own requests are all that wait for the lock.
#[derive(Debug, Default)]
pub struct Own(Mutex<Vec<(Arc<Bucket>, Arc<Bucket>)>>);

impl Own {
    /// This connection's bucket in place of `shared`.
    pub fn of(&self, shared: &Arc<Bucket>) -> Arc<Bucket> {
        let mut all = self.0.lock();
        if let Some((_, own)) = all.iter().find(|(of, _)| Arc::ptr_eq(of, shared)) {
            return own.clone();
        }
        // Those of former configurations are of no use to anyone.
        all.retain(|(of, _)| Arc::strong_count(of) > 1);
        let own = Arc::new(Bucket::new(shared.rule));
        all.push((shared.clone(), own.clone()));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rule(max: u32, per_fill: u32) -> Rule {
        Rule { max, per_fill, interval: Duration::from_secs(1) }
    }

    #[test]
    fn tokens_are_taken_and_come_back_evenly() {
        let bucket = Bucket::new(rule(3, 2));
        let start = bucket.span;
        assert_eq!(bucket.level_at(start), Level { limit: 3, remaining: 3, reset: Duration::ZERO });
        let taken = (0..5).filter(|_| bucket.take_at(start)).count();
        assert_eq!(taken, 3);
        assert_eq!(bucket.level_at(start).remaining, 0);
        assert!(!bucket.take_at(start + SECOND / 2 - 1));
        assert!(bucket.take_at(start + SECOND / 2));
        assert!(!bucket.take_at(start + SECOND / 2));
        // It never holds more than fits, however long nobody comes.
        let late = start + 1000 * SECOND;
        assert_eq!((0..9).filter(|_| bucket.take_at(late)).count(), 3);
        assert_eq!(bucket.level_at(late).reset, Duration::from_millis(500));
    }

    #[test]
    fn threads_share_what_there_is() {
        let bucket = Bucket::new(Rule { interval: Duration::from_secs(3600), ..rule(1000, 1) });
        let taken: usize = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| bucket.take()).count())).collect();
            workers.into_iter().map(|worker| worker.join().expect("joined")).sum()
        });
        assert_eq!(taken, 1000);
    }

    #[test]
    fn a_scope_has_one_bucket_while_it_is_used() {
        let one = Bucket::shared("a test", rule(1, 1));
        assert!(Arc::ptr_eq(&one, &Bucket::shared("a test", rule(1, 1))));
        assert!(!Arc::ptr_eq(&one, &Bucket::shared("another", rule(1, 1))));
        assert!(!Arc::ptr_eq(&one, &Bucket::shared("a test", rule(2, 1))));
        assert!(one.take());
        drop(one);
        assert!(Bucket::shared("a test", rule(1, 1)).take(), "a new one is full");
    }

    #[test]
    fn the_largest_rules_do_not_overflow() {
        let day = Duration::from_secs(86_400 * 365);
        let bucket = Bucket::new(Rule { max: u32::MAX, per_fill: 1, interval: day });
        assert!(bucket.take());
        let bucket =
            Bucket::new(Rule { max: u32::MAX, per_fill: u32::MAX, interval: Duration::from_millis(50) });
        assert!(bucket.take() && bucket.level().remaining > 0);
    }
}
