//! Upstreams.

use portcullis_proto::table::v1 as wire;
use portcullis_proto::table::v1::upstream::LoadBalancer;

use super::{millis, origin, strings, text, tls_version};
use crate::ir::{Balancer, CertificateSource, CircuitBreakers, Endpoint, Endpoints, Upstream, UpstreamTls};

/// An upstream with its fixed endpoints.
pub fn upstream(upstream: &Upstream) -> wire::Upstream {
    let (endpoints, dynamic_endpoints) = match &upstream.endpoints {
        Endpoints::Fixed(list) => (list.iter().map(endpoint).collect(), false),
        Endpoints::Discovered => (Vec::new(), true),
    };
    wire::Upstream {
        name: upstream.name.to_string(),
        origin: origin(&upstream.origin),
        endpoints,
        dynamic_endpoints,
        tls: upstream.tls.as_ref().map(tls),
        http2: upstream.http2,
        connect_timeout_ms: millis(upstream.connect_timeout),
        max_requests_per_connection: upstream.max_requests_per_connection,
        load_balancer: Some(match upstream.balancer {
            Balancer::RoundRobin => LoadBalancer::RoundRobin(wire::RoundRobin {}),
            Balancer::LeastRequest { choices } => {
                LoadBalancer::LeastRequest(wire::LeastRequest { choice_count: choices })
            }
            Balancer::Random => LoadBalancer::Random(wire::Random {}),
        }),
        circuit_breakers: upstream.circuit_breakers.as_ref().map(circuit_breakers),
    }
}

fn circuit_breakers(breakers: &CircuitBreakers) -> wire::CircuitBreakers {
    wire::CircuitBreakers {
        max_connections: breakers.max_connections,
        max_pending_requests: breakers.max_pending_requests,
        max_requests: breakers.max_requests,
        max_retries: breakers.max_retries,
        track_remaining: breakers.track_remaining,
    }
}

fn endpoint(endpoint: &Endpoint) -> wire::Endpoint {
    wire::Endpoint {
        address: endpoint.address.to_string(),
        port: u32::from(endpoint.port),
        weight: endpoint.weight,
        hostname: String::new(),
        sni: text(&endpoint.sni),
    }
}

fn tls(tls: &UpstreamTls) -> wire::UpstreamTls {
    let name = |source: &Option<CertificateSource>| {
        source.as_ref().map(|it| it.name().to_string()).unwrap_or_default()
    };
    wire::UpstreamTls {
        sni: text(&tls.sni),
        ca_certificate: name(&tls.ca),
        client_certificate: name(&tls.client),
        verify_subject_alt_names: strings(&tls.verify_subject_alt_names),
        alpn: strings(&tls.alpn),
        min_version: tls_version(tls.parameters.min),
        max_version: tls_version(tls.parameters.max),
        cipher_suites: strings(&tls.parameters.cipher_suites),
        curves: strings(&tls.parameters.curves),
    }
}
