//! Upstreams of users made into upstreams of the model.
//!
//! What all types share (TLS, balancing, connections) is here; what a type alone knows, its endpoints and how they are
//! found, is in the folder of that type. `registry` lists them.

mod balancing;
mod connections;
mod dns;
mod field;
mod health;
mod http;
mod pipe;
mod registry;
mod ssl;
mod static_hosts;

pub use balancing::labels;
pub use ssl::lower as lower_ssl;

use std::sync::Arc;

use crate::ir;
use crate::policy::grpc_json_transcoder;
use crate::resource::{CircuitBreakerConfig, Object, ObjectRef, Upstream, UpstreamType};
use crate::translate::{DnsHost, Notes, Pace, SecretReader};
use field::Field;

/// How an upstream type makes endpoints.
pub trait Type: Sync {
    /// Endpoints, if the upstream is of this type. Errors go to `notes`, and the result no longer matters then.
    fn endpoints(&self, upstream: &Upstream, owner: &ObjectRef, notes: &mut Notes) -> Option<Found>;
}

/// What an upstream type found out.
#[derive(Debug, Default)]
pub struct Found {
    /// Endpoints that are known now.
    pub fixed: Vec<ir::Endpoint>,
    /// The unix socket that it is; then there is nothing else.
    pub pipe: Option<Arc<str>>,
    /// Hosts to look up; with any of these `fixed` is empty.
    pub dynamic: Vec<DnsHost>,
    /// TLS without verification where there is no `sslConfig`.
    pub implied_tls: bool,
}

/// An upstream of the model, and the hosts to look up for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The upstream.
    pub upstream: ir::Upstream,
    /// Hosts to look up.
    pub dynamic: Vec<DnsHost>,
    /// How often.
    pub pace: Pace,
}

/// Circuit breakers as the model has them.
pub fn circuit_breakers(config: &CircuitBreakerConfig) -> ir::CircuitBreakers {
    ir::CircuitBreakers {
        max_connections: config.max_connections,
        max_pending_requests: config.max_pending_requests,
        max_requests: config.max_requests,
        max_retries: config.max_retries,
        track_remaining: config.track_remaining,
    }
}

/// Makes an upstream; `None` when `notes` say why not. `breakers` are those of Settings.
pub fn lower(
    object: &Object,
    upstream: &Upstream,
    name: Arc<str>,
    breakers: Option<&ir::CircuitBreakers>,
    secrets: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Option<Lowered> {
    let owner = &object.id;
    let Some(found) = registry::TYPES.iter().find_map(|it| it.endpoints(upstream, owner, notes)) else {
        notes.error(owner, "spec", "the upstream has no type: one of them, such as `static`, must be set");
        return None;
    };
    let tls = match &upstream.ssl_config {
        Some(config) => Some(ssl::lower(config, owner, "spec.sslConfig", secrets, notes)),
        None => found.implied_tls.then(ir::UpstreamTls::default),
    };
    let connection = upstream.connection_config.as_ref();
    let connect_timeout = connection.and_then(|it| {
        let mut field = Field::new(owner, "spec.connectionConfig.connectTimeout", notes);
        field.positive(it.connect_timeout)
    });
    let endpoints = match found.pipe {
        Some(path) => ir::Endpoints::Pipe(path),
        None if found.dynamic.is_empty() => ir::Endpoints::Fixed(found.fixed),
        None => ir::Endpoints::Discovered,
    };
    let connections = connections::lower(upstream, owner, secrets, notes);
    let policies = policies(upstream, owner, secrets, notes);
    let mut spec = Field::new(owner, "spec", notes);
    let pace = dns::pace(upstream, !found.dynamic.is_empty(), &mut spec);
    let upstream = ir::Upstream {
        name,
        origin: ir::Origin {
            kind: owner.kind.as_str(),
            namespace: Arc::clone(&owner.namespace),
            name: Arc::clone(&owner.name),
        },
        endpoints,
        tls,
        http2: upstream.use_http2.unwrap_or(false),
        connect_timeout,
        max_requests_per_connection: connection.map_or(0, |it| it.max_requests_per_connection),
        balancing: balancing::lower(upstream, &mut spec),
        health_check: health::check(upstream, &mut spec),
        outlier_detection: health::outlier(upstream, &mut spec),
        ignore_health_on_host_removal: upstream.ignore_health_on_host_removal.unwrap_or(false),
        connections,
        http: http::lower(upstream, &mut spec),
        circuit_breakers: upstream
            .circuit_breakers
            .as_ref()
            .map(circuit_breakers)
            .or_else(|| breakers.cloned()),
        policies,
    };
    Some(Lowered { upstream, dynamic: found.dynamic, pace })
}

/// What every request passes that goes there.
fn policies(
    upstream: &Upstream,
    owner: &ObjectRef,
    files: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Vec<ir::Policy> {
    let Some(UpstreamType::Static(spec)) = upstream.upstream_type() else { return Vec::new() };
    let service = spec.service_spec.as_ref();
    let Some(transcoder) = service.and_then(|service| service.grpc_json_transcoder.as_ref()) else {
        return Vec::new();
    };
    if upstream.use_http2 != Some(true) {
        let text = "grpcJsonTranscoder makes gRPC calls, which need `useHttp2: true`";
        notes.warning(owner, "spec.useHttp2", text);
    }
    let path = "spec.static.serviceSpec.grpcJsonTranscoder";
    grpc_json_transcoder::lower(transcoder, owner, path, files, notes).into_iter().collect()
}

#[cfg(test)]
mod tests;
