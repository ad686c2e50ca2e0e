//! Outlier detection: an endpoint on which requests go wrong is left out for a while.
//!
//! Requests write a few counters; that one of them has reached its bound is told to the upstream's care task, which is
//! the only one that ejects and takes back. The rules are Envoy's, whose names the counters have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use portcullis_shared::table::OutlierDetection;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::stats::{Counter, Stats};

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Counts {
    consecutive_5xx: AtomicU32,
    consecutive_gateway: AtomicU32,
    consecutive_local: AtomicU32,
    answers: Rate,
    connections: Rate,
    /// Kinds that have reached their bound, as bits.
    suspected: AtomicU8,
    /// Only the care task writes it.
    ejection: Mutex<Ejection>,
}

/// How much of something went well since the last look.
#[derive(Debug, Default)]
struct Rate {
    good: AtomicU64,
    all: AtomicU64,
}

impl Rate {
    fn count(&self, good: bool) {
        self.all.fetch_add(1, Relaxed);
        if good {
            self.good.fetch_add(1, Relaxed);
        }
    }

    /// In percent, if there was enough.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    fn take(&self, volume: u32) -> Option<f64> {
        let (good, all) = (self.good.swap(0, Relaxed), self.all.swap(0, Relaxed));
        (all > 0 && all >= u64::from(volume)).then(|| 100.0 * good as f64 / all as f64)
    }
}

#[derive(Debug, Default)]
struct Ejection {
    since: Option<Instant>,
    /// How often in short order.
    times: u32,
}

/// Why an endpoint is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Consecutive5xx,
    ConsecutiveGateway,
    ConsecutiveLocal,
    SuccessRate,
    LocalSuccessRate,
}

impl Kind {
    const CONSECUTIVE: [Kind; 3] = [Kind::Consecutive5xx, Kind::ConsecutiveGateway, Kind::ConsecutiveLocal];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The longest that growth makes an ejection, unless the first one is longer.
const LONGEST: Duration = Duration::from_secs(300);

/// Judges the endpoints of one form of an upstream.
#[derive(Debug)]
pub(super) struct Judge {
    rules: OutlierDetection,
    stats: Arc<Stats>,
    suspects: Notify,
}

impl Judge {
    pub(super) fn new(rules: OutlierDetection, stats: Arc<Stats>) -> Self {
        Self { rules, stats, suspects: Notify::new() }
    }

    pub(super) fn interval(&self) -> Duration {
        self.rules.interval
    }

    /// Ends when a counter has reached its bound.
    pub(super) async fn suspicion(&self) {
        self.suspects.notified().await;
    }

    /// An answer of the endpoint's own.
    pub(super) fn answered(&self, endpoint: &Endpoint, status: StatusCode) {
        let counts = &endpoint.state().outlier;
        if self.rules.split_external_local_origin_errors {
            counts.consecutive_local.store(0, Relaxed);
            counts.connections.count(true);
        }
        self.count(counts, status);
    }

    /// No answer. `status` is what stands for it where that is not told apart.
    pub(super) fn unanswered(&self, endpoint: &Endpoint, status: StatusCode) {
        let counts = &endpoint.state().outlier;
        if self.rules.split_external_local_origin_errors {
            counts.connections.count(false);
            let bound = self.rules.consecutive_local_origin_failure;
            self.bump(counts, &counts.consecutive_local, bound, Kind::ConsecutiveLocal);
        } else {
            self.count(counts, status);
        }
    }

    fn count(&self, counts: &Counts, status: StatusCode) {
        counts.answers.count(!status.is_server_error());
        if !status.is_server_error() {
            counts.consecutive_5xx.store(0, Relaxed);
            counts.consecutive_gateway.store(0, Relaxed);
            return;
        }
        if (502..=504).contains(&status.as_u16()) {
            let bound = self.rules.consecutive_gateway_failure;
            self.bump(counts, &counts.consecutive_gateway, bound, Kind::ConsecutiveGateway);
        } else {
            counts.consecutive_gateway.store(0, Relaxed);
        }
        self.bump(counts, &counts.consecutive_5xx, self.rules.consecutive_5xx, Kind::Consecutive5xx);
    }

    fn bump(&self, counts: &Counts, counter: &AtomicU32, bound: u32, kind: Kind) {
        if counter.fetch_add(1, Relaxed).saturating_add(1) == bound {
            counts.suspected.fetch_or(kind.bit(), Relaxed);
            self.suspects.notify_one();
        }
    }

