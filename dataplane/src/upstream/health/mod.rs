//! Active health checks of one endpoint.
//!
//! Owns when the next check comes ([`Course`]), what a result means, and what is said about it. `probe` asks, and knows the
//! protocols; `events` writes the log. Checks run beside the data threads.

mod course;
mod events;
mod grpc;
mod http;
mod probe;
mod tcp;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use portcullis_shared::table::HealthCheck;
use tokio::time::{Instant, sleep};

use super::Upstream;
use super::endpoint::Endpoint;
use course::{Change, Course};
use events::Event;
use probe::{Failure, Probe};

/// Checks `endpoint` until it is dropped.
pub(super) async fn run(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>, check: Arc<HealthCheck>) {
    let mut course = Course::default();
    let mut probe = Probe::new(&upstream, &endpoint, &check);
    let stats = &upstream.stats.health;
    sleep(course::up_to(check.initial_jitter)).await;
    loop {
        stats.attempts.inc();
        let asked = tokio::time::timeout(check.timeout, probe.ask()).await;
        let result = asked.unwrap_or(Err(Failure::Timeout));
        if result.is_err() || !check.reuse_connection {
            probe.disconnect();
        }
        match result {
            Ok(()) => stats.successes.inc(),
            Err(failure) => {
                stats.failures.inc();
                match failure {
                    Failure::Network | Failure::Timeout => stats.network_failures.inc(),
                    Failure::Verify => stats.verify_failures.inc(),
                    Failure::Active => {}
                }
            }
        }
        let (first, healthy) = (course.is_first(), !endpoint.failed_check());
        let change = course.take(result, healthy, &check);
        if let Some(change) = change {
            apply(&upstream, &endpoint, change);
        }
        let log = events::Log { upstream: &upstream, endpoint: &endpoint, check: &check };
        match (change, result) {
            (Some(Change::Healthy), _) => log.write(Event::AddHealthy { first }),
            (Some(Change::Unhealthy), Err(failure)) => log.write(Event::EjectUnhealthy { failure }),
            _ => {}
        }
        if let Err(failure) = result
            && (first || check.always_log_failures)
        {
            log.write(Event::CheckFailure { failure, first });
        }
        let used = upstream.stats.connections.get() > 0;
        sleep(course::pause(&check, !endpoint.failed_check(), change.is_some(), used)).await;
    }
}

fn apply(upstream: &Upstream, endpoint: &Endpoint, change: Change) {
    let state = endpoint.state();
    let healthy = change == Change::Healthy;
    if healthy {
        *state.since.lock() = Instant::now();
        // Envoy: what passes its check is no outlier any more.
        if let Some(judge) = upstream.judge.as_ref().filter(|_| endpoint.is_ejected()) {
            judge.take_back(endpoint);
        }
    }
    state.failed.store(!healthy, Relaxed);
    tracing::info!(upstream = %upstream.name, endpoint = %endpoint.address, healthy, "health has changed");
    upstream.news.notify_one();
}
