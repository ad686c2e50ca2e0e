//! Tables as data: what workers get, without digests and without key material.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_control::compile::{Body, Table};
use portcullis_control::translate::Translated;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as wire;
use prost::{Message, Name};
use serde_json::{Map, Value, json};

/// Every proxy's table, and what discovery and the keyring are asked for.
pub fn tables(tables: &BTreeMap<Arc<str>, Arc<Table>>, translated: &Translated) -> Value {
    let mut all = Map::new();
    for (proxy, table) in tables {
        let mut kinds: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for ((_, name), entry) in &table.entries {
            let (kind, value) = match &entry.body {
                Body::Certificate(source) => ("certificates", json!(format!("{source:?}"))),
                Body::Upsert(Resource::Listener(it)) => ("listeners", listener(it)),
                Body::Upsert(Resource::VirtualHost(it)) => ("virtualHosts", virtual_host(it)),
                Body::Upsert(Resource::Upstream(it)) => ("upstreams", upstream(it)),
                Body::Upsert(Resource::Split(it)) => ("splits", destinations(it.destinations.as_ref())),
                Body::Upsert(Resource::Certificate(_)) => panic!("a table holds no key material"),
            };
            kinds.entry(kind).or_default().insert(name.to_string(), value);
        }
        all.insert(proxy.to_string(), json!(kinds));
    }
    let mut value = json!({ "proxies": all });
    let dynamic = translated.dynamic.iter().map(|it| {
        let hosts = it.hosts.iter().map(|host| {
            clean(json!({ "host": &*host.host, "port": host.port, "weight": host.weight, "sni": host.sni.as_deref() }))
        });
        (it.name.to_string(), hosts.collect())
    });
    let dynamic: Map<String, Value> = dynamic.collect();
    if !dynamic.is_empty() {
        value["lookedUp"] = json!(dynamic);
    }
    if !translated.wanted.is_empty() {
        value["wanted"] = translated.wanted.iter().map(|it| json!(format!("{it:?}"))).collect();
    }
    value
}

/// Leaves out what says nothing.
fn clean(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, clean(value)))
            .filter(|(_, value)| {
                !matches!(value, Value::Null | Value::Bool(false))
                    && *value != json!(0)
                    && *value != json!("")
                    && *value != json!([])
                    && *value != json!({})
            })
            .collect(),
        Value::Array(list) => list.into_iter().map(clean).collect(),
        other => other,
    }
}

fn origin(origin: Option<&wire::Origin>) -> String {
    origin.map(|it| format!("{} {}.{}", it.kind, it.namespace, it.name)).unwrap_or_default()
}

fn listener(it: &wire::Listener) -> Value {
    let chains = it.filter_chains.iter().map(|chain| {
        let tls = chain.tls.as_ref().map(|tls| {
            json!({
                "certificate": tls.certificate,
                "requireClientCertificate": tls.require_client_certificate,
                "verifySubjectAltNames": tls.verify_subject_alt_names,
                "versions": versions(tls.min_version, tls.max_version),
                "cipherSuites": tls.cipher_suites,
                "curves": tls.curves,
                "alpn": tls.alpn,
                "disableSessionResumption": tls.disable_session_resumption,
                "handshakeTimeoutMs": tls.handshake_timeout_ms,
                "ocspPolicy": tls.ocsp_policy,
            })
        });
        let policies: Vec<_> = chain.policies.iter().map(any).collect();
        let (route_config, tcp) = match chain.serve.as_ref().unwrap() {
            wire::filter_chain::Serve::RouteConfig(name) => (Some(name), None),
            wire::filter_chain::Serve::Tcp(proxy) => (None, Some(tcp(proxy))),
        };
        json!({
            "name": chain.name,
            "part": chain.origin.as_ref().map(|it| format!("{} {}", origin(Some(it)), chain.path)),
            "serverNames": chain.server_names,
            "sourcePrefixes": chain.source_prefixes,
            "routeConfig": route_config,
            "tcp": tcp,
            "policies": policies,
            "tls": tls,
            "http": chain.http.as_ref().map(|it| format!("{it:?}")),
            "admission": chain.admission.as_ref().map(|it| format!("{it:?}")),
        })
    });
    clean(json!({
        "origin": origin(it.origin.as_ref()),
        "address": it.address,
        "port": it.port,
        "proxyProtocol": it.proxy_protocol,
        "connectionLogs": it.connection_logs.iter().map(|log| format!("{log:?}")).collect::<Vec<_>>(),
        "tlvs": it.tlvs.iter().map(|tlv| format!("{tlv:?}")).collect::<Vec<_>>(),
        "socketOptions": it.socket_options.iter().map(|option| format!("{option:?}")).collect::<Vec<_>>(),
        "chains": chains.collect::<Vec<_>>(),
    }))
}

