//! `loadBalancerConfig` and `subsetSpec`: how one of the endpoints is chosen.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::field::Field;
use crate::ir::{Balancer, Balancing, Fallback, Labels, SlowStart, Subsets};
use crate::resource::{
    FallbackPolicy, LoadBalancer, RingHash, SlowStartConfig, Subset, SubsetSpec, Upstream, UpstreamType,
};

/// Places of the largest ring that there may be.
const LARGEST_RING: u64 = 8 * 1024 * 1024;

/// The balancing of an upstream.
pub(super) fn lower(upstream: &Upstream, spec: &mut Field<'_>) -> Balancing {
    let subsets = match upstream.upstream_type() {
        Some(UpstreamType::Static(hosts)) => hosts
            .subset_spec
            .as_ref()
            .map(|subsets| self::subsets(subsets, &mut spec.at("static.subsetSpec"))),
        Some(UpstreamType::Pipe(_)) | None => None,
    };
    let Some(config) = &upstream.load_balancer_config else {
        return Balancing { subsets, ..Balancing::default() };
    };
    let mut field = spec.at("loadBalancerConfig");
    let (balancer, slow) = match config.balancer() {
        LoadBalancer::RoundRobin(slow) => (Balancer::RoundRobin, slow.zip(Some("roundRobin"))),
        LoadBalancer::Random => (Balancer::Random, None),
        LoadBalancer::Maglev => (Balancer::Maglev, None),
        LoadBalancer::RingHash(ring) => (self::ring(ring, &mut field.at("ringHash.ringHashConfig")), None),
        LoadBalancer::LeastRequest(least) => {
            let choices = match least.choice_count {
                0 => 2,
                1 => {
                    field.at("leastRequest.choiceCount").error("must be at least 2");
                    2
                }
                count => count,
            };
            (Balancer::LeastRequest { choices }, least.slow_start_config.as_ref().zip(Some("leastRequest")))
        }
    };
    Balancing {
        balancer,
        slow_start: slow.and_then(|(slow, name)| slow_start(slow, &mut field.at(name).at("slowStartConfig"))),
        healthy_panic_threshold: field.at("healthyPanicThreshold").percent(config.healthy_panic_threshold),
        update_merge_window: field.at("updateMergeWindow").at_least_nothing(config.update_merge_window),
        hash_by_hostname: config.use_hostname_for_hashing.unwrap_or(false),
        close_connections_on_host_set_change: config.close_connections_on_host_set_change.unwrap_or(false),
        subsets,
    }
}

fn ring(ring: &RingHash, field: &mut Field<'_>) -> Balancer {
    let (minimum, maximum) =
        ring.ring_hash_config.as_ref().map_or((0, 0), |it| (it.minimum_ring_size, it.maximum_ring_size));
    for (name, size) in [("minimumRingSize", minimum), ("maximumRingSize", maximum)] {
        if size > LARGEST_RING {
            field.at(name).error(format!("{size} is above {LARGEST_RING}"));
        }
    }
    if maximum != 0 && minimum > maximum {
        field.at("minimumRingSize").error(format!("{minimum} is above maximumRingSize {maximum}"));
    }
    Balancer::RingHash { minimum, maximum }
}

fn slow_start(slow: &SlowStartConfig, field: &mut Field<'_>) -> Option<SlowStart> {
    let aggression = slow.aggression.unwrap_or(1.0);
    if !(aggression.is_finite() && aggression > 0.0) {
        field.at("aggression").error(format!("{aggression} is not above 0"));
    }
    let min_weight_percent = field.at("minWeightPercent").percent(slow.min_weight_percent).unwrap_or(10.0);
    let window = field.at("slowStartWindow").at_least_nothing(slow.slow_start_window)?;
    (!window.is_zero()).then_some(SlowStart { window, aggression, min_weight_percent })
}

fn subsets(spec: &SubsetSpec, field: &mut Field<'_>) -> Subsets {
    let mut selectors = Vec::with_capacity(spec.selectors.len());
    for (at, selector) in spec.selectors.iter().enumerate() {
        let keys: BTreeSet<&str> = selector.keys.iter().map(String::as_str).collect();
        if keys.is_empty() || keys.contains("") {
            field.at(&format!("selectors[{at}].keys")).error("keys are needed, none of them empty");
        }
        let keys: Vec<Arc<str>> = keys.into_iter().map(Arc::from).collect();
        selectors.push((keys, selector.single_host_per_subset));
    }
    let fallback = match (spec.fallback_policy, &spec.default_subset) {
        (FallbackPolicy::AnyEndpoint, _) => Fallback::Any,
        (FallbackPolicy::NoFallback, _) => Fallback::None,
        (FallbackPolicy::DefaultSubset, subset) => {
            Fallback::Default(subset.as_ref().map(labels).unwrap_or_default())
        }
    };
    Subsets { selectors, fallback }
}

/// The labels of a subset.
pub fn labels(subset: &Subset) -> Labels {
    subset.values.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}
