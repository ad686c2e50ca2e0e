//! Counts of requests, in Envoy's names where dashboards and canary controllers look for them.
//!
//! Owns what is counted per worker; what is counted per upstream lives with the upstream, so that it outlives new
//! runtimes and ends with the upstream. The number of series is bounded by upstreams, statuses and reasons. Writing is a
//! few relaxed additions.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType::{
    self, Counter as Counted, Gauge as Gauged, Histogram as Timed, Unknown,
};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::reply::Reason;
use crate::policy::csrf;
use crate::runtime::{Runtime, VirtualCluster};
use crate::upstream::{Bound, Codes, Counter, Gauge, Histogram, Upstream};

/// Request counts of one worker.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests begun.
    pub(super) requests: Counter,
    /// Requests running now.
    pub(super) active: Gauge,
    /// Their answers.
    pub(super) responses: Codes,
    /// From the request header to the end of the answer.
    pub(super) time: Histogram,
    /// Access log lines that the writer could not keep up with.
    pub(super) log_dropped: Arc<Counter>,
    /// Answers, or ends, of the gateway itself.
    reasons: Words,
    /// HTTP/2 connections that the gateway ended for what their clients did.
    pub(super) ended: Words,
}

/// Counts by word. Words are few, and soon complete: read without a lock, copied when a new one comes.
#[derive(Debug, Default)]
pub(super) struct Words(ArcSwap<HashMap<&'static str, Arc<Counter>>>);

impl Words {
    /// One more.
    pub(super) fn inc(&self, word: &'static str) {
        if let Some(counter) = self.0.load().get(word) {
            return counter.inc();
        }
        let counter = Arc::new(Counter::default());
        self.0.rcu(|before| {
            let mut after = HashMap::clone(before);
            after.entry(word).or_insert_with(|| counter.clone());
            after
        });
        if let Some(counter) = self.0.load().get(word) {
            counter.inc();
        }
    }

    /// All of them, in order.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let words = self.0.load();
        let mut rows: Vec<_> = words.iter().map(|(word, counter)| (*word, counter.get())).collect();
        rows.sort_unstable();
        rows
    }
}

impl Metrics {
    /// A request was answered, or ended, by the gateway itself.
    pub(super) fn local_reply(&self, reason: Reason) {
        self.reasons.inc(reason.as_str());
    }

    /// A request is over.
    pub(super) fn finished(&self, status: StatusCode, took: std::time::Duration) {
        self.responses.inc(status);
        self.time.observe(took);
    }
}

/// Shows the counts to a registry that has no prefix.
pub(super) struct Exposition {
    pub(super) metrics: Arc<Metrics>,
    pub(super) runtime: Arc<ArcSwap<Runtime>>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposition")
    }
}

type Labels<'a> = [(&'static str, &'a str)];
type Series<'a> = &'a mut dyn FnMut(&Labels<'_>, u64) -> fmt::Result;

/// Connection managers have no names of their own here.
const HTTP: (&str, &str) = ("envoy_http_conn_manager_prefix", "http");

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.downstream(&mut encoder)?;
        let mut upstreams: Vec<Arc<Upstream>> = self.runtime.load().upstreams().cloned().collect();
        upstreams.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        upstream_rows(&mut encoder, &upstreams)?;
        virtual_cluster_rows(&mut encoder, &self.runtime.load())
    }
}