fn tcp(it: &wire::TcpProxy) -> Value {
    use wire::tcp_proxy::Target;
    let to = match it.target.as_ref().unwrap() {
        Target::Destinations(it) => destinations(Some(it)),
        Target::Split(name) => json!(format!("split {name}")),
        Target::SniUpstream(_) => json!("server name"),
    };
    json!({
        "host": it.name,
        "to": to,
        "maxConnectAttempts": it.max_connect_attempts,
        "idleTimeoutMs": it.idle_timeout_ms,
        "accessLogs": it.access_logs.iter().map(|log| format!("{log:?}")).collect::<Vec<_>>(),
        "logIntervalMs": it.log_interval_ms,
        "tunnel": it.tunnel.as_ref().map(|it| format!("{it:?}")),
        "bufferLimit": it.buffer_limit,
    })
}

fn versions(min: i32, max: i32) -> String {
    let name =
        |it: i32| wire::TlsVersion::try_from(it).unwrap().as_str_name().trim_start_matches("TLS_VERSION_");
    if min == 0 && max == 0 { String::new() } else { format!("{}..{}", name(min), name(max)) }
}

fn labels(list: &[wire::Label]) -> Vec<String> {
    list.iter().map(|it| format!("{}={}", it.key, it.value)).collect()
}

fn upstream(it: &wire::Upstream) -> Value {
    let place = |it: &wire::Endpoint| match it.pipe.as_str() {
        "" => format!("{}:{}", it.address, it.port),
        path => format!("pipe {path}"),
    };
    let endpoints = it.endpoints.iter().map(
        |it| json!({ "address": place(it), "weight": it.weight, "sni": it.sni, "labels": labels(&it.labels) }),
    );
    let tls = it.tls.as_ref().map(|tls| {
        json!({
            "sni": tls.sni,
            "ca": tls.ca_certificate,
            "client": tls.client_certificate,
            "verifySubjectAltNames": tls.verify_subject_alt_names,
            "alpn": tls.alpn,
            "versions": versions(tls.min_version, tls.max_version),
            "verified": if tls.ca_certificate.is_empty() { "no" } else { "yes" },
        })
    });
    clean(json!({
        "endpoints": endpoints.collect::<Vec<_>>(),
        "dynamic": it.dynamic_endpoints,
        "tls": tls,
        "http2": it.http2,
        "connectTimeoutMs": it.connect_timeout_ms,
        "maxRequestsPerConnection": it.max_requests_per_connection,
        "healthCheck": it.health_check.as_ref().map(|it| format!("{it:?}")),
        "outlierDetection": it.outlier_detection.as_ref().map(|it| format!("{it:?}")),
        "healthyPanicThreshold": it.healthy_panic_threshold,
        "slowStart": it.slow_start.as_ref().map(|it| format!("{it:?}")),
        "hashByHostname": it.hash_by_hostname,
        "closeConnectionsOnHostSetChange": it.close_connections_on_host_set_change,
        "updateMergeWindowMs": it.update_merge_window_ms,
        "subsets": it.subsets.as_ref().map(|it| format!("{it:?}")),
        "ignoreHealthOnHostRemoval": it.ignore_health_on_host_removal,
        "circuitBreakers": it.circuit_breakers.as_ref().map(|it| format!("{it:?}")),
        "connections": it.connections.as_ref().map(|it| format!("{it:?}")),
        "http": it.http.as_ref().map(|it| format!("{it:?}")),
        "policies": it.policies.iter().map(any).collect::<Vec<_>>(),
        "balancer": it.load_balancer.as_ref().map(|it| format!("{it:?}")),
    }))
}

fn virtual_host(it: &wire::VirtualHost) -> Value {
    clean(json!({
        "origin": origin(it.origin.as_ref()),
        "routeConfigs": it.route_configs,
        "domains": it.domains,
        "requireTls": it.require_tls,
        "clientChain": it.client_chain,
        "routes": it.routes.iter().map(route).collect::<Vec<_>>(),
    }))
}

