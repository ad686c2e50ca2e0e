//! An endpoint that has just come gets less than its share for a while, so that its caches can fill.

use std::sync::Arc;

use portcullis_shared::table::SlowStart;
use tokio::time::Instant;

use super::super::endpoint::Endpoint;

/// Weights are multiplied by this where some are scaled down, to have room for the fractions.
const FINENESS: f64 = 100.0;

/// The weights of this moment.
pub(super) fn weights(list: &[Arc<Endpoint>], slow: Option<&SlowStart>, now: Instant) -> Vec<u32> {
    let whole = || list.iter().map(|endpoint| endpoint.weight).collect();
    let Some(slow) = slow else { return whole() };
    let factors: Vec<f64> = list
        .iter()
        .map(|endpoint| factor(slow, now.duration_since(*endpoint.state().since.lock()).as_secs_f64()))
        .collect();
    if factors.iter().all(|factor| *factor >= 1.0) {
        return whole();
    }
    let scaled = list.iter().zip(factors).map(|(endpoint, factor)| {
        let weight = (f64::from(endpoint.weight) * factor * FINENESS).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
        let weight = weight.clamp(1.0, f64::from(u32::MAX)) as u32;
        weight
    });
    scaled.collect()
}

/// The part of its weight that an endpoint gets after so many seconds.
fn factor(slow: &SlowStart, seconds: f64) -> f64 {
    let window = slow.window.as_secs_f64();
    if seconds >= window {
        return 1.0;
    }
    // Envoy's formula; its clock ticks in seconds, so that the first one counts as one.
    let progress = (seconds.max(1.0) / window).min(1.0);
    progress.powf(1.0 / slow.aggression).max(slow.min_weight_percent / 100.0).min(1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_part_grows_with_time_as_the_aggression_says() {
        let slow =
            |aggression| SlowStart { window: Duration::from_secs(100), aggression, min_weight_percent: 10.0 };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(factor(&slow(1.0), 0.0), 0.1), "not less than the minimum");
        assert!(near(factor(&slow(1.0), 50.0), 0.5));
        assert!(near(factor(&slow(2.0), 25.0), 0.5));
        assert!(near(factor(&slow(1.0), 100.0), 1.0));
    }
}
