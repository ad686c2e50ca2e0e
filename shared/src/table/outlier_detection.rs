//! When an endpoint on which requests go wrong is left out.

use std::time::Duration;

use portcullis_proto::table::v1 as wire;

use super::field::millis;
use crate::Invalid;

/// See the module. Percentages of `enforcing_*` are the chance that what was detected has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named as in Envoy's API")]
pub struct OutlierDetection {
    /// Between two looks at all endpoints.
    pub interval: Duration,
    pub consecutive_5xx: u32,
    pub enforcing_consecutive_5xx: u32,
    pub consecutive_gateway_failure: u32,
    pub enforcing_consecutive_gateway_failure: u32,
    /// An endpoint is out for this long, times how often it was.
    pub base_ejection_time: Duration,
    /// Of all endpoints, at most so many are out.
    pub max_ejection_percent: u32,
    pub enforcing_success_rate: u32,
    pub success_rate_minimum_hosts: u32,
    pub success_rate_request_volume: u32,
    /// In thousandths.
    pub success_rate_stdev_factor: u32,
    /// Failures of the connection are not counted as answers.
    pub split_external_local_origin_errors: bool,
    pub consecutive_local_origin_failure: u32,
    pub enforcing_consecutive_local_origin_failure: u32,
    pub enforcing_local_origin_success_rate: u32,
}

impl TryFrom<wire::OutlierDetection> for OutlierDetection {
    type Error = Invalid;

    fn try_from(wire: wire::OutlierDetection) -> Result<Self, Invalid> {
        let percent = |field: &str, value: Option<u32>, default: u32| match value.unwrap_or(default) {
            percent @ 0..=100 => Ok(percent),
            other => Err(Invalid::new(field, format!("{other} is not a percentage"))),
        };
        Ok(Self {
            interval: millis(wire.interval_ms).unwrap_or(Duration::from_secs(10)),
            consecutive_5xx: wire.consecutive_5xx.unwrap_or(5),
            enforcing_consecutive_5xx: percent(
                "enforcing_consecutive_5xx",
                wire.enforcing_consecutive_5xx,
                100,
            )?,
            consecutive_gateway_failure: wire.consecutive_gateway_failure.unwrap_or(5),
            enforcing_consecutive_gateway_failure: percent(
                "enforcing_consecutive_gateway_failure",
                wire.enforcing_consecutive_gateway_failure,
                0,
            )?,
            base_ejection_time: millis(wire.base_ejection_time_ms).unwrap_or(Duration::from_secs(30)),
            max_ejection_percent: percent("max_ejection_percent", wire.max_ejection_percent, 10)?,
            enforcing_success_rate: percent("enforcing_success_rate", wire.enforcing_success_rate, 100)?,
            success_rate_minimum_hosts: wire.success_rate_minimum_hosts.unwrap_or(5),
            success_rate_request_volume: wire.success_rate_request_volume.unwrap_or(100),
            success_rate_stdev_factor: wire.success_rate_stdev_factor.unwrap_or(1900),
            split_external_local_origin_errors: wire.split_external_local_origin_errors,
            consecutive_local_origin_failure: wire.consecutive_local_origin_failure.unwrap_or(5),
            enforcing_consecutive_local_origin_failure: percent(
                "enforcing_consecutive_local_origin_failure",
                wire.enforcing_consecutive_local_origin_failure,
                100,
            )?,
            enforcing_local_origin_success_rate: percent(
                "enforcing_local_origin_success_rate",
                wire.enforcing_local_origin_success_rate,
                100,
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_envoy_s_and_percentages_are_checked() {
        let detection = OutlierDetection::try_from(wire::OutlierDetection::default()).unwrap();
        assert_eq!(detection.interval, Duration::from_secs(10));
        assert_eq!((detection.consecutive_5xx, detection.enforcing_consecutive_5xx), (5, 100));
        assert_eq!(detection.enforcing_consecutive_gateway_failure, 0);
        assert_eq!((detection.max_ejection_percent, detection.success_rate_stdev_factor), (10, 1900));
        let wrong = wire::OutlierDetection { max_ejection_percent: Some(101), ..Default::default() };
        assert_eq!(OutlierDetection::try_from(wrong).unwrap_err().path, "max_ejection_percent");
    }
}
