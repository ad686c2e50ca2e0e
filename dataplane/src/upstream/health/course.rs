//! What follows from the results of an endpoint's checks: pure counting, as in Envoy.

use std::time::Duration;

use portcullis_shared::table::HealthCheck;

use super::probe::Failure;

/// The results so far, as far as they matter.
#[derive(Debug, Default)]
pub(super) struct Course {
    begun: bool,
    passes: u32,
    failures: u32,
}

/// What the endpoint becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Healthy,
    Unhealthy,
}

impl Course {
    /// No result yet.
    pub(super) fn is_first(&self) -> bool {
        !self.begun
    }

    /// Takes a result of an endpoint that counts as `healthy`.
    pub(super) fn take(
        &mut self,
        result: Result<(), Failure>,
        healthy: bool,
        check: &HealthCheck,
    ) -> Option<Change> {
        let first = !std::mem::replace(&mut self.begun, true);
        match result {
            Ok(()) => {
                self.failures = 0;
                if healthy {
                    return None;
                }
                self.passes = self.passes.saturating_add(1);
                let enough = first || self.passes >= check.healthy_threshold;
                enough.then(|| {
                    self.passes = 0;
                    Change::Healthy
                })
            }
            Err(failure) => {
                self.passes = 0;
                if !healthy {
                    return None;
                }
                self.failures = self.failures.saturating_add(1);
                // An endpoint that says so itself is believed at once.
                let said = matches!(failure, Failure::Active | Failure::Verify);
                (first || said || self.failures >= check.unhealthy_threshold).then(|| {
                    self.failures = 0;
                    Change::Unhealthy
                })
            }
        }
    }
}

/// The time to the next check. `used`: the upstream has had a request.
pub(super) fn pause(check: &HealthCheck, healthy: bool, changed: bool, used: bool) -> Duration {
    let base = match (used, healthy, changed) {
        (false, _, _) => check.no_traffic_interval,
        (true, true, true) => check.healthy_edge_interval,
        (true, true, false) => check.interval,
        (true, false, true) => check.unhealthy_edge_interval,
        (true, false, false) => check.unhealthy_interval,
    };
    let part = base.saturating_mul(check.interval_jitter_percent) / 100;
    (base + up_to(part) + up_to(check.interval_jitter)).max(Duration::from_millis(1))
}

/// Any time from nothing to `limit`.
pub(super) fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use portcullis_proto::table::v1 as wire;

    use super::*;

    fn check() -> HealthCheck {
        let wire = wire::HealthCheck {
            timeout_ms: 1,
            interval_ms: 1000,
            unhealthy_threshold: 2,
            healthy_threshold: 3,
            unhealthy_interval_ms: 2000,
            unhealthy_edge_interval_ms: 3000,
            healthy_edge_interval_ms: 4000,
            checker: Some(wire::health_check::Checker::Tcp(wire::TcpCheck::default())),
            ..Default::default()
        };
        wire.try_into().expect("valid")
    }

    #[test]
    fn the_first_result_counts_at_once() {
        assert_eq!(Course::default().take(Ok(()), false, &check()), Some(Change::Healthy));
        assert_eq!(Course::default().take(Ok(()), true, &check()), None);
        assert_eq!(Course::default().take(Err(Failure::Network), true, &check()), Some(Change::Unhealthy));
    }

    #[test]
    fn later_ones_count_in_a_row() {
        let (check, mut course) = (check(), Course::default());
        let bad = Err(Failure::Timeout);
        assert_eq!(course.take(Ok(()), true, &check), None);
        assert_eq!(course.take(bad, true, &check), None);
        assert_eq!(course.take(Ok(()), true, &check), None);
        assert_eq!(course.take(bad, true, &check), None);
        assert_eq!(course.take(bad, true, &check), Some(Change::Unhealthy));
        assert_eq!(course.take(Ok(()), false, &check), None);
        assert_eq!(course.take(Ok(()), false, &check), None);
        assert_eq!(course.take(Ok(()), false, &check), Some(Change::Healthy));
        assert_eq!(course.take(Err(Failure::Active), true, &check), Some(Change::Unhealthy));
    }

    #[test]
    fn the_pause_depends_on_what_is_known() {
        let check = check();
        let seconds = |healthy, changed, used| pause(&check, healthy, changed, used).as_secs();
        assert_eq!(seconds(true, false, true), 1);
        assert_eq!(seconds(false, false, true), 2);
        assert_eq!(seconds(false, true, true), 3);
        assert_eq!(seconds(true, true, true), 4);
        assert_eq!(seconds(true, true, false), 60);
        let jittered = HealthCheck { interval_jitter_percent: 50, ..check };
        let pause = pause(&jittered, true, false, true);
        assert!((Duration::from_secs(1)..Duration::from_millis(1500)).contains(&pause), "{pause:?}");
    }
}