    /// Looks at those whose counters have reached their bounds. Says whether one was ejected.
    pub(super) fn eject_suspects(&self, list: &[Arc<Endpoint>]) -> bool {
        let mut ejected = false;
        for endpoint in list {
            let counts = &endpoint.state().outlier;
            let suspected = counts.suspected.swap(0, Relaxed);
            for kind in Kind::CONSECUTIVE.into_iter().filter(|kind| suspected & kind.bit() != 0) {
                // Whatever comes of it, it takes as many again to be suspected again.
                match kind {
                    Kind::Consecutive5xx => counts.consecutive_5xx.store(0, Relaxed),
                    Kind::ConsecutiveGateway => counts.consecutive_gateway.store(0, Relaxed),
                    _ => counts.consecutive_local.store(0, Relaxed),
                }
                ejected |= self.eject(endpoint, kind, list);
            }
        }
        ejected
    }

    /// The look of each interval: takes back whose time is over, and compares success rates. Says whether anything has
    /// changed.
    pub(super) fn look(&self, list: &[Arc<Endpoint>]) -> bool {
        let mut changed = false;
        for endpoint in list {
            let state = endpoint.state();
            let mut ejection = state.outlier.ejection.lock();
            match ejection.since {
                Some(since) if since.elapsed() >= self.duration(ejection.times) => {
                    ejection.since = None;
                    drop(ejection);
                    self.take_back(endpoint);
                    changed = true;
                }
                Some(_) => {}
                None => ejection.times = ejection.times.saturating_sub(1),
            }
        }
        let rates = |rate: fn(&Counts) -> &Rate| -> Vec<(Arc<Endpoint>, f64)> {
            let of = |endpoint: &Arc<Endpoint>| {
                let percent = rate(&endpoint.state().outlier).take(self.rules.success_rate_request_volume)?;
                (!endpoint.is_ejected()).then(|| (Arc::clone(endpoint), percent))
            };
            list.iter().filter_map(of).collect()
        };
        for (rates, kind) in [
            (rates(|counts| &counts.answers), Kind::SuccessRate),
            (rates(|counts| &counts.connections), Kind::LocalSuccessRate),
        ] {
            for (endpoint, _) in self.below_the_others(rates) {
                changed |= self.eject(&endpoint, kind, list);
            }
        }
        changed
    }

    fn below_the_others(&self, rates: Vec<(Arc<Endpoint>, f64)>) -> Vec<(Arc<Endpoint>, f64)> {
        let least = usize::try_from(self.rules.success_rate_minimum_hosts).unwrap_or(usize::MAX);
        if rates.is_empty() || rates.len() < least {
            return Vec::new();
        }
        #[expect(clippy::cast_precision_loss, reason = "nobody has so many endpoints")]
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
        let factor = f64::from(self.rules.success_rate_stdev_factor) / 1000.0;
        let threshold = mean - factor * variance.sqrt();
        rates.into_iter().filter(|(_, rate)| *rate < threshold).collect()
    }

    fn eject(&self, endpoint: &Endpoint, kind: Kind, list: &[Arc<Endpoint>]) -> bool {
        if endpoint.is_ejected() {
            return false;
        }
        let out = list.iter().filter(|one| one.is_ejected()).count();
        let allowed = usize::try_from(self.rules.max_ejection_percent).unwrap_or(0) * list.len();
        if (out + 1) * 100 > allowed {
            self.stats.outliers.overflow.inc();
            return false;
        }
        let (enforcing, counter) = self.enforcing(kind);
        if fastrand::u32(0..100) >= enforcing {
            return false;
        }
        counter.inc();
        self.stats.outliers.enforced.inc();
        let state = endpoint.state();
        let mut ejection = state.outlier.ejection.lock();
        ejection.since = Some(Instant::now());
        if self.rules.base_ejection_time.saturating_mul(ejection.times) < self.longest() {
            ejection.times = ejection.times.saturating_add(1);
        }
        state.ejected.store(true, Relaxed);
        tracing::info!(endpoint = %endpoint.address, reason = ?kind, "endpoint ejected");
        true
    }

    /// The endpoint gets requests again.
    pub(super) fn take_back(&self, endpoint: &Endpoint) {
        let state = endpoint.state();
        let counts = &state.outlier;
        for counter in [&counts.consecutive_5xx, &counts.consecutive_gateway, &counts.consecutive_local] {
            counter.store(0, Relaxed);
        }
        counts.ejection.lock().since = None;
        state.ejected.store(false, Relaxed);
        tracing::info!(endpoint = %endpoint.address, "endpoint taken back");
    }

    fn longest(&self) -> Duration {
        self.rules.base_ejection_time.max(LONGEST)
    }

    fn duration(&self, times: u32) -> Duration {
        self.rules.base_ejection_time.saturating_mul(times).min(self.longest())
    }

