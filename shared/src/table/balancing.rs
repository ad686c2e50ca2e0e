//! How one of an upstream's endpoints is chosen.

use std::sync::Arc;
use std::time::Duration;

use portcullis_proto::table::v1 as wire;

use super::Labels;
use super::field::{millis, texts};
use super::label::labels;
use crate::Invalid;

const DEFAULT_CHOICES: u32 = 2;
const DEFAULT_RING: u64 = 1024;
/// Also the default of the maximum.
const LARGEST_RING: u64 = 8 * 1024 * 1024;

/// How an endpoint is chosen. All of them respect the endpoints' weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadBalancer {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest running requests of `choice_count` random ones.
    LeastRequest {
        /// At least 1.
        choice_count: u32,
    },
    /// At random.
    Random,
    /// By the request's hash, on a ring.
    RingHash {
        /// Fewest places of the ring.
        minimum: u64,
        /// Most places of the ring; not below the minimum.
        maximum: u64,
    },
    /// By the request's hash, in a table.
    Maglev,
}

/// New endpoints get less than their share for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// For so long.
    pub window: Duration,
    /// Above 0; 1 = in a straight line.
    pub aggression: f64,
    /// They get at least so much of their share; 0 to 100.
    pub min_weight_percent: f64,
}

/// Groups of endpoints that requests can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubsetRules {
    /// A group for each combination of values of these keys.
    pub selectors: Vec<SubsetSelector>,
    /// For requests that ask for nothing, or for what there is not.
    pub fallback: SubsetFallback,
}

/// Keys by whose values groups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubsetSelector {
    /// In order.
    pub keys: Vec<Arc<str>>,
    /// A group has one member.
    pub single_host: bool,
}

/// See [`SubsetRules::fallback`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubsetFallback {
    /// All endpoints.
    Any,
    /// Those with these labels.
    Default(Labels),
    /// None of them.
    None,
}

impl TryFrom<wire::upstream::LoadBalancer> for LoadBalancer {
    type Error = Invalid;

    fn try_from(wire: wire::upstream::LoadBalancer) -> Result<Self, Invalid> {
        Ok(match wire {
            wire::upstream::LoadBalancer::RoundRobin(_) => Self::RoundRobin,
            wire::upstream::LoadBalancer::Random(_) => Self::Random,
            wire::upstream::LoadBalancer::LeastRequest(least) => Self::LeastRequest {
                choice_count: Some(least.choice_count).filter(|n| *n != 0).unwrap_or(DEFAULT_CHOICES),
            },
            wire::upstream::LoadBalancer::Maglev(_) => Self::Maglev,
            wire::upstream::LoadBalancer::RingHash(ring) => {
                let or = |size: u64, default: u64| if size == 0 { default } else { size };
                let maximum = or(ring.maximum_ring_size, LARGEST_RING);
                let minimum = or(ring.minimum_ring_size, DEFAULT_RING.min(maximum));
                if maximum > LARGEST_RING || minimum > maximum {
                    let reason = format!("{minimum} to {maximum} places are not possible");
                    return Err(Invalid::new("ring_hash", reason));
                }
                Self::RingHash { minimum, maximum }
            }
        })
    }
}

impl TryFrom<wire::SlowStart> for SlowStart {
    type Error = Invalid;

    fn try_from(wire: wire::SlowStart) -> Result<Self, Invalid> {
        let aggression = if wire.aggression == 0.0 { 1.0 } else { wire.aggression };
        let min_weight_percent = wire.min_weight_percent.unwrap_or(10.0);
        if !(aggression.is_finite() && aggression > 0.0) {
            return Err(Invalid::new("aggression", "must be above 0"));
        }
        if !(0.0..=100.0).contains(&min_weight_percent) {
            return Err(Invalid::new("min_weight_percent", "is not a percentage"));
        }
        let window = millis(wire.window_ms).ok_or_else(|| Invalid::new("window_ms", "must be above 0"))?;
        Ok(Self { window, aggression, min_weight_percent })
    }
}

impl TryFrom<wire::Subsets> for SubsetRules {
    type Error = Invalid;

    fn try_from(wire: wire::Subsets) -> Result<Self, Invalid> {
        let selector = |(i, selector): (usize, wire::SubsetSelector)| {
            let keys = texts(&format!("selectors[{i}].keys"), selector.keys)?;
            if keys.is_empty() || !keys.is_sorted_by(|a, b| a < b) {
                return Err(Invalid::new(format!("selectors[{i}].keys"), "empty or not in order"));
            }
            Ok(SubsetSelector { keys, single_host: selector.single_host })
        };
        let fallback = match wire::SubsetFallback::try_from(wire.fallback) {
            Ok(wire::SubsetFallback::AnyEndpoint) => SubsetFallback::Any,
            Ok(wire::SubsetFallback::NoFallback) => SubsetFallback::None,
            Ok(wire::SubsetFallback::DefaultSubset) => {
                SubsetFallback::Default(labels("default_subset", wire.default_subset)?)
            }
            Err(_) => return Err(Invalid::new("fallback", "unknown")),
        };
        let selectors = wire.selectors.into_iter().enumerate().map(selector).collect::<Result<_, _>>()?;
        Ok(Self { selectors, fallback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(minimum_ring_size: u64, maximum_ring_size: u64) -> Result<LoadBalancer, String> {
        let ring = wire::RingHash { minimum_ring_size, maximum_ring_size };
        LoadBalancer::try_from(wire::upstream::LoadBalancer::RingHash(ring)).map_err(|e| e.path)
    }

    #[test]
    fn ring_sizes_have_defaults_and_bounds() {
        assert_eq!(ring(0, 0), Ok(LoadBalancer::RingHash { minimum: 1024, maximum: LARGEST_RING }));
        assert_eq!(ring(0, 100), Ok(LoadBalancer::RingHash { minimum: 100, maximum: 100 }));
        assert_eq!(ring(200, 100), Err("ring_hash".into()));
        assert_eq!(ring(0, LARGEST_RING + 1), Err("ring_hash".into()));
    }

    #[test]
    fn a_slow_start_needs_a_window_and_sense() {
        let of = |window_ms, aggression, percent| {
            SlowStart::try_from(wire::SlowStart { window_ms, aggression, min_weight_percent: percent })
                .map_err(|e| e.path)
        };
        let slow = of(1000, 0.0, None).unwrap();
        assert_eq!((slow.aggression, slow.min_weight_percent), (1.0, 10.0));
        assert_eq!(of(0, 1.0, None), Err("window_ms".into()));
        assert_eq!(of(1, -1.0, None), Err("aggression".into()));
        assert_eq!(of(1, 1.0, Some(101.0)), Err("min_weight_percent".into()));
    }
}
