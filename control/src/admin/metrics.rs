//! Metrics in OpenMetrics. The number of series is bounded: labels are kinds, states and names of our own parts, never
//! names of the user's objects.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use portcullis_shared::actor::Restarts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::config::Published;
use crate::publish::Rollout;
use crate::resource::Kind;
use crate::status;
use crate::translate::State;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChildLabel {
    child: String,
}

/// All metrics of control.
pub struct Metrics {
    registry: Registry,
    restarts_seen: Restarts,
    builds: Histogram,
    build_failures: Counter,
    store_failures: Counter,
    sessions: Gauge,
    sessions_total: Counter,
    nacks: Counter,
    resets: Counter,
    objects: Family<ObjectLabels, Gauge>,
    workers: Family<StateLabel, Gauge>,
    restarts: Family<ChildLabel, Gauge<u64, AtomicU64>>,
    epoch: Gauge<u64, AtomicU64>,
    seq: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// Registers everything. `restarts` is where the supervisors count.
    #[must_use]
    pub fn new(restarts: Restarts) -> Self {
        let mut registry = Registry::with_prefix("portcullis_control");
        let metrics = Self {
            restarts_seen: restarts,
            builds: Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
            build_failures: Counter::default(),
            store_failures: Counter::default(),
            sessions: Gauge::default(),
            sessions_total: Counter::default(),
            nacks: Counter::default(),
            resets: Counter::default(),
            objects: Family::default(),
            workers: Family::default(),
            restarts: Family::default(),
            epoch: Gauge::default(),
            seq: Gauge::default(),
            registry: Registry::default(),
        };
        let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the program", info);
        registry.register_with_unit(
            "config_build_duration",
            "Time from snapshot to tables",
            Unit::Seconds,
            metrics.builds.clone(),
        );
        registry.register("config_build_failures", "Builds that panicked", metrics.build_failures.clone());
        registry.register("config_epoch", "Epoch of the newest tables", metrics.epoch.clone());
        registry.register("config_seq", "Sequence number of the newest tables", metrics.seq.clone());
        registry.register("objects", "User objects by kind and state", metrics.objects.clone());
        registry.register(
            "store_failures",
            "Writes of accepted objects that failed",
            metrics.store_failures.clone(),
        );
        registry.register("sessions", "Workers that are connected", metrics.sessions.clone());
        registry.register("sessions_opened", "Sessions since the start", metrics.sessions_total.clone());
        registry.register("workers", "Connected workers by state", metrics.workers.clone());
        registry.register("nacks", "Answers of workers that refuse something", metrics.nacks.clone());
        registry.register("resets", "Tables sent whole because a worker had drifted", metrics.resets.clone());
        registry.register(
            "child_restarts",
            "Restarts of supervised parts since the start",
            metrics.restarts.clone(),
        );
        Self { registry, ..metrics }
    }

    /// A build took this long.
    pub fn built(&self, took: Duration) {
        self.builds.observe(took.as_secs_f64());
    }

    /// A build panicked.
    pub fn build_failed(&self) {
        self.build_failures.inc();
    }

    /// Accepted objects could not be stored.
    pub fn store_failed(&self) {
        self.store_failures.inc();
    }

    /// A worker's session began.
    pub fn session_began(&self) {
        self.sessions.inc();
        self.sessions_total.inc();
    }

    /// A worker's session ended.
    pub fn session_ended(&self) {
        self.sessions.dec();
    }

    /// A worker refuses something.
    pub fn nack(&self) {
        self.nacks.inc();
    }

    /// A worker gets everything anew.
    pub fn reset(&self) {
        self.resets.inc();
    }

    /// The page for a scraper.
    ///
    /// # Errors
    /// Never in practice: writing into a string does not fail.
    pub fn page(&self, published: Option<&Published>, rollout: &Rollout) -> Result<String, std::fmt::Error> {
        self.refresh(published, rollout);
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }

    /// What is only counted when somebody looks.
    fn refresh(&self, published: Option<&Published>, rollout: &Rollout) {
        for (child, count) in self.restarts_seen.snapshot() {
            self.restarts.get_or_create(&ChildLabel { child: child.to_string() }).set(count);
        }
        let mut objects: BTreeMap<(Kind, &'static str), i64> = BTreeMap::new();
        if let Some(published) = published {
            self.epoch.set(published.version.epoch);
            self.seq.set(published.version.seq);
            for row in status::rows(published, None, "", "") {
                *objects.entry((row.id.kind, state(row.state()))).or_default() += 1;
            }
        }
        for kind in Kind::ALL {
            for state in ["Accepted", "Warning", "Rejected"] {
                let labels = ObjectLabels { kind: kind.as_str(), state };
                self.objects.get_or_create(&labels).set(objects.get(&(kind, state)).copied().unwrap_or(0));
            }
        }
        let workers = status::workers(published, rollout, std::time::SystemTime::now());
        for state in ["synced", "behind", "rejecting", "draining"] {
            let count = workers.iter().filter(|worker| worker.state == state).count();
            self.workers.get_or_create(&StateLabel { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Accepted => "Accepted",
        State::Warning => "Warning",
        State::Rejected => "Rejected",
    }
}