    fn enforcing(&self, kind: Kind) -> (u32, &Counter) {
        let (rules, stats) = (&self.rules, &self.stats.outliers);
        match kind {
            Kind::Consecutive5xx => (rules.enforcing_consecutive_5xx, &stats.consecutive_5xx),
            Kind::ConsecutiveGateway => {
                (rules.enforcing_consecutive_gateway_failure, &stats.consecutive_gateway)
            }
            Kind::ConsecutiveLocal => {
                (rules.enforcing_consecutive_local_origin_failure, &stats.consecutive_local)
            }
            Kind::SuccessRate => (rules.enforcing_success_rate, &stats.success_rate),
            Kind::LocalSuccessRate => (rules.enforcing_local_origin_success_rate, &stats.local_success_rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_proto::table::v1 as wire;
    use portcullis_shared::table;

    use super::*;

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        let endpoint = |port| {
            let config = table::Endpoint {
                address: std::net::SocketAddr::from(([10, 0, 0, 1], port)).into(),
                weight: 1,
                hostname: None,
                sni: None,
                labels: Arc::default(),
            };
            Arc::new(Endpoint::new(&config, None, false))
        };
        (1..=count).map(endpoint).collect()
    }

    fn judge(rules: wire::OutlierDetection) -> Judge {
        Judge::new(rules.try_into().expect("valid"), Arc::default())
    }

    fn rules() -> wire::OutlierDetection {
        wire::OutlierDetection { max_ejection_percent: Some(50), ..Default::default() }
    }

    fn answers(judge: &Judge, endpoint: &Endpoint, statuses: &[u16]) {
        for status in statuses {
            judge.answered(endpoint, StatusCode::from_u16(*status).expect("status"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_in_a_row_eject_and_time_takes_back() {
        let (judge, list) = (judge(rules()), endpoints(2));
        answers(&judge, &list[0], &[500, 503, 500, 500, 200, 500, 500, 500, 500]);
        assert!(!judge.eject_suspects(&list), "not in a row");
        answers(&judge, &list[0], &[500]);
        assert!(judge.eject_suspects(&list) && list[0].is_ejected());
        answers(&judge, &list[1], &[500; 5]);
        assert!(!judge.eject_suspects(&list), "both would be more than half");
        assert_eq!(judge.stats.outliers.overflow.get(), 1);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!judge.look(&list));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(judge.look(&list) && !list[0].is_ejected());
        // The second time in short order takes twice as long.
        answers(&judge, &list[0], &[500; 5]);
        assert!(judge.eject_suspects(&list));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!judge.look(&list));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(judge.look(&list));
    }

    #[test]
    fn one_of_two_is_too_many_by_default() {
        let (judge, list) = (judge(wire::OutlierDetection::default()), endpoints(2));
        answers(&judge, &list[0], &[500; 5]);
        assert!(!judge.eject_suspects(&list));
    }

    #[test]
    fn gateway_failures_are_detected_and_by_default_not_enforced() {
        let lax = wire::OutlierDetection { consecutive_5xx: Some(100), ..rules() };
        let list = endpoints(2);
        let default = judge(lax);
        answers(&default, &list[0], &[502; 5]);
        assert!(!default.eject_suspects(&list));
        let enforced =
            judge(wire::OutlierDetection { enforcing_consecutive_gateway_failure: Some(100), ..lax });
        answers(&enforced, &list[1], &[502, 500, 502, 503, 504, 502]);
        assert!(!enforced.eject_suspects(&list), "a 500 is none");
        answers(&enforced, &list[1], &[502]);
        assert!(enforced.eject_suspects(&list));
    }

    #[test]
    fn failures_of_connections_count_as_answers_unless_told_apart() {
        let list = endpoints(2);
        let together = judge(rules());
        (0..5).for_each(|_| together.unanswered(&list[0], StatusCode::SERVICE_UNAVAILABLE));
        assert!(together.eject_suspects(&list));
        let split = judge(wire::OutlierDetection {
            split_external_local_origin_errors: true,
            consecutive_local_origin_failure: Some(2),
            max_ejection_percent: Some(100),
            ..Default::default()
        });
        split.unanswered(&list[1], StatusCode::SERVICE_UNAVAILABLE);
        answers(&split, &list[1], &[500]);
        split.unanswered(&list[1], StatusCode::SERVICE_UNAVAILABLE);
        assert!(!split.eject_suspects(&list), "an answer, whichever, means a connection");
        split.unanswered(&list[1], StatusCode::SERVICE_UNAVAILABLE);
        assert!(split.eject_suspects(&list));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_far_below_the_others_is_ejected() {
        let rules = wire::OutlierDetection { success_rate_request_volume: Some(10), ..rules() };
        let (judge, list) = (judge(rules), endpoints(6));
        for endpoint in list.iter().skip(1) {
            answers(&judge, endpoint, &[200; 20]);
        }
        let half: Vec<u16> = (0..20).map(|n| if n % 2 == 0 { 500 } else { 200 }).collect();
        answers(&judge, &list[0], &half);
        assert!(judge.look(&list));
        assert_eq!(list.iter().filter(|one| one.is_ejected()).count(), 1);
        assert!(list[0].is_ejected());
    }
}
