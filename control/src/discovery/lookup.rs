//! The life of one DNS name: look up, wait, look up again; back off while it fails.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::Backoff;
use tokio::time::Instant;

use crate::translate::Pace;

/// The first pause after a failure, which doubles with each; unless names are asked for more often anyway.
const RETRY: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_CAP: Duration = Duration::from_secs(30);
/// An answer is asked for again at least this often, however long it says that it is valid.
const TTL_CAP: Duration = Duration::from_secs(86_400);
/// How long the addresses of a name stay after the name was said not to exist.
const GRACE: Duration = Duration::from_secs(30);

/// What a resolver says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its IPv4 addresses and how long they are valid.
    Addresses(Vec<Ipv4Addr>, Duration),
    /// The name does not exist, or has no IPv4 address.
    Absent(String),
    /// It could not be found out.
    Failed(String),
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Sorted. Empty before the first answer and after a name's end.
    pub addresses: Vec<Ipv4Addr>,
}

/// How often a name is looked up that several upstreams may have, each with a pace of its own: as the quickest wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rhythm {
    /// The shortest of those who do not look at TTLs.
    steady: Option<Duration>,
    /// The shortest of those who do, for answers that are not valid for any time.
    by_ttl: Option<Duration>,
}

impl Rhythm {
    /// Of one upstream.
    pub(super) fn of(pace: Pace) -> Self {
        match pace.respects_ttl {
            true => Self { steady: None, by_ttl: Some(pace.refresh) },
            false => Self { steady: Some(pace.refresh), by_ttl: None },
        }
    }

    /// Of both.
    pub(super) fn and(self, other: Self) -> Self {
        let least = |a: Option<Duration>, b: Option<Duration>| a.into_iter().chain(b).min();
        Self { steady: least(self.steady, other.steady), by_ttl: least(self.by_ttl, other.by_ttl) }
    }

    /// The time after an answer that is valid for `ttl`.
    fn after(self, ttl: Duration) -> Duration {
        let by_ttl = self.by_ttl.map(|refresh| if ttl.is_zero() { refresh } else { ttl.min(TTL_CAP) });
        self.steady.into_iter().chain(by_ttl).min().unwrap_or(RETRY_CAP)
    }

    /// The time after a failure whose turn it is to wait `backoff`.
    fn after_failure(self, backoff: Duration) -> Duration {
        let least = self.steady.into_iter().chain(self.by_ttl).min().unwrap_or(RETRY_CAP);
        backoff.min(least)
    }
}

/// The rules for one name, without sockets or tasks.
pub(super) struct Life {
    host: Arc<str>,
    known: Option<Known>,
    backoff: Backoff,
    absent_since: Option<Instant>,
    failing: bool,
}

/// What an answer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What is known now, if that is new.
    pub news: Option<Known>,
    /// When to look up again.
    pub again: Duration,
}

impl Life {
    pub(super) fn new(host: Arc<str>) -> Self {
        let backoff = Backoff::new(RETRY, RETRY_CAP);
        Self { host, known: None, backoff, absent_since: None, failing: false }
    }

    /// Takes an answer that came at `now`.
    pub(super) fn answered(&mut self, answer: Answer, rhythm: Rhythm, now: Instant) -> Outcome {
        match answer {
            Answer::Addresses(mut addresses, ttl) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                self.backoff.reset();
                self.absent_since = None;
                if std::mem::take(&mut self.failing) {
                    tracing::info!(host = %self.host, "the name resolves again");
                }
                Outcome { news: self.learn(addresses), again: rhythm.after(ttl) }
            }
            Answer::Addresses(_, ttl) => {
                self.answered(Answer::Absent(format!("no address, for {} s", ttl.as_secs())), rhythm, now)
            }
            Answer::Absent(reason) => {
                self.fails(&reason);
                let since = *self.absent_since.get_or_insert(now);
                let over = now.duration_since(since) >= GRACE || self.known.is_none();
                let news = if over { self.learn(Vec::new()) } else { None };
                Outcome { news, again: rhythm.after_failure(self.backoff.next()) }
            }
            Answer::Failed(reason) => {
                self.fails(&reason);
                // Nobody said that the name does not exist.
                self.absent_since = None;
                // The first outcome is told even if it is a failure: requests should not wait for what may never come.
                let news = if self.known.is_none() { self.learn(Vec::new()) } else { None };
                Outcome { news, again: rhythm.after_failure(self.backoff.next()) }
            }
        }
    }

    fn learn(&mut self, addresses: Vec<Ipv4Addr>) -> Option<Known> {
        let known = Known { addresses };
        if self.known.as_ref() == Some(&known) {
            return None;
        }
        self.known = Some(known.clone());
        Some(known)
    }

    fn fails(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            let kept = self.known.as_ref().map_or(0, |known| known.addresses.len());
            tracing::warn!(host = %self.host, reason, addresses_kept = kept, "a name cannot be resolved");
        }
    }
}
