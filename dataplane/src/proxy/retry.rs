//! Whether a try is followed by another one.
//!
//! Owns the rule: what the route asks for, within what is safe. A route with a retry rule has said that its requests may
//! be sent twice; without one only a request that cannot have had an effect is sent again, on a connection that turned
//! out to be closed. Must not wait or send.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode};

use super::failure::{Failure, Kind};
use crate::policy::retry::{Reset, Retry};
use crate::upstream::{Bound, Breakers, Slot};

/// Repeats without a retry rule: each one found a pooled connection dead, and there may be several of them.
const RECONNECTS: u32 = 3;

/// See the module.
pub(super) struct Retries<'a> {
    rule: Option<&'a Retry>,
    breakers: &'a Breakers,
    /// Of the retry that runs.
    slot: Option<Slot>,
    /// A circuit breaker refused one that the rule wanted.
    pub(super) overflowed: bool,
    idempotent: bool,
    /// Retries by rule so far.
    done: u32,
    reconnects: u32,
    /// Another try was wanted and there are none left.
    pub(super) exhausted: bool,
}

/// What follows a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Its result is the answer.
    Answer,
    /// Another try, after a pause, on another endpoint.
    Again(Duration),
    /// The same once more, at once: the connection was stale.
    Reconnect,
}

impl<'a> Retries<'a> {
    pub(super) fn new(rule: Option<&'a Retry>, breakers: &'a Breakers, method: &Method) -> Self {
        Retries {
            rule,
            breakers,
            slot: None,
            overflowed: false,
            idempotent: method.is_idempotent(),
            done: 0,
            reconnects: 0,
            exhausted: false,
        }
    }

    /// There was a retry by rule. A new connection in the place of one that lay too long is none.
    pub(super) fn repeated(&self) -> bool {
        self.done > 0
    }

    /// After a try without a response header. `rewinds`: the request can be sent from the start; `reused`: the try was
    /// on a connection that had been used before.
    pub(super) fn after_failure(&mut self, failure: &Failure, rewinds: bool, reused: bool) -> Next {
        // More of the same is what a full upstream needs least.
        if !rewinds || failure.kind == Kind::Overflow {
            return Next::Answer;
        }
        if reused
            && matches!(failure.kind, Kind::Unsent | Kind::Refused | Kind::Reset)
            && (self.idempotent || failure.nothing_done())
            && self.reconnects < RECONNECTS
        {
            self.reconnects += 1;
            return Next::Reconnect;
        }
        self.by_rule(|rule| rule.wants_reset(reset(failure.kind)))
    }

    /// After a try that took too long.
    pub(super) fn after_timeout(&mut self, rewinds: bool) -> Next {
        if rewinds { self.by_rule(|rule| rule.wants_reset(Reset::AfterRequest)) } else { Next::Answer }
    }

    /// After a response header.
    pub(super) fn after_response(&mut self, status: StatusCode, headers: &HeaderMap, rewinds: bool) -> Next {
        if !rewinds {
            return Next::Answer;
        }
        match (self.by_rule(|rule| rule.wants_response(status, headers)), self.rule) {
            (Next::Again(pause), Some(rule)) if !rule.resets.is_empty() => {
                Next::Again(rule.asked_pause(headers, SystemTime::now(), fastrand::f64()).unwrap_or(pause))
            }
            (next, _) => next,
        }
    }

    fn by_rule(&mut self, wants: impl FnOnce(&Retry) -> bool) -> Next {
        let Some(rule) = self.rule.filter(|rule| wants(rule)) else { return Next::Answer };
        if self.done >= rule.num_retries {
            self.exhausted = true;
            return Next::Answer;
        }
        // The one before is over.
        self.slot = None;
        self.slot = self.breakers.take(Bound::Retries);
        if self.slot.is_none() {
            self.overflowed = true;
            return Next::Answer;
        }
        self.done += 1;
        Next::Again(rule.pause(self.done, fastrand::f64()))
    }
}

