//! How an upstream's endpoints are chosen and looked after, in a few words each. What is the default is not said.

use portcullis_shared::table::{Checker, CircuitBreakers, Label, LoadBalancer, Upstream};

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