fn route(it: &wire::Route) -> Value {
    use wire::{forward, redirect, route};
    let action = match it.action.as_ref().unwrap() {
        route::Action::Forward(it) => match it.target.as_ref().unwrap() {
            forward::Target::Destinations(it) => json!({ "forward": destinations(Some(it)) }),
            forward::Target::Split(name) => json!({ "split": name }),
            forward::Target::ClusterHeader(name) => json!({ "clusterHeader": name }),
            forward::Target::Dynamic(_) => json!({ "dynamic": true }),
        },
        route::Action::Redirect(it) => {
            let path = it.path_rewrite.as_ref().map(|path| match path {
                redirect::PathRewrite::Path(text) => format!("path {text}"),
                redirect::PathRewrite::Prefix(text) => format!("prefix {text}"),
                redirect::PathRewrite::Regex(it) => format!("regex {} -> {}", it.pattern, it.substitution),
            });
            let code = wire::RedirectCode::try_from(it.code).unwrap().as_str_name();
            json!({ "redirect": {
                "host": it.host,
                "https": it.https,
                "port": it.port,
                "path": path,
                "code": code.trim_start_matches("REDIRECT_CODE_"),
                "stripQuery": it.strip_query,
            }})
        }
        route::Action::DirectResponse(it) => {
            json!({ "directResponse": { "status": it.status, "body": it.body } })
        }
    };
    let mut value = json!({
        "name": it.name,
        "origin": format!("{} {}", origin(it.origin.as_ref()), it.path),
        "match": matcher(it.r#match.as_ref().unwrap()),
        "policies": it.policies.iter().map(any).collect::<Vec<_>>(),
    });
    value.as_object_mut().unwrap().extend(action.as_object().unwrap().clone());
    value
}

fn matcher(it: &wire::Match) -> String {
    use wire::r#match::Path;
    let mut text = match it.path.as_ref().unwrap() {
        Path::Prefix(text) => format!("prefix {text}"),
        Path::Exact(text) => format!("exact {text}"),
        Path::Regex(text) => format!("regex {text}"),
        Path::Connect(_) => "connect".to_owned(),
    };
    if it.ignore_case {
        text.push_str(" in any case");
    }
    if !it.methods.is_empty() {
        text.push_str(&format!(", method {}", it.methods.join("|")));
    }
    for header in &it.headers {
        use wire::header_match::Value;
        let not = if header.invert { "not " } else { "" };
        text.push_str(&match header.value.as_ref().unwrap() {
            Value::Present(_) => format!(", {not}header {}", header.name),
            Value::Exact(value) => format!(", {not}header {}={value}", header.name),
            Value::Regex(value) => format!(", {not}header {}~{value}", header.name),
        });
    }
    for query in &it.query {
        use wire::query_match::Value;
        text.push_str(&match query.value.as_ref().unwrap() {
            Value::Present(_) => format!(", query {}", query.name),
            Value::Exact(value) => format!(", query {}={value}", query.name),
            Value::Regex(value) => format!(", query {}~{value}", query.name),
        });
    }
    text
}

fn destinations(it: Option<&wire::Destinations>) -> Value {
    let list = it.into_iter().flat_map(|it| &it.destinations).map(|it| {
        json!({
            "upstream": it.upstream,
            "weight": it.weight.to_string(),
            "policies": it.policies.iter().map(any).collect::<Vec<_>>(),
            "subset": labels(&it.subset),
        })
    });
    list.map(clean).collect()
}

fn any(it: &prost_types::Any) -> Value {
    fn show<M: Message + Name + Default + std::fmt::Debug>(it: &prost_types::Any) -> Option<String> {
        (it.type_url == M::type_url()).then(|| format!("{:?}", M::decode(it.value.as_slice()).unwrap()))
    }
    let text = show::<policy::Answer>(it)
        .or_else(|| show::<policy::AttemptCount>(it))
        .or_else(|| show::<policy::Tracing>(it))
        .or_else(|| show::<policy::Upgrade>(it))
        .or_else(|| show::<policy::Buffer>(it))
        .or_else(|| show::<policy::BufferPerRoute>(it))
        .or_else(|| show::<policy::Compression>(it))
        .or_else(|| show::<policy::GrpcJsonTranscoder>(it))
        .or_else(|| show::<policy::GrpcWeb>(it))
        .or_else(|| show::<policy::HealthCheck>(it))
        .or_else(|| show::<policy::StreamLimits>(it))
        .or_else(|| show::<policy::Cors>(it))
        .or_else(|| show::<policy::Csrf>(it))
        .or_else(|| show::<policy::EarlyTransformation>(it))
        .or_else(|| show::<policy::DynamicForwardProxy>(it))
        .or_else(|| show::<policy::DynamicHost>(it))
        .or_else(|| show::<policy::Fault>(it))
        .or_else(|| show::<policy::Hash>(it))
        .or_else(|| show::<policy::Headers>(it))
        .or_else(|| show::<policy::HostRewrite>(it))
        .or_else(|| show::<policy::PathRewrite>(it))
        .or_else(|| show::<policy::Retry>(it))
        .or_else(|| show::<policy::Timeout>(it))
        .or_else(|| show::<policy::Transformation>(it));
    json!(text.unwrap_or_else(|| format!("{} ({} bytes)", it.type_url, it.value.len())))
}
