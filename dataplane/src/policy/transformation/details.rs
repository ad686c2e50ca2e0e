//! Envoy's response code details for the reasons of this gateway, so that matchers written for Envoy fit.

/// (reason of the gateway's own answer, Envoy's words).
const DETAILS: &[(&str, &str)] = &[
    ("no_virtual_host", "route_not_found"),
    ("no_route", "route_not_found"),
    ("no_cluster", "cluster_not_found"),
    ("upstream_unhealthy", "no_healthy_upstream"),
    ("connect_failed", "upstream_reset_before_response_started{remote_connection_failure}"),
    ("connect_timeout", "upstream_reset_before_response_started{connection_timeout}"),
    ("upstream_reset", "upstream_reset_before_response_started{connection_termination}"),
    ("upstream_protocol_error", "upstream_reset_before_response_started{protocol_error}"),
    ("timeout", "response_timeout"),
    ("per_try_timeout", "upstream_per_try_timeout"),
    ("idle_timeout", "stream_idle_timeout"),
    ("tls_required", "direct_response"),
    ("redirect", "direct_response"),
    ("direct_response", "direct_response"),
    ("overload", "overload"),
    ("body_too_large", "request_payload_too_large"),
    ("response_too_large", "response_payload_too_large"),
    ("fault_abort", "fault_filter_abort"),
    ("csrf_origin_mismatch", "csrf_origin_mismatch"),
    ("ext_authz_denied", "ext_authz_denied"),
    ("ext_authz_error", "ext_authz_error"),
    ("rate_limited", "request_rate_limited"),
    ("local_rate_limited", "local_rate_limited"),
    ("transformation_failed", "transformation_filter_error"),
];

/// Whether a response with this reason has these details; both Envoy's words and the gateway's own fit.
pub(super) fn are(wanted: &str, local: bool, reason: Option<&str>) -> bool {
    let Some(reason) = reason.filter(|_| local) else { return !local && wanted == "via_upstream" };
    wanted == reason || DETAILS.iter().any(|(known, details)| *known == reason && *details == wanted)
}
