//! The life of one DNS name: look up, wait for the TTL, look up again; back off while it fails.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::Backoff;
use tokio::time::Instant;

/// An answer is used at least this long, whatever its TTL says.
const TTL_FLOOR: Duration = Duration::from_secs(1);
/// An answer is renewed at least this often, so that a change is seen in time whatever its TTL says.
const TTL_CAP: Duration = Duration::from_secs(30);
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
        let backoff = Backoff::new(Duration::from_secs(1), TTL_CAP);
        Self { host, known: None, backoff, absent_since: None, failing: false }
    }

    /// Takes an answer that came at `now`.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant) -> Outcome {
        match answer {
            Answer::Addresses(mut addresses, ttl) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                self.backoff.reset();
                self.absent_since = None;
                if std::mem::take(&mut self.failing) {
                    tracing::info!(host = %self.host, "the name resolves again");
                }
                Outcome { news: self.learn(addresses), again: ttl.clamp(TTL_FLOOR, TTL_CAP) }
            }
            Answer::Addresses(_, ttl) => {
                self.answered(Answer::Absent(format!("no address, for {} s", ttl.as_secs())), now)
            }
            Answer::Absent(reason) => {
                self.fails(&reason);
                let since = *self.absent_since.get_or_insert(now);
                let over = now.duration_since(since) >= GRACE || self.known.is_none();
                let news = if over { self.learn(Vec::new()) } else { None };
                Outcome { news, again: self.backoff.next() }
            }
            Answer::Failed(reason) => {
                self.fails(&reason);
                // Nobody said that the name does not exist.
                self.absent_since = None;
                // The first outcome is told even if it is a failure: requests should not wait for what may never come.
                let news = if self.known.is_none() { self.learn(Vec::new()) } else { None };
                Outcome { news, again: self.backoff.next() }
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