fn reset(kind: Kind) -> Reset {
    match kind {
        Kind::Connect | Kind::ConnectTimeout | Kind::Overflow => Reset::Connect,
        Kind::Refused => Reset::Refused,
        Kind::Unsent => Reset::BeforeRequest,
        Kind::Reset | Kind::Protocol => Reset::AfterRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::retry::RetryOn;
    use portcullis_shared::table::CircuitBreakers;

    fn failure(kind: Kind) -> Failure {
        Failure::new(kind, "x")
    }

    fn breakers(max_retries: u32) -> Breakers {
        let limits = CircuitBreakers { max_retries, ..CircuitBreakers::default() };
        Breakers::new(limits, std::sync::Arc::default())
    }

    fn rule(on: RetryOn, num_retries: u32) -> Retry {
        Retry {
            on,
            num_retries,
            per_try_timeout: None,
            base_interval: Duration::from_millis(1),
            max_interval: Duration::from_millis(1),
            status_codes: Default::default(),
            headers: Vec::new(),
            resets: Default::default(),
            reset_max: Duration::from_secs(300),
        }
    }

    #[test]
    fn without_a_rule_only_stale_connections_are_left() {
        let breakers = breakers(3);
        let mut get = Retries::new(None, &breakers, &Method::GET);
        assert_eq!(get.after_failure(&failure(Kind::Reset), true, false), Next::Answer);
        assert_eq!(get.after_failure(&failure(Kind::Reset), true, true), Next::Reconnect);
        assert_eq!(get.after_failure(&failure(Kind::Reset), false, true), Next::Answer, "the body is gone");
        assert_eq!(get.after_failure(&failure(Kind::Protocol), true, true), Next::Answer);
        let mut post = Retries::new(None, &breakers, &Method::POST);
        assert_eq!(
            post.after_failure(&failure(Kind::Reset), true, true),
            Next::Answer,
            "it may have had its effect"
        );
        assert_eq!(post.after_failure(&failure(Kind::Unsent), true, true), Next::Reconnect);
    }

    #[test]
    fn reconnects_end() {
        let breakers = breakers(3);
        let mut get = Retries::new(None, &breakers, &Method::GET);
        let reconnects =
            (0..10).filter(|_| get.after_failure(&failure(Kind::Reset), true, true) == Next::Reconnect);
        assert_eq!(reconnects.count(), 3);
    }

    #[test]
    fn a_rule_counts_its_retries() {
        let breakers = breakers(3);
        let rule = rule(RetryOn::FIVE_XX, 2);
        let mut post = Retries::new(Some(&rule), &breakers, &Method::POST);
        let again = |next| matches!(next, Next::Again(_));
        assert!(again(post.after_response(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), true)));
        assert!(again(post.after_timeout(true)));
        assert!(!post.exhausted);
        assert!(!again(post.after_failure(&failure(Kind::Connect), true, false)));
        assert!(post.exhausted);
        let mut post = Retries::new(Some(&rule), &breakers, &Method::POST);
        assert!(!again(post.after_response(StatusCode::NOT_FOUND, &HeaderMap::new(), true)));
        assert!(!again(post.after_response(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), false)));
    }

    #[test]
    fn a_retry_that_a_breaker_refuses_is_not_made() {
        let (rule, breakers) = (rule(RetryOn::FIVE_XX, 2), breakers(1));
        let (mut first, mut second) = (
            Retries::new(Some(&rule), &breakers, &Method::GET),
            Retries::new(Some(&rule), &breakers, &Method::GET),
        );
        let again = |next| matches!(next, Next::Again(_));
        assert!(again(first.after_timeout(true)));
        assert!(!again(second.after_timeout(true)) && second.overflowed);
        assert!(again(first.after_timeout(true)), "its own slot is free for its next one");
        drop(first);
        assert!(again(second.after_timeout(true)));
        assert_eq!(second.after_failure(&failure(Kind::Overflow), true, false), Next::Answer);
    }
}
