//! What internal clients say about the handling of their requests, in Envoy's words: `x-envoy-upstream-rq-timeout-ms`,
//! `x-envoy-retry-on` and the like. Upstreams do not get to see them.
//!
//! Must only be asked about requests that `client` has found to be internal: of all others it has removed these fields.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::client::X_ENVOY_INTERNAL;
use crate::policy::{Plan, Retry};

/// The plan for a request with these fields.
pub(super) fn steered<'p>(plan: Cow<'p, Plan>, headers: &mut HeaderMap) -> Cow<'p, Plan> {
    if !headers.contains_key(X_ENVOY_INTERNAL) {
        return plan;
    }
    let mut total = plan.total_timeout;
    if let Some(limit) = millis(headers, "x-envoy-upstream-rq-timeout-ms") {
        total = (!limit.is_zero()).then_some(limit);
    }
    let per_try = millis(headers, "x-envoy-upstream-rq-per-try-timeout-ms");
    let mut retry = plan.retry.as_deref().cloned().unwrap_or_default();
    retry.ask(headers);
    if let Some(limit) = per_try {
        retry.per_try_timeout = Some(limit).filter(|limit| !limit.is_zero());
    }
    // A limit of one try that is no less than that of all is none.
    retry.per_try_timeout = retry.per_try_timeout.filter(|limit| total.is_none_or(|total| *limit < total));
    let same = plan.retry.as_deref().is_some_and(|before| *before == retry);
    if total == plan.total_timeout && (same || retry.is_empty()) {
        return plan;
    }
    let mut plan = plan.into_owned();
    plan.total_timeout = total;
    plan.retry = (!retry.is_empty()).then(|| Arc::<Retry>::new(retry));
    Cow::Owned(plan)
}

fn millis(headers: &mut HeaderMap, name: &str) -> Option<Duration> {
    Some(Duration::from_millis(headers.remove(name)?.to_str().ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::retry::RetryOn;
    use crate::policy::testing::map;

    const INTERNAL: (&str, &str) = ("x-envoy-internal", "true");

    #[test]
    fn an_internal_client_sets_limits_and_retries() {
        let mut headers = map(&[
            INTERNAL,
            ("x-envoy-upstream-rq-timeout-ms", "300"),
            ("x-envoy-upstream-rq-per-try-timeout-ms", "100"),
            ("x-envoy-retry-on", "5xx, retriable-headers"),
            ("x-envoy-retry-grpc-on", "unavailable"),
            ("x-envoy-max-retries", "4"),
            ("x-envoy-retriable-status-codes", "404,x"),
            ("x-envoy-retriable-header-names", "x-again"),
        ]);
        let plan = steered(Cow::Owned(Plan::default()), &mut headers);
        assert_eq!(headers, map(&[INTERNAL]));
        assert_eq!(plan.total_timeout, Some(Duration::from_millis(300)));
        let retry = plan.retry.as_deref().expect("asked for");
        assert_eq!(retry.on, RetryOn::FIVE_XX.or(RetryOn::HEADERS).or(RetryOn::UNAVAILABLE));
        assert_eq!((retry.num_retries, retry.per_try_timeout), (4, Some(Duration::from_millis(100))));
        assert!(retry.wants_response(http::StatusCode::OK, &map(&[("x-again", "1")])));
        assert!(retry.status_codes.contains(&404));
    }

    #[test]
    fn what_is_asked_is_added_to_what_the_route_has() {
        let rule = Retry { on: RetryOn::GATEWAY_ERROR, num_retries: 3, ..Retry::default() };
        let plan = || Plan { retry: Some(Arc::new(rule.clone())), ..Plan::default() };
        let retry = |fields: &[(&'static str, &'static str)]| {
            let mut headers = map(fields);
            steered(Cow::Owned(plan()), &mut headers).retry.as_deref().cloned().expect("there")
        };
        assert_eq!(
            retry(&[INTERNAL, ("x-envoy-max-retries", "0")]),
            Retry { num_retries: 0, ..rule.clone() }
        );
        let more = retry(&[INTERNAL, ("x-envoy-retry-on", "retriable-4xx")]);
        assert_eq!(more.on, RetryOn::GATEWAY_ERROR.or(RetryOn::RETRIABLE_4XX));
        assert_eq!(retry(&[("x-envoy-max-retries", "0")]), rule, "nobody knows this client");
        let late = retry(&[INTERNAL, ("x-envoy-upstream-rq-per-try-timeout-ms", "20000")]);
        assert_eq!(late.per_try_timeout, None);
    }
}
