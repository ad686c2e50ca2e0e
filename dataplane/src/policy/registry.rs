//! Every policy that this worker understands. A type that is not here rejects its route: nothing is skipped.

use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use portcullis_shared::invalid::Invalid;
use prost_types::Any;

use super::{
    Chain, PlanBuilder, answer, attempt_count, buffer, compression, cors, csrf, dynamic_forward, ext_auth,
    fault, grpc_json_transcoder, grpc_web, hash, headers, health_check, host_rewrite, metadata, path_rewrite,
    rate_limit, retry, shadow, stream_limits, timeout, tracing, transformation, upgrade,
};

/// Decodes a policy message and puts it into a plan, as a policy that runs or as a setting of the engine.
type Install = fn(&[u8], &mut PlanBuilder) -> Result<(), Invalid>;

/// (type URL, how it is installed). The order means nothing here: `shared::policy` knows when each runs.
const POLICIES: &[(&str, Install)] = &[
    (answer::TYPE_URL, answer::install),
    (attempt_count::TYPE_URL, attempt_count::install),
    (buffer::TYPE_URL, buffer::install),
    (buffer::PER_ROUTE_TYPE_URL, buffer::install_per_route),
    (compression::TYPE_URL, compression::install),
    (cors::TYPE_URL, cors::install),
    (csrf::TYPE_URL, csrf::install),
    (dynamic_forward::HOST, dynamic_forward::install_host),
    (dynamic_forward::PROXY, dynamic_forward::install_proxy),
    (ext_auth::TYPE_URL, ext_auth::install),
    (fault::TYPE_URL, fault::install),
    (grpc_json_transcoder::TYPE_URL, grpc_json_transcoder::install),
    (grpc_web::TYPE_URL, grpc_web::install),
    (hash::TYPE_URL, hash::install),
    (headers::TYPE_URL, headers::install),
    (health_check::TYPE_URL, health_check::install),
    (host_rewrite::TYPE_URL, host_rewrite::install),
    (metadata::TYPE_URL, metadata::install),
    (path_rewrite::TYPE_URL, path_rewrite::install),
    (rate_limit::global::EARLY, rate_limit::global::install_early),
    (rate_limit::global::REGULAR, rate_limit::global::install),
    (rate_limit::local::TYPE_URL, rate_limit::local::install),
    (retry::TYPE_URL, retry::install),
    (shadow::TYPE_URL, shadow::install),
    (stream_limits::TYPE_URL, stream_limits::install),
    (timeout::TYPE_URL, timeout::install),
    (tracing::TYPE_URL, tracing::install),
    (upgrade::TYPE_URL, upgrade::install),
    (transformation::EARLY, transformation::install_early),
    (transformation::REGULAR, transformation::install),
];

/// The type URLs that a worker names in its Hello.
pub fn type_urls() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|(url, _)| *url)
}

/// Decodes one policy into `builder`.
///
/// # Errors
/// A type that is not in the registry, or a message that does not decode or is not valid.
pub(super) fn install(any: &Any, builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let Some((_, install)) = POLICIES.iter().find(|(url, _)| *url == any.type_url) else {
        return Err(Invalid::new("type_url", format!("unknown policy \"{}\"", any.type_url)));
    };
    install(&any.value, builder)
}

/// What runs on every listener that does not say otherwise.
static DEFAULT: LazyLock<Chain> = LazyLock::new(|| {
    let mut builder = PlanBuilder::default();
    builder.push(grpc_web::TYPE_URL, Arc::new(grpc_web::GrpcWeb { enabled: true }));
    builder.plan().policies
});

/// The policies of a listener that has none of its own, if they concern a request with these fields.
pub fn default_for(headers: &HeaderMap) -> Option<&'static Chain> {
    grpc_web::concerns(headers).then_some(&*DEFAULT)
}

/// The policies of a listener with those that every listener has.
pub(crate) fn with_default(own: &Chain) -> Chain {
    own.on(&DEFAULT)
}

/// The bytes of an Any as the message `M`.
pub(super) fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Invalid> {
    M::decode(bytes).map_err(|e| Invalid::new("value", format!("does not decode: {e}")))
}

#[cfg(test)]
mod tests {
    use portcullis_proto::policy::v1 as proto;
    use prost::Name;

    use super::*;
    use crate::policy::plan::DEFAULT_TOTAL_TIMEOUT;

    fn any<M: Name>(message: &M) -> Any {
        Any { type_url: M::type_url(), value: message.encode_to_vec() }
    }

    #[test]
    fn type_urls_are_those_of_the_messages() {
        let mut known: Vec<_> = type_urls().map(str::to_owned).collect();
        known.sort();
        let mut wanted = [
            proto::Answer::type_url(),
            proto::AttemptCount::type_url(),
            proto::Buffer::type_url(),
            proto::BufferPerRoute::type_url(),
            proto::Compression::type_url(),
            proto::Cors::type_url(),
            proto::Csrf::type_url(),
            proto::DynamicForwardProxy::type_url(),
            proto::DynamicHost::type_url(),
            proto::EarlyRateLimit::type_url(),
            proto::EarlyTransformation::type_url(),
            proto::ExtAuth::type_url(),
            proto::Fault::type_url(),
            proto::GrpcJsonTranscoder::type_url(),
            proto::GrpcWeb::type_url(),
            proto::Hash::type_url(),
            proto::Headers::type_url(),
            proto::HealthCheck::type_url(),
            proto::HostRewrite::type_url(),
            proto::LocalRateLimit::type_url(),
            proto::Metadata::type_url(),
            proto::PathRewrite::type_url(),
            proto::RateLimit::type_url(),
            proto::Retry::type_url(),
            proto::Shadow::type_url(),
            proto::StreamLimits::type_url(),
            proto::Timeout::type_url(),
            proto::Tracing::type_url(),
            proto::Upgrade::type_url(),
            proto::Transformation::type_url(),
        ];
        wanted.sort();
        assert_eq!(known, wanted);
        assert!(known.iter().all(|url| portcullis_shared::policy::ORDER.contains(&&**url)));
    }

    #[test]
    fn an_unknown_type_and_a_broken_message_are_refused() {
        let unknown = Any { type_url: "/portcullis.policy.v1.Teleport".into(), value: Vec::new() };
        let error = PlanBuilder::decode(&[unknown]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "policies[0].type_url: unknown policy \"/portcullis.policy.v1.Teleport\""
        );
        let broken = Any { type_url: headers::TYPE_URL.into(), value: vec![0xff] };
        assert_eq!(PlanBuilder::decode(&[broken]).expect_err("refused").path, "policies[0].value");
    }

    #[test]
    fn a_destination_replaces_policies_of_the_same_type_only() {
        let route = [any(&proto::Timeout { total_ms: 1000 }), any(&proto::Headers::default())];
        let route = PlanBuilder::decode(&route).expect("valid").plan();
        assert_eq!(route.total_timeout, Some(std::time::Duration::from_secs(1)));
        assert_eq!(route.policies.len(), 1);

        let over = PlanBuilder::decode(&[any(&proto::Timeout { total_ms: 0 })]).expect("valid");
        let plan = route.with(&over);
        assert_eq!((plan.total_timeout, plan.policies.len()), (None, 1));

        let over = PlanBuilder::decode(&[any(&proto::Headers::default())]).expect("valid");
        let plan = route.with(&over);
        assert_eq!((plan.total_timeout, plan.policies.len()), (route.total_timeout, 1));
        assert_eq!(PlanBuilder::default().plan().total_timeout, Some(DEFAULT_TOTAL_TIMEOUT));
    }
}
