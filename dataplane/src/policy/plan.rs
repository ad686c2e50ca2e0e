//! What a route's policies add up to: the chain that runs, and the settings that the engine reads.

use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::Labels;

use super::chain::{Chain, Step};
use super::{
    AttemptCount, Hash, HostRewrite, PathRewrite, Policy, Retry, Shadow, StreamLimits, Tracing, Upgrade,
    metadata::Metadata, registry,
};

/// Limit of the whole exchange when no policy says otherwise.
pub const DEFAULT_TOTAL_TIMEOUT: Duration = Duration::from_secs(15);

/// How the engine treats the requests of a route or of one weighted destination. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Policies that run.
    pub policies: Chain,
    /// Limit of the whole exchange, retries included; none = no limit.
    pub total_timeout: Option<Duration>,
    /// Limits of silence and of the whole life.
    pub stream_limits: StreamLimits,
    /// Who is told about tries.
    pub attempt_count: AttemptCount,
    /// Protocols that requests may change to.
    pub upgrade: Upgrade,
    /// How requests show in traces.
    pub tracing: Option<Arc<Tracing>>,
    /// When a try is repeated.
    pub retry: Option<Arc<Retry>>,
    /// Path towards the upstream.
    pub path_rewrite: Option<Arc<PathRewrite>>,
    /// Host towards the upstream.
    pub host_rewrite: Option<Arc<HostRewrite>>,
    /// What makes requests go to the same endpoint.
    pub hash: Option<Arc<Hash>>,
    /// Endpoints with these labels; none = any.
    pub subset: Option<Labels>,
    /// Where copies go.
    pub shadow: Option<Arc<Shadow>>,
    /// What users note on the route.
    pub metadata: Option<Arc<Metadata>>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            policies: Chain::default(),
            total_timeout: Some(DEFAULT_TOTAL_TIMEOUT),
            stream_limits: StreamLimits::default(),
            attempt_count: AttemptCount::default(),
            upgrade: Upgrade::default(),
            tracing: None,
            retry: None,
            path_rewrite: None,
            host_rewrite: None,
            hash: None,
            subset: None,
            shadow: None,
            metadata: None,
        }
    }
}

impl Plan {
    /// This plan with the builder's policies in the place of those of the same type.
    #[must_use]
    pub fn with(&self, over: &PlanBuilder) -> Self {
        Self {
            policies: Chain::merged(&self.policies, &over.steps),
            total_timeout: over.total_timeout.unwrap_or(self.total_timeout),
            stream_limits: over.stream_limits.unwrap_or(self.stream_limits),
            attempt_count: over.attempt_count.unwrap_or(self.attempt_count),
            upgrade: over.upgrade.unwrap_or(self.upgrade),
            tracing: over.tracing.clone().or_else(|| self.tracing.clone()),
            retry: over.retry.clone().or_else(|| self.retry.clone()),
            path_rewrite: over.path_rewrite.clone().or_else(|| self.path_rewrite.clone()),
            host_rewrite: over.host_rewrite.clone().or_else(|| self.host_rewrite.clone()),
            hash: over.hash.clone().or_else(|| self.hash.clone()),
            subset: over.subset.clone().or_else(|| self.subset.clone()),
            shadow: over.shadow.clone().or_else(|| self.shadow.clone()),
            metadata: over.metadata.clone().or_else(|| self.metadata.clone()),
        }
    }
}

/// Collects what decoded policies say. A field that no policy set stays open.
#[derive(Debug, Clone, Default)]
pub struct PlanBuilder {
    steps: Vec<Step>,
    total_timeout: Option<Option<Duration>>,
    stream_limits: Option<StreamLimits>,
    attempt_count: Option<AttemptCount>,
    upgrade: Option<Upgrade>,
    tracing: Option<Arc<Tracing>>,
    retry: Option<Arc<Retry>>,
    path_rewrite: Option<Arc<PathRewrite>>,
    host_rewrite: Option<Arc<HostRewrite>>,
    hash: Option<Arc<Hash>>,
    subset: Option<Labels>,
    shadow: Option<Arc<Shadow>>,
    metadata: Option<Arc<Metadata>>,
}

impl PlanBuilder {
    /// Decodes `policies` in order.
    ///
    /// # Errors
    /// A type that the registry does not know, or one that does not decode; the path starts at `policies[i]`.
    pub fn decode(policies: &[prost_types::Any]) -> Result<Self, Invalid> {
        let mut builder = Self::default();
        for (i, any) in policies.iter().enumerate() {
            registry::install(any, &mut builder).map_err(|e| e.under(format!("policies[{i}]")))?;
        }
        Ok(builder)
    }

    /// Nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self.total_timeout.is_none()
            && self.stream_limits.is_none()
            && self.attempt_count.is_none()
            && self.upgrade.is_none()
            && self.tracing.is_none()
            && self.retry.is_none()
            && self.path_rewrite.is_none()
            && self.host_rewrite.is_none()
            && self.hash.is_none()
            && self.subset.is_none()
            && self.shadow.is_none()
            && self.metadata.is_none()
    }

    /// The plan of a route that has these policies.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::default().with(self)
    }

    /// Adds a policy that runs.
    pub fn push(&mut self, type_url: &'static str, policy: Arc<dyn Policy>) {
        self.steps.push(Step::new(type_url, policy));
    }

    /// Limit of the whole exchange; none = no limit.
    pub fn total_timeout(&mut self, limit: Option<Duration>) {
        self.total_timeout = Some(limit);
    }

    /// Limits of silence and of the whole life.
    pub fn stream_limits(&mut self, limits: StreamLimits) {
        self.stream_limits = Some(limits);
    }

    /// Who is told about tries.
    pub fn attempt_count(&mut self, count: AttemptCount) {
        self.attempt_count = Some(count);
    }

    /// Protocols that requests may change to.
    pub fn upgrade(&mut self, upgrade: Upgrade) {
        self.upgrade = Some(upgrade);
    }

    /// How requests show in traces.
    pub fn tracing(&mut self, tracing: Tracing) {
        self.tracing = Some(Arc::new(tracing));
    }

    /// When a try is repeated.
    pub fn retry(&mut self, retry: Retry) {
        self.retry = Some(Arc::new(retry));
    }

    /// Path towards the upstream.
    pub fn path_rewrite(&mut self, rewrite: PathRewrite) {
        self.path_rewrite = Some(Arc::new(rewrite));
    }

    /// What makes requests go to the same endpoint.
    pub fn hash(&mut self, hash: Hash) {
        self.hash = Some(Arc::new(hash));
    }

    /// Endpoints with these labels.
    pub fn subset(&mut self, labels: Labels) {
        self.subset = Some(labels);
    }

    /// Where copies go.
    pub fn shadow(&mut self, shadow: Shadow) {
        self.shadow = Some(Arc::new(shadow));
    }

    /// What users note on the route.
    pub fn metadata(&mut self, metadata: Metadata) {
        self.metadata = Some(Arc::new(metadata));
    }

    /// Host towards the upstream.
    pub fn host_rewrite(&mut self, rewrite: HostRewrite) {
        self.host_rewrite = Some(Arc::new(rewrite));
    }
}
