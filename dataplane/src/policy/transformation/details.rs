//! Envoy's response code details for the words of policies, so that matchers written for Envoy fit.

/// (a policy's own word, Envoy's).
const DETAILS: &[(&str, &str)] = &[
    ("fault_abort", "fault_filter_abort"),
    ("rate_limited", "request_rate_limited"),
    ("body_too_large", "request_payload_too_large"),
    ("response_too_large", "response_payload_too_large"),
    ("transformation_failed", "transformation_filter_error"),
];

/// Whether a response with these details is the wanted one; both Envoy's words and the gateway's own fit.
pub(super) fn are(wanted: &str, details: &str) -> bool {
    wanted == details || DETAILS.contains(&(details, wanted)) || DETAILS.contains(&(wanted, details))
}
