//! How an upstream's endpoints are chosen and looked after, in a few words each. What is the default is not said.

use portcullis_shared::table::{Checker, CircuitBreakers, Label, LoadBalancer, ProxyVersion, Upstream};

/// Everything but the defaults, for a destination that asks for these labels.
pub(super) fn of(upstream: &Upstream, labels: &[Label]) -> Vec<String> {
    let mut said = Vec::new();
    if !labels.is_empty() {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        said.push(format!("with {}", labels.join(", ")));
    }
    match upstream.load_balancer {
        LoadBalancer::RoundRobin => {}
        LoadBalancer::LeastRequest { choice_count } => said.push(format!("least busy of {choice_count}")),
        LoadBalancer::Random => said.push("at random".to_owned()),
        LoadBalancer::RingHash { .. } => said.push("by hash on a ring".to_owned()),
        LoadBalancer::Maglev => said.push("by hash in a Maglev table".to_owned()),
    }
    if let Some(slow) = &upstream.slow_start {
        said.push(format!("slow start over {}", humantime::format_duration(slow.window)));
    }
    if let Some(check) = &upstream.health_check {
        let asked = match &check.checker {
            Checker::Http(http) => format!("{} {}", http.method, http.path),
            Checker::Tcp(_) => "TCP".to_owned(),
            Checker::Grpc(_) => "gRPC".to_owned(),
        };
        said.push(format!("checked by {asked} every {}", humantime::format_duration(check.interval)));
    }
    if let Some(rules) = &upstream.outlier_detection {
        let part = rules.max_ejection_percent;
        said.push(format!("up to {part}% ejected after {} failures in a row", rules.consecutive_5xx));
    }
    said.extend(connections(upstream));
    let breakers = upstream.circuit_breakers;
    if breakers != CircuitBreakers::default() {
        said.push(format!(
            "at most {} connections, {} pending, {} requests, {} retries",
            breakers.max_connections,
            breakers.max_pending_requests,
            breakers.max_requests,
            breakers.max_retries
        ));
    }
    said
}

/// What is special about its connections.
fn connections(upstream: &Upstream) -> Vec<String> {
    let mut said = Vec::new();
    let connections = &upstream.connections;
    if let Some(connect) = &connections.http_connect {
        said.push(format!("through a proxy to {}", connect.authority));
    }
    match connections.proxy_protocol {
        None => {}
        Some(ProxyVersion::V1) => said.push("PROXY protocol v1".to_owned()),
        Some(ProxyVersion::V2) => said.push("PROXY protocol v2".to_owned()),
    }
    if let Some(ratios) = connections.preconnect {
        let (own, ahead) = (ratios.per_endpoint, ratios.ahead);
        said.push(format!("connections in advance {own} at the endpoint, {ahead} over all"));
    }
    if let Some(limit) = upstream.http.max_stream {
        said.push(format!("tries of at most {}", humantime::format_duration(limit)));
    }
    said
}