impl Exposition {
    fn downstream(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let metrics = &self.metrics;
        family(encoder, ("envoy_http_downstream_rq", "Requests", Counted), &mut |series| {
            series(&[HTTP], metrics.requests.get())
        })?;
        family(encoder, ("envoy_http_downstream_rq_active", "Requests running", Gauged), &mut |series| {
            series(&[HTTP], metrics.active.get())
        })?;
        // Not a counter by type: the type would add a suffix that Envoy's name does not have.
        family(
            encoder,
            ("envoy_http_downstream_rq_xx", "Answers by class of status", Unknown),
            &mut |series| {
                metrics.responses.classes().try_for_each(|(class, count)| {
                    series(&[HTTP, ("envoy_response_code_class", class)], count)
                })
            },
        )?;
        let mut times =
            encoder.encode_descriptor("envoy_http_downstream_rq_time", "Milliseconds", None, Timed)?;
        histogram(&mut times, &[HTTP], &metrics.time)?;
        for (name, help, words) in [
            ("portcullis_local_replies", "Answers of the gateway itself, by reason", &metrics.reasons),
            (
                "portcullis_http2_connections_ended",
                "HTTP/2 connections ended for what their clients did, by reason",
                &metrics.ended,
            ),
        ] {
            family(encoder, (name, help, Counted), &mut |series| {
                let mut rows = words.counts().into_iter();
                rows.try_for_each(|(word, count)| series(&[("reason", word)], count))
            })?;
        }
        for (name, help, count) in [
            ("envoy_http_csrf_request_valid", "Requests of a fitting origin", &csrf::COUNTS.valid),
            ("envoy_http_csrf_request_invalid", "Requests of another origin", &csrf::COUNTS.invalid),
            ("envoy_http_csrf_missing_source_origin", "Requests without an origin", &csrf::COUNTS.missing),
        ] {
            family(encoder, (name, help, Unknown), &mut |series| series(&[HTTP], count.get()))?;
        }
        let lost = ("portcullis_access_log_dropped", "Access log lines lost to a slow sink");
        let counter = encoder.encode_descriptor(lost.0, lost.1, None, Counted)?;
        ConstCounter::new(metrics.log_dropped.get()).encode(counter)
    }
}

fn upstream_rows(encoder: &mut DescriptorEncoder, upstreams: &[Arc<Upstream>]) -> fmt::Result {
    family(encoder, ("envoy_cluster_upstream_rq", "Answers by status", Unknown), &mut |series| {
        upstreams.iter().try_for_each(|upstream| {
            upstream.stats.responses.each().try_for_each(|(code, count)| {
                series(&[cluster(upstream), ("envoy_response_code", &code.to_string())], count)
            })
        })
    })?;
    family(
        encoder,
        ("envoy_cluster_upstream_rq_xx", "Answers by class of status", Unknown),
        &mut |series| {
            upstreams.iter().try_for_each(|upstream| {
                let classes = upstream.stats.responses.classes();
                classes.into_iter().try_for_each(|(class, count)| {
                    series(&[cluster(upstream), ("envoy_response_code_class", class)], count)
                })
            })
        },
    )?;
    let mut times =
        encoder.encode_descriptor("envoy_cluster_upstream_rq_time", "Milliseconds", None, Timed)?;
    for upstream in upstreams {
        histogram(&mut times, &[cluster(upstream)], &upstream.stats.time)?;
    }
    for (name, help, count) in COUNTERS {
        // These names already end as counters do; the type adds the suffix back.
        match name.strip_suffix("_total") {
            Some(name) => {
                family(encoder, (name, help, Counted), &mut |series| each(upstreams, series, count))
            }
            None => family(encoder, (name, help, Unknown), &mut |series| each(upstreams, series, count)),
        }?;
    }
    for (name, help, count) in GAUGES {
        family(encoder, (name, help, Gauged), &mut |series| each(upstreams, series, count))?;
    }
    for (name, help, count) in CARE {
        let mut cared = upstreams.iter().filter(|upstream| upstream.needs_care()).peekable();
        if cared.peek().is_some() {
            family(encoder, (name, help, Unknown), &mut |series| {
                cared.try_for_each(|upstream| series(&[cluster(upstream)], count(upstream)))
            })?;
        }
    }
    for (name, bound) in REMAINING {
        let mut tracked = upstreams.iter().filter(|upstream| upstream.breakers.track_remaining()).peekable();
        if tracked.peek().is_some() {
            family(encoder, (name, "What the circuit breaker still allows", Gauged), &mut |series| {
                tracked
                    .try_for_each(|upstream| series(&[cluster(upstream)], upstream.breakers.remaining(bound)))
            })?;
        }
    }
    Ok(())
}

