//! `ratelimitServer` of Settings and listeners: a rate limit server.

use std::sync::Arc;

use portcullis_proto::policy::v1 as wire;

use super::{Place, Said, table_name};
use crate::resource::{ObjectRef, RateLimitServerSettings};

const DEFAULT_TIMEOUT_MS: u64 = 100;
/// Servers are configured by it; Gloo knows no other.
const DOMAIN: &str = "custom";

/// A server and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RateLimitServer {
    /// Its Upstream.
    pub reference: ObjectRef,
    /// Where it is said.
    pub said: Said,
    /// Empty = the upstream's name.
    pub authority: String,
    /// Limit of a question.
    pub timeout_ms: u64,
    /// Requests are denied when it does not answer.
    pub deny_on_fail: bool,
    /// Answers say what is left.
    pub headers: bool,
    /// `ratelimit` counts before authentication.
    pub before_auth: bool,
}

impl RateLimitServer {
    /// The message that asks it this.
    pub fn message(&self, descriptors: Vec<wire::Descriptor>) -> wire::RateLimit {
        wire::RateLimit {
            upstream: table_name(&self.reference),
            authority: self.authority.clone(),
            domain: DOMAIN.into(),
            timeout_ms: self.timeout_ms,
            deny_on_fail: self.deny_on_fail,
            headers: self.headers,
            descriptors,
        }
    }
}

/// The server, unless something about it is wrong.
pub(super) fn lower(
    settings: &RateLimitServerSettings,
    place: &mut Place<'_>,
) -> Option<Arc<RateLimitServer>> {
    let field = ".ratelimitServerRef";
    let reference = place.upstream(field, settings.ratelimit_server_ref.as_ref());
    let timeout = place.timeout(".requestTimeout", settings.request_timeout, DEFAULT_TIMEOUT_MS);
    Some(Arc::new(RateLimitServer {
        reference: reference?,
        said: place.said(field),
        authority: settings.grpc_service.as_ref().map(|it| it.authority.clone()).unwrap_or_default(),
        timeout_ms: timeout?,
        deny_on_fail: settings.deny_on_fail,
        headers: settings.enable_x_ratelimit_headers,
        before_auth: settings.rate_limit_before_auth,
    }))
}
