//! Resources that many tests write.

/// A VirtualService with these domains and routes (YAML, indented by six).
#[must_use]
pub fn virtual_service(name: &str, domains: &str, routes: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec:\n  virtualHost:\n    domains: {domains}\n    routes:\n{routes}"
    )
}

/// A route that forwards a prefix to one upstream.
#[must_use]
pub fn forward(prefix: &str, upstream: &str) -> String {
    format!(
        "    - matchers: [{{prefix: {prefix}}}]\n      routeAction: {{single: {{upstream: {{name: {upstream}, namespace: gloo-system}}}}}}\n"
    )
}

/// Weighted destinations of a route for all paths.
#[must_use]
pub fn weighted(weights: &[(&str, u32)]) -> String {
    let destinations: String = weights
        .iter()
        .map(|(name, weight)| {
            format!(
                "        - {{weight: {weight}, destination: {{upstream: {{name: {name}, namespace: gloo-system}}}}}}\n"
            )
        })
        .collect();
    format!(
        "    - matchers: [{{prefix: /}}]\n      routeAction:\n        multi:\n          destinations:\n{destinations}"
    )
}

/// A VirtualService with these routes whose TLS has the certificate of a Secret.
#[must_use]
pub fn secure(name: &str, host: &str, secret: &str, routes: &str) -> String {
    let ssl = format!(
        "spec:\n  sslConfig: {{secretRef: {{name: {secret}, namespace: gloo-system}}, sniDomains: [{host}]}}\n"
    );
    virtual_service(name, &format!("['{host}']"), routes).replace("spec:\n", &ssl)
}

/// A plain Gateway on a port.
#[must_use]
pub fn listener(name: &str, ip: std::net::Ipv4Addr, port: u16) -> String {
    format!(
        "---\napiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec: {{bindAddress: {ip}, bindPort: {port}, httpGateway: {{}}}}\n"
    )
}
