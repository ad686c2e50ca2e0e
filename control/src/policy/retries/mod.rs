//! `retries`: when a try is repeated. The route's replaces the virtual host's.

use http::HeaderName;
use portcullis_proto::policy::v1 as wire;

use super::{ActionKind, Fit, Found, Levels, Policy};
use crate::ir;
use crate::resource::{GoDuration, ResetHeaderFormat, RetryPolicy};
use crate::translate::Notes;

/// Conditions that workers know; the names are Envoy's.
const CONDITIONS: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// The policy.
pub struct Retries;

impl Policy for Retries {
    fn option(&self) -> &'static str {
        "retries"
    }

    fn fit(&self, action: ActionKind) -> Fit {
        action.only_forward()
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let retries = levels
            .in_route("retries", |options| options.retries.as_ref())
            .or_else(|| levels.in_host("retries", |options| options.retries.as_ref()))?;
        let value = retries.value;
        let (base_interval_ms, max_interval_ms) = back_off(&retries, notes);
        let per_try_timeout_ms = millis(&retries, ".perTryTimeout", value.per_try_timeout, notes);
        for (at, status) in value.retriable_status_codes.iter().enumerate() {
            if !(100..600).contains(status) {
                let field = format!(".retriableStatusCodes[{at}]");
                retries.error(notes, &field, format!("retries: {status} is not an HTTP status"));
            }
        }
        let (reset_headers, reset_max_interval_ms) = resets(&retries, notes);
        let retry_on = conditions(&retries, notes);
        if retry_on.is_empty() {
            return None;
        }
        Some(super::wire(&wire::Retry {
            retry_on,
            // 0 cannot be told from absent, and a list of conditions without a retry would make no sense.
            num_retries: value.num_retries.max(1),
            per_try_timeout_ms,
            base_interval_ms,
            max_interval_ms,
            retriable_status_codes: value.retriable_status_codes.clone(),
            reset_headers,
            reset_max_interval_ms,
        }))
    }
}

fn conditions(retries: &Found<'_, RetryPolicy>, notes: &mut Notes) -> Vec<String> {
    let mut known = Vec::new();
    for word in retries.value.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if CONDITIONS.contains(&word) {
            known.push(word.to_owned());
        } else {
            let message = format!(
                "retries: unknown condition [{word}] is ignored: the known ones are {}",
                CONDITIONS.join(", ")
            );
            retries.warning(notes, ".retryOn", message);
        }
    }
    known
}

fn back_off(retries: &Found<'_, RetryPolicy>, notes: &mut Notes) -> (u64, u64) {
    let Some(back_off) = &retries.value.retry_back_off else {
        return (0, 0);
    };
    let one_millisecond = GoDuration(1_000_000);
    for (field, value) in [
        (".retryBackOff.baseInterval", back_off.base_interval),
        (".retryBackOff.maxInterval", back_off.max_interval),
    ] {
        if value.is_some_and(|value| value < one_millisecond) {
            retries.error(
                notes,
                field,
                format!("retries: {} must be at least 1ms", field.trim_start_matches('.')),
            );
        }
    }
    match (back_off.base_interval, back_off.max_interval) {
        (None, Some(_)) => {
            retries.error(
                notes,
                ".retryBackOff.baseInterval",
                "retries: retryBackOff.baseInterval is needed when maxInterval is set",
            );
        }
        (Some(base), Some(max)) if base > max => {
            let message = format!("retries: the base interval {base} is above the maximum {max}");
            retries.error(notes, ".retryBackOff.baseInterval", message);
        }
        _ => {}
    }
    let millis = |value: Option<GoDuration>| value.and_then(GoDuration::to_millis).unwrap_or(0);
    (millis(back_off.base_interval), millis(back_off.max_interval))
}

fn resets(retries: &Found<'_, RetryPolicy>, notes: &mut Notes) -> (Vec<wire::ResetHeader>, u64) {
    let Some(back_off) = &retries.value.rate_limited_retry_back_off else {
        return (Vec::new(), 0);
    };
    let field = ".rateLimitedRetryBackOff";
    if back_off.reset_headers.is_empty() {
        let message = "retries: rateLimitedRetryBackOff needs at least one of resetHeaders";
        retries.error(notes, &format!("{field}.resetHeaders"), message);
    }
    if back_off.max_interval.is_some_and(|interval| interval <= GoDuration(0)) {
        let message = "retries: rateLimitedRetryBackOff.maxInterval must be above 0";
        retries.error(notes, &format!("{field}.maxInterval"), message);
    }
    let headers = back_off.reset_headers.iter().enumerate();
    let headers = headers.filter_map(|(at, header)| match HeaderName::from_bytes(header.name.as_bytes()) {
        Ok(name) => Some(wire::ResetHeader {
            name: name.to_string(),
            unix_timestamp: header.format == ResetHeaderFormat::UnixTimestamp,
        }),
        Err(_) => {
            let message = format!("retries: [{}] is not a header name", header.name);
            retries.error(notes, &format!("{field}.resetHeaders[{at}].name"), message);
            None
        }
    });
    (headers.collect(), back_off.max_interval.and_then(GoDuration::to_millis).unwrap_or(0))
}

fn millis(
    retries: &Found<'_, RetryPolicy>,
    field: &str,
    value: Option<GoDuration>,
    notes: &mut Notes,
) -> u64 {
    match value.map(|value| (value, value.to_millis())) {
        None => 0,
        Some((_, Some(millis))) => millis,
        Some((value, None)) => {
            retries.error(
                notes,
                field,
                format!("retries: {} {value} is negative", field.trim_start_matches('.')),
            );
            0
        }
    }
}
