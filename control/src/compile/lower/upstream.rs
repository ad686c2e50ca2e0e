//! Upstreams.

use portcullis_proto::table::v1 as wire;
use portcullis_proto::table::v1::upstream::LoadBalancer;

use super::{labels, millis, origin, policies, strings, text, tls_version};
use crate::ir::{
    Balancer, CertificateSource, CheckHeader, Checker, CircuitBreakers, ConnectHeader, Connections, Endpoint,
    Endpoints, Fallback, HeaderCase, HealthCheck, HttpCheck, HttpConnect, OutlierDetection, ProxyVersion,
    SlowStart, Subsets, Upstream, UpstreamHttp, UpstreamTls,
};

/// An upstream with its fixed endpoints.
pub fn upstream(upstream: &Upstream) -> wire::Upstream {
    let balancing = &upstream.balancing;
    let (endpoints, dynamic_endpoints) = match &upstream.endpoints {
        Endpoints::Fixed(list) => (list.iter().map(endpoint).collect(), false),
        Endpoints::Discovered => (Vec::new(), true),
        Endpoints::Pipe(path) => {
            (vec![wire::Endpoint { pipe: path.to_string(), weight: 1, ..Default::default() }], false)
        }
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
        load_balancer: Some(match balancing.balancer {
            Balancer::RoundRobin => LoadBalancer::RoundRobin(wire::RoundRobin {}),
            Balancer::LeastRequest { choices } => {
                LoadBalancer::LeastRequest(wire::LeastRequest { choice_count: choices })
            }
            Balancer::Random => LoadBalancer::Random(wire::Random {}),
            Balancer::RingHash { minimum, maximum } => LoadBalancer::RingHash(wire::RingHash {
                minimum_ring_size: minimum,
                maximum_ring_size: maximum,
            }),
            Balancer::Maglev => LoadBalancer::Maglev(wire::Maglev {}),
        }),
        health_check: upstream.health_check.as_ref().map(health_check),
        outlier_detection: upstream.outlier_detection.as_ref().map(outlier_detection),
        healthy_panic_threshold: balancing.healthy_panic_threshold,
        slow_start: balancing.slow_start.as_ref().map(slow_start),
        hash_by_hostname: balancing.hash_by_hostname,
        close_connections_on_host_set_change: balancing.close_connections_on_host_set_change,
        update_merge_window_ms: balancing.update_merge_window.map(|window| millis(Some(window))),
        subsets: balancing.subsets.as_ref().map(subsets),
        ignore_health_on_host_removal: upstream.ignore_health_on_host_removal,
        circuit_breakers: upstream.circuit_breakers.as_ref().map(circuit_breakers),
        connections: some(connections(&upstream.connections)),
        http: some(http(&upstream.http)),
        policies: policies(&upstream.policies),
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

fn slow_start(slow: &SlowStart) -> wire::SlowStart {
    wire::SlowStart {
        window_ms: millis(Some(slow.window)),
        aggression: slow.aggression,
        min_weight_percent: Some(slow.min_weight_percent),
    }
}

fn subsets(subsets: &Subsets) -> wire::Subsets {
    let (fallback, default_subset) = match &subsets.fallback {
        Fallback::Any => (wire::SubsetFallback::AnyEndpoint, Vec::new()),
        Fallback::None => (wire::SubsetFallback::NoFallback, Vec::new()),
        Fallback::Default(subset) => (wire::SubsetFallback::DefaultSubset, labels(subset)),
    };
    let selector = |(keys, single_host): &(Vec<_>, bool)| wire::SubsetSelector {
        keys: strings(keys),
        single_host: *single_host,
    };
    wire::Subsets {
        selectors: subsets.selectors.iter().map(selector).collect(),
        fallback: fallback as i32,
        default_subset,
    }
}

fn health_check(check: &HealthCheck) -> wire::HealthCheck {
    use wire::health_check::Checker as Wire;
    wire::HealthCheck {
        timeout_ms: millis(Some(check.timeout)),
        interval_ms: millis(Some(check.interval)),
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
        initial_jitter_ms: millis(Some(check.initial_jitter)),
        interval_jitter_ms: millis(Some(check.interval_jitter)),
        interval_jitter_percent: check.interval_jitter_percent,
        new_connections: !check.reuse_connection,
        no_traffic_interval_ms: millis(check.no_traffic_interval),
        unhealthy_interval_ms: millis(check.unhealthy_interval),
        unhealthy_edge_interval_ms: millis(check.unhealthy_edge_interval),
        healthy_edge_interval_ms: millis(check.healthy_edge_interval),
        event_log_path: text(&check.event_log),
        always_log_failures: check.always_log_failures,
        checker: Some(match &check.checker {
            Checker::Http(http) => Wire::Http(http_check(http)),
            Checker::Tcp { send, receive } => Wire::Tcp(wire::TcpCheck {
                send: send.clone().into(),
                receive: receive.iter().map(|piece| piece.clone().into()).collect(),
            }),
            Checker::Grpc { service_name, authority, metadata } => Wire::Grpc(wire::GrpcCheck {
                service_name: service_name.to_string(),
                authority: authority.to_string(),
                metadata: metadata.iter().map(check_header).collect(),
            }),
        }),
    }
}

fn http_check(http: &HttpCheck) -> wire::HttpCheck {
    let range = |range: &std::ops::Range<u32>| wire::StatusRange { start: range.start, end: range.end };
    wire::HttpCheck {
        host: http.host.to_string(),
        path: http.path.to_string(),
        method: http.method.to_owned(),
        add_headers: http.add_headers.iter().map(check_header).collect(),
        remove_headers: strings(&http.remove_headers),
        expected: http.expected.iter().map(range).collect(),
        http2: http.http2,
        service_name: http.service_name.to_string(),
    }
}

fn check_header(header: &CheckHeader) -> wire::CheckHeader {
    wire::CheckHeader {
        name: header.name.to_string(),
        value: header.value.to_string(),
        append: header.append,
    }
}

fn outlier_detection(rules: &OutlierDetection) -> wire::OutlierDetection {
    wire::OutlierDetection {
        interval_ms: millis(Some(rules.interval)),
        consecutive_5xx: rules.consecutive_5xx,
        enforcing_consecutive_5xx: rules.enforcing_consecutive_5xx,
        consecutive_gateway_failure: rules.consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure: rules.enforcing_consecutive_gateway_failure,
        base_ejection_time_ms: millis(rules.base_ejection_time),
        max_ejection_percent: rules.max_ejection_percent,
        enforcing_success_rate: rules.enforcing_success_rate,
        success_rate_minimum_hosts: rules.success_rate_minimum_hosts,
        success_rate_request_volume: rules.success_rate_request_volume,
        success_rate_stdev_factor: rules.success_rate_stdev_factor,
        split_external_local_origin_errors: rules.split_external_local_origin_errors,
        consecutive_local_origin_failure: rules.consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure: rules.enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate: rules.enforcing_local_origin_success_rate,
    }
}

fn endpoint(endpoint: &Endpoint) -> wire::Endpoint {
    wire::Endpoint {
        address: endpoint.address.to_string(),
        port: u32::from(endpoint.port),
        weight: endpoint.weight,
        hostname: String::new(),
        sni: text(&endpoint.sni),
        labels: labels(&endpoint.labels),
        pipe: String::new(),
    }
}

/// A message that says something.
fn some<M: Default + PartialEq>(message: M) -> Option<M> {
    (message != M::default()).then_some(message)
}

fn connections(it: &Connections) -> wire::Connections {
    wire::Connections {
        proxy_protocol: match it.proxy_protocol {
            None => wire::ProxyVersion::None,
            Some(ProxyVersion::V1) => wire::ProxyVersion::V1,
            Some(ProxyVersion::V2) => wire::ProxyVersion::V2,
        } as i32,
        http_connect: it.http_connect.as_ref().map(http_connect),
        tcp_keepalive: it.tcp_keepalive.map(|keepalive| wire::TcpKeepalive {
            probes: keepalive.probes,
            time_s: keepalive.time,
            interval_s: keepalive.interval,
        }),
        idle_timeout_ms: it.idle_timeout.map(|limit| millis(Some(limit))),
        buffer_limit_bytes: it.buffer_limit.unwrap_or(0),
        preconnect: it
            .preconnect
            .map(|ratios| wire::Preconnect { per_endpoint: ratios.per_endpoint, ahead: ratios.ahead }),
    }
}

fn http_connect(connect: &HttpConnect) -> wire::HttpConnect {
    let header = |header: &ConnectHeader| wire::ConnectHeader {
        name: header.name.to_string(),
        value: header.value.to_string(),
    };
    wire::HttpConnect {
        authority: connect.authority.to_string(),
        headers: connect.headers.iter().map(header).collect(),
        tls: connect.tls.as_ref().map(tls),
    }
}

fn http(it: &UpstreamHttp) -> wire::UpstreamHttp {
    wire::UpstreamHttp {
        as_downstream: it.as_downstream,
        header_fields: it.header_fields,
        max_stream_ms: millis(it.max_stream),
        header_case: match it.header_case {
            HeaderCase::Lower => wire::HeaderCase::Lower,
            HeaderCase::Proper => wire::HeaderCase::Proper,
            HeaderCase::Preserve => wire::HeaderCase::Preserve,
        } as i32,
        trailers: it.trailers,
        stream_window: it.stream_window.unwrap_or(0),
        connection_window: it.connection_window.unwrap_or(0),
        max_concurrent_streams: it.max_concurrent_streams.unwrap_or(0),
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
        verify_server_name: tls.verify_server_name,
    }
}