/// Of virtual hosts that have some. There are as many as users have configured, and one more for each virtual host.
fn virtual_cluster_rows(encoder: &mut DescriptorEncoder, runtime: &Runtime) -> fmt::Result {
    let mut all: Vec<(&str, &VirtualCluster)> = Vec::new();
    for host in runtime.virtual_hosts() {
        let clusters = host.virtual_clusters().into_iter().flat_map(|clusters| clusters.all());
        all.extend(clusters.map(|it| (&*host.name, &**it)));
    }
    if all.is_empty() {
        return Ok(());
    }
    all.sort_unstable_by_key(|(host, it)| (*host, &*it.name, it.is_other));
    // One that is called as that for all others is the same series: it wins.
    all.dedup_by_key(|(host, it)| (*host, it.name.clone()));
    fn of<'a>(host: &'a str, it: &'a VirtualCluster) -> [(&'static str, &'a str); 2] {
        [("envoy_virtual_host", host), ("envoy_virtual_cluster", &it.name)]
    }
    let codes = ("envoy_vhost_vcluster_upstream_rq", "Answers by status", Unknown);
    family(encoder, codes, &mut |series| {
        all.iter().try_for_each(|(host, it)| {
            let [host, name] = of(host, it);
            it.responses.each().try_for_each(|(code, count)| {
                series(&[host, name, ("envoy_response_code", &code.to_string())], count)
            })
        })
    })?;
    let classes = ("envoy_vhost_vcluster_upstream_rq_xx", "Answers by class of status", Unknown);
    family(encoder, classes, &mut |series| {
        all.iter().try_for_each(|(host, it)| {
            let [host, name] = of(host, it);
            let mut classes = it.responses.classes();
            classes.try_for_each(|(class, count)| {
                series(&[host, name, ("envoy_response_code_class", class)], count)
            })
        })
    })?;
    let mut times =
        encoder.encode_descriptor("envoy_vhost_vcluster_upstream_rq_time", "Milliseconds", None, Timed)?;
    for (host, it) in &all {
        histogram(&mut times, &of(host, it), &it.time)?;
    }
    let mut one = |name: &str, help: &str, kind: MetricType, count: fn(&VirtualCluster) -> u64| {
        family(encoder, (name, help, kind), &mut |series| {
            all.iter().try_for_each(|(host, it)| series(&of(host, it), count(it)))
        })
    };
    one("envoy_vhost_vcluster_upstream_rq", "Tries", Counted, |it| it.requests.get())?;
    one("envoy_vhost_vcluster_upstream_rq_retry", "Tries after the first", Unknown, |it| it.retries.get())?;
    one("envoy_vhost_vcluster_upstream_rq_timeout", "Tries that ran into a limit", Unknown, |it| {
        it.timeouts.get()
    })
}

type Count = fn(&Upstream) -> u64;

const COUNTERS: [(&str, &str, Count); 9] = [
    ("envoy_cluster_upstream_rq_total", "Tries", |upstream| upstream.stats.requests.get()),
    ("envoy_cluster_upstream_rq_retry", "Tries after the first", |upstream| upstream.stats.retries.get()),
    ("envoy_cluster_upstream_rq_timeout", "Tries that ran into a limit", |upstream| {
        upstream.stats.timeouts.get()
    }),
    ("envoy_cluster_upstream_rq_rx_reset", "Tries without an answer", |upstream| upstream.stats.resets.get()),
    ("envoy_cluster_upstream_cx_total", "Connections opened", |upstream| upstream.stats.connections.get()),
    ("envoy_cluster_upstream_rq_pending_overflow", "Requests that a circuit breaker refused", |upstream| {
        upstream.stats.request_overflows.get()
    }),
    ("envoy_cluster_upstream_rq_retry_overflow", "Retries that a circuit breaker refused", |upstream| {
        upstream.stats.retry_overflows.get()
    }),
    ("envoy_cluster_upstream_cx_overflow", "Connections that a circuit breaker refused", |upstream| {
        upstream.stats.connection_overflows.get()
    }),
    ("envoy_cluster_upstream_cx_connect_fail", "Connections that failed", |upstream| {
        upstream.stats.connect_failures.get()
    }),
];

const GAUGES: [(&str, &str, Count); 10] = [
    ("envoy_cluster_upstream_rq_active", "Tries running", |upstream| upstream.stats.requests_active.get()),
    ("envoy_cluster_upstream_cx_active", "Connections open", |upstream| {
        upstream.stats.connections_active.get()
    }),
    ("envoy_cluster_upstream_rq_pending_active", "Tries that wait for a connection", |upstream| {
        upstream.stats.pending.get()
    }),
    ("envoy_cluster_circuit_breakers_default_cx_open", "No connection more", |upstream| {
        open(upstream, Bound::Connections)
    }),
    ("envoy_cluster_circuit_breakers_default_rq_pending_open", "No pending request more", |upstream| {
        open(upstream, Bound::Pending)
    }),
    ("envoy_cluster_circuit_breakers_default_rq_open", "No request more", |upstream| {
        open(upstream, Bound::Requests)
    }),
    ("envoy_cluster_circuit_breakers_default_rq_retry_open", "No retry more", |upstream| {
        open(upstream, Bound::Retries)
    }),
    ("envoy_cluster_membership_healthy", "Endpoints that are healthy", |upstream| {
        upstream.endpoints().list().iter().filter(|endpoint| endpoint.is_healthy()).count() as u64
    }),
    ("envoy_cluster_outlier_detection_ejections_active", "Endpoints that are ejected", |upstream| {
        upstream.endpoints().list().iter().filter(|endpoint| endpoint.is_ejected()).count() as u64
    }),
    ("envoy_cluster_membership_total", "Endpoints", |upstream| upstream.endpoints().list().len() as u64),
];

