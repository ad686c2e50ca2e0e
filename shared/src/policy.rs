//! The order in which policies run: the one place that knows it.
//!
//! Control sends the policies of a route in this order; a worker merges those of listener, route and destination by it.
//! It is the order of Envoy's HTTP filters under Gloo, so that what a fault, a preflight or a 429 passes through on its
//! way out is what users are used to. Responses run through it backwards.

/// Type URLs of policy messages, in the order of a request.
pub const ORDER: &[&str] = &[
    // Not a step: what others read of the route.
    "/portcullis.policy.v1.Metadata",
    "/portcullis.policy.v1.Compression",
    "/portcullis.policy.v1.Fault",
    "/portcullis.policy.v1.EarlyTransformation",
    "/portcullis.policy.v1.Cors",
    "/portcullis.policy.v1.LocalRateLimit",
    "/portcullis.policy.v1.EarlyRateLimit",
    "/portcullis.policy.v1.ExtAuth",
    "/portcullis.policy.v1.GrpcWeb",
    "/portcullis.policy.v1.HealthCheck",
    "/portcullis.policy.v1.Transformation",
    "/portcullis.policy.v1.RateLimit",
    "/portcullis.policy.v1.GrpcJsonTranscoder",
    "/portcullis.policy.v1.BufferPerRoute",
    "/portcullis.policy.v1.DynamicHost",
    "/portcullis.policy.v1.DynamicForwardProxy",
    "/portcullis.policy.v1.Buffer",
    "/portcullis.policy.v1.Csrf",
    // From here on what Envoy's router does.
    "/portcullis.policy.v1.Upgrade",
    "/portcullis.policy.v1.Tracing",
    "/portcullis.policy.v1.Timeout",
    "/portcullis.policy.v1.StreamLimits",
    "/portcullis.policy.v1.Retry",
    "/portcullis.policy.v1.AttemptCount",
    "/portcullis.policy.v1.Hash",
    "/portcullis.policy.v1.PathRewrite",
    "/portcullis.policy.v1.HostRewrite",
    "/portcullis.policy.v1.Headers",
    "/portcullis.policy.v1.Shadow",
    "/portcullis.policy.v1.Answer",
];

/// The place of a policy message in [`ORDER`]; one that is not there comes last.
#[must_use]
pub fn place(type_url: &str) -> usize {
    ORDER.iter().position(|known| *known == type_url).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distinct_and_unknown_messages_come_last() {
        for (at, type_url) in ORDER.iter().enumerate() {
            assert_eq!(place(type_url), at, "{type_url} stands there twice");
        }
        assert_eq!(place("/portcullis.policy.v1.Teleport"), ORDER.len());
    }
}