/// Of upstreams whose endpoints are looked after.
const CARE: [(&str, &str, Count); 12] = [
    ("envoy_cluster_health_check_attempt", "Health checks", |it| it.stats.health.attempts.get()),
    ("envoy_cluster_health_check_success", "Health checks passed", |it| it.stats.health.successes.get()),
    ("envoy_cluster_health_check_failure", "Health checks not passed", |it| it.stats.health.failures.get()),
    ("envoy_cluster_health_check_network_failure", "Health checks without an answer", |it| {
        it.stats.health.network_failures.get()
    }),
    ("envoy_cluster_health_check_verify_cluster", "Health checks answered by another service", |it| {
        it.stats.health.verify_failures.get()
    }),
    ("envoy_cluster_outlier_detection_ejections_enforced_total", "Ejections", |it| {
        it.stats.outliers.enforced.get()
    }),
    ("envoy_cluster_outlier_detection_ejections_overflow", "Ejections that would have been too many", |it| {
        it.stats.outliers.overflow.get()
    }),
    ("envoy_cluster_outlier_detection_ejections_enforced_consecutive_5xx", "Ejections by kind", |it| {
        it.stats.outliers.consecutive_5xx.get()
    }),
    (
        "envoy_cluster_outlier_detection_ejections_enforced_consecutive_gateway_failure",
        "Ejections by kind",
        |it| it.stats.outliers.consecutive_gateway.get(),
    ),
    (
        "envoy_cluster_outlier_detection_ejections_enforced_consecutive_local_origin_failure",
        "Ejections by kind",
        |it| it.stats.outliers.consecutive_local.get(),
    ),
    ("envoy_cluster_outlier_detection_ejections_enforced_success_rate", "Ejections by kind", |it| {
        it.stats.outliers.success_rate.get()
    }),
    (
        "envoy_cluster_outlier_detection_ejections_enforced_local_origin_success_rate",
        "Ejections by kind",
        |it| it.stats.outliers.local_success_rate.get(),
    ),
];

/// Of upstreams that ask for it.
const REMAINING: [(&str, Bound); 4] = [
    ("envoy_cluster_circuit_breakers_default_remaining_cx", Bound::Connections),
    ("envoy_cluster_circuit_breakers_default_remaining_pending", Bound::Pending),
    ("envoy_cluster_circuit_breakers_default_remaining_rq", Bound::Requests),
    ("envoy_cluster_circuit_breakers_default_remaining_retries", Bound::Retries),
];

fn open(upstream: &Upstream, bound: Bound) -> u64 {
    u64::from(upstream.breakers.remaining(bound) == 0)
}

fn cluster(upstream: &Upstream) -> (&'static str, &str) {
    ("envoy_cluster_name", &upstream.name)
}

fn each(upstreams: &[Arc<Upstream>], series: Series<'_>, count: impl Fn(&Upstream) -> u64) -> fmt::Result {
    upstreams.iter().try_for_each(|upstream| series(&[cluster(upstream)], count(upstream)))
}

type Rows<'a> = &'a mut dyn FnMut(Series<'_>) -> fmt::Result;

fn family(
    encoder: &mut DescriptorEncoder,
    (name, help, kind): (&str, &str, MetricType),
    rows: Rows<'_>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    rows(&mut |labels, count| match kind {
        Counted => ConstCounter::new(count).encode(family.encode_family(&labels)?),
        _ => ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?),
    })
}

fn histogram(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, histogram: &Histogram) -> fmt::Result {
    let (sum, count, buckets) = histogram.snapshot();
    family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}
