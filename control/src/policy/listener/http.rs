//! `httpConnectionManagerSettings`: checked and made `HttpSettings`, part by part.

use http::{HeaderName, HeaderValue};
use portcullis_proto::policy::v1::HeaderLevel;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::table::Network;

use super::{About, headers};
use crate::policy::tracing::shares;
use crate::resource::{
    CodecType, EarlyHeaderManipulation, ForwardClientCertDetails, GoDuration, HeadersWithUnderscoresAction,
    HttpConnectionManagerSettings, ListenerTracing, MetadataTag, MetadataTagKind, OpenTelemetryConfig,
    PathWithEscapedSlashesAction, ProtocolUpgradeConfig, ServerHeaderTransformation,
};
use crate::resource::{Kind, ObjectRef};
use crate::translate::{ServerLookup, wire_name};

/// Envoy's bounds of a window of HTTP/2.
const WINDOWS: std::ops::RangeInclusive<u32> = 65_535..=2_147_483_647;

/// Checks the settings and adds them to what travels.
pub(super) fn lower(
    it: &HttpConnectionManagerSettings,
    to: &mut wire::HttpSettings,
    upstreams: &mut dyn ServerLookup,
    about: &mut About<'_>,
) {
    to.client_address = some(client_address(it, about));
    to.request_id = some(wire::RequestId {
        none: it.generate_request_id == Some(false),
        preserve_external: it.preserve_external_request_id == Some(true),
    });
    to.via = it.via.clone().unwrap_or_default();
    to.server = some(wire::ServerHeader {
        name: it.server_name.clone().unwrap_or_default(),
        action: match it.server_header_transformation {
            ServerHeaderTransformation::Overwrite => wire::ServerHeaderAction::Overwrite,
            ServerHeaderTransformation::AppendIfAbsent => wire::ServerHeaderAction::AppendIfAbsent,
            ServerHeaderTransformation::PassThrough => wire::ServerHeaderAction::PassThrough,
        } as i32,
    });
    for (field, text) in [("via", &it.via), ("serverName", &it.server_name)] {
        if text.as_ref().is_some_and(|text| HeaderValue::from_str(text).is_err()) {
            error(about, field, "the value has characters that a header cannot have");
        }
    }
    to.timeouts = some(timeouts(it, about));
    to.limits = some(limits(it, about));
    to.http1 = some(http1(it, about));
    to.http2 = http2(it, about);
    to.paths = some(wire::Paths {
        keep_dot_segments: it.normalize_path == Some(false),
        merge_slashes: it.merge_slashes == Some(true),
        escaped_slashes: match it.path_with_escaped_slashes_action {
            PathWithEscapedSlashesAction::ImplementationSpecificDefault
            | PathWithEscapedSlashesAction::KeepUnchanged => wire::EscapedSlashes::Keep,
            PathWithEscapedSlashesAction::RejectRequest => wire::EscapedSlashes::Reject,
            PathWithEscapedSlashesAction::UnescapeAndRedirect => wire::EscapedSlashes::Redirect,
            PathWithEscapedSlashesAction::UnescapeAndForward => wire::EscapedSlashes::Forward,
        } as i32,
    });
    to.client_certificate = some(client_certificate(it, about));
    to.upgrades = upgrades(it, about);
    to.early_headers =
        it.early_header_manipulation.as_ref().map(|it| early_headers(it, about)).unwrap_or_default();
    to.codec = match it.codec_type {
        CodecType::Auto => wire::Codec::Auto,
        CodecType::Http1 => wire::Codec::Http1,
        CodecType::Http2 => wire::Codec::Http2,
    } as i32;
    to.append_x_forwarded_port = it.append_x_forwarded_port == Some(true);
    to.strip_any_host_port = it.strip_any_host_port == Some(true);
    to.underscores = match it.headers_with_underscores_action {
        HeadersWithUnderscoresAction::Allow => wire::UnderscoreAction::Allow,
        HeadersWithUnderscoresAction::RejectClientRequest => wire::UnderscoreAction::Reject,
        HeadersWithUnderscoresAction::DropHeader => wire::UnderscoreAction::Drop,
    } as i32;
    if it.uuid_request_id_config.is_some() {
        let text = "the request id has no part in tracing here: W3C trace context and the percentages decide";
        about.warning(format!("{}.uuidRequestIdConfig", about.path), text);
    }
    to.tracing = it.tracing.as_ref().map(|it| tracing(it, upstreams, about));
}

/// A message that says nothing does not travel.
fn some<T: Default + PartialEq>(message: T) -> Option<T> {
    (message != T::default()).then_some(message)
}

fn error(about: &mut About<'_>, field: impl std::fmt::Display, message: impl Into<String>) {
    about.error(format!("{}.{field}", about.path), message);
}

fn client_address(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> wire::ClientAddress {
    let mut internal = Vec::new();
    for (at, range) in it.internal_address_config.iter().flat_map(|it| &it.cidr_ranges).enumerate() {
        let text = format!("{}/{}", range.address_prefix, range.prefix_len.unwrap_or(0));
        match Network::parse(&text) {
            Ok(_) => internal.push(text),
            Err(problem) => error(about, format!("internalAddressConfig.cidrRanges[{at}]"), problem),
        }
    }
    wire::ClientAddress {
        use_remote: it.use_remote_address == Some(true),
        trusted_hops: it.xff_num_trusted_hops.unwrap_or(0),
        skip_xff_append: it.skip_xff_append == Some(true),
        internal,
    }
}

/// Milliseconds; a duration below zero is an error.
fn millis(field: &str, it: Option<GoDuration>, about: &mut About<'_>) -> Option<u64> {
    let it = it?;
    let millis = it.to_millis();
    if millis.is_none() {
        error(about, field, format!("a duration of at least 0s is needed, found {it}"));
    }
    millis
}

fn timeouts(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> wire::Timeouts {
    wire::Timeouts {
        stream_idle_ms: millis("streamIdleTimeout", it.stream_idle_timeout, about),
        idle_ms: millis("idleTimeout", it.idle_timeout, about),
        request_ms: millis("requestTimeout", it.request_timeout, about),
        request_headers_ms: millis("requestHeadersTimeout", it.request_headers_timeout, about),
        drain_ms: millis("drainTimeout", it.drain_timeout, about),
        delayed_close_ms: millis("delayedCloseTimeout", it.delayed_close_timeout, about),
        max_connection_ms: millis("maxConnectionDuration", it.max_connection_duration, about),
        max_stream_ms: millis("maxStreamDuration", it.max_stream_duration, about),
    }
}

fn limits(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> wire::Limits {
    if let Some(kb) = it.max_request_headers_kb.filter(|kb| !(1..=8192).contains(kb)) {
        error(about, "maxRequestHeadersKb", format!("a number from 1 to 8192 is needed, found {kb}"));
    }
    if it.max_headers_count == Some(0) {
        error(about, "maxHeadersCount", "a number of at least 1 is needed, found 0");
    }
    wire::Limits {
        header_kb: it.max_request_headers_kb,
        header_fields: it.max_headers_count,
        requests_per_connection: it.max_requests_per_connection.unwrap_or(0),
    }
}

fn http1(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> wire::Http1 {
    let default_host = it.default_host_for_http_10.clone().unwrap_or_default();
    if HeaderValue::from_str(&default_host).is_err() {
        error(about, "defaultHostForHttp10", "not a host");
    }
    wire::Http1 {
        accept_http10: it.accept_http_10 == Some(true),
        default_host,
        forward_expect: it.proxy_100_continue == Some(true),
        allow_chunked_length: it.allow_chunked_length == Some(true),
        trailers: it.enable_trailers == Some(true),
        header_case: match (it.proper_case_header_key_format, it.preserve_case_header_key_format) {
            (_, Some(true)) => wire::HeaderCase::Preserve,
            (Some(true), _) => wire::HeaderCase::Proper,
            _ => wire::HeaderCase::Lower,
        } as i32,
        any_method: false,
    }
}

fn http2(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> Option<wire::Http2> {
    let it = it.http2_protocol_options.as_ref()?;
    let windows = [
        ("initialStreamWindowSize", it.initial_stream_window_size),
        ("initialConnectionWindowSize", it.initial_connection_window_size),
    ];
    for (field, window) in windows {
        if let Some(window) = window.filter(|window| !WINDOWS.contains(window)) {
            let (low, high) = (WINDOWS.start(), WINDOWS.end());
            let text = format!("a number from {low} to {high} is needed, found {window}");
            error(about, format!("http2ProtocolOptions.{field}"), text);
        }
    }
    if let Some(streams) = it.max_concurrent_streams.filter(|streams| !(1..=2_147_483_647).contains(streams))
    {
        let text = format!("a number from 1 to 2147483647 is needed, found {streams}");
        error(about, "http2ProtocolOptions.maxConcurrentStreams", text);
    }
    some(wire::Http2 {
        max_concurrent_streams: it.max_concurrent_streams,
        stream_window: it.initial_stream_window_size,
        connection_window: it.initial_connection_window_size,
        keep_connection_on_invalid: it.override_stream_error_on_invalid_http_message == Some(true),
    })
}

fn client_certificate(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> wire::ClientCertificate {
    use ForwardClientCertDetails::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
    let forward = match it.forward_client_cert_details {
        Sanitize => wire::ForwardClientCert::Sanitize,
        ForwardOnly => wire::ForwardClientCert::ForwardOnly,
        AppendForward => wire::ForwardClientCert::AppendForward,
        SanitizeSet => wire::ForwardClientCert::SanitizeSet,
        AlwaysForwardOnly => wire::ForwardClientCert::AlwaysForwardOnly,
    };
    let set = it.set_current_client_cert_details.clone().unwrap_or_default();
    if it.set_current_client_cert_details.is_some()
        && !matches!(it.forward_client_cert_details, AppendForward | SanitizeSet)
    {
        let text = "has no effect unless forwardClientCertDetails is APPEND_FORWARD or SANITIZE_SET";
        about.warning(format!("{}.setCurrentClientCertDetails", about.path), text);
    }
    wire::ClientCertificate {
        forward: forward as i32,
        subject: set.subject == Some(true),
        cert: set.cert,
        chain: set.chain,
        dns: set.dns,
        uri: set.uri,
    }
}

fn upgrades(it: &HttpConnectionManagerSettings, about: &mut About<'_>) -> Vec<wire::Upgrade> {
    let mut upgrades: Vec<wire::Upgrade> = Vec::new();
    for (at, upgrade) in it.upgrades.iter().enumerate() {
        let field = format!("upgrades[{at}]");
        let (protocol, spec) = match upgrade {
            ProtocolUpgradeConfig { websocket: Some(spec), .. } => ("websocket", spec),
            // Other than a protocol's, the name of a method is written in capitals.
            ProtocolUpgradeConfig { connect: Some(spec), .. } => ("CONNECT", spec),
            ProtocolUpgradeConfig { connect_terminate: Some(_), .. } => {
                error(about, field, "connectTerminate is a matter of routes");
                continue;
            }
            _ => {
                error(about, field, "an upgrade needs a type, such as `websocket: {}`");
                continue;
            }
        };
        if upgrades.iter().any(|other| other.protocol == protocol) {
            error(about, field, format!("upgrade config {protocol} is not unique"));
            continue;
        }
        upgrades.push(wire::Upgrade { protocol: protocol.to_owned(), enabled: spec.enabled != Some(false) });
    }
    upgrades
}

/// Two levels, so that additions come first.
fn early_headers(it: &EarlyHeaderManipulation, about: &mut About<'_>) -> Vec<HeaderLevel> {
    let path = format!("{}.earlyHeaderManipulation", about.path);
    let add = headers::additions(&it.headers_to_add, &format!("{path}.headersToAdd"), about);
    let mut remove = HeaderLevel::default();
    for (at, text) in it.headers_to_remove.iter().enumerate() {
        remove.remove.extend(headers::name(text, format!("{path}.headersToRemove[{at}]"), about));
    }
    let add = HeaderLevel { add, ..HeaderLevel::default() };
    [add, remove].into_iter().filter(|level| *level != HeaderLevel::default()).collect()
}

fn tracing(it: &ListenerTracing, upstreams: &mut dyn ServerLookup, about: &mut About<'_>) -> wire::Tracing {
    let [client_share, random_share, overall_share] =
        shares(it.trace_percentages.as_ref(), &mut |field, problem| {
            error(about, format!("tracing.tracePercentages.{field}"), problem);
        });
    let mut request_headers = Vec::new();
    for (at, header) in it.request_headers_for_tags.iter().enumerate() {
        match HeaderName::from_bytes(header.as_bytes()) {
            Ok(name) => request_headers.push(name.to_string()),
            Err(_) => error(
                about,
                format!("tracing.requestHeadersForTags[{at}]"),
                format!("[{header}] is not a header name"),
            ),
        }
    }
    let environment = it.environment_variables_for_tags.iter().map(|tag| wire::Tag {
        name: tag.tag.clone(),
        value: Some(wire::tag::Value::Environment(wire::Environment {
            variable: tag.name.clone(),
            default_value: tag.default_value.clone(),
        })),
    });
    let literals = it.literals_for_tags.iter().map(|tag| wire::Tag {
        name: tag.tag.clone(),
        value: Some(wire::tag::Value::Literal(tag.value.clone())),
    });
    let metadata: Vec<wire::Tag> = it
        .metadata_for_tags
        .iter()
        .enumerate()
        .filter_map(|(at, tag)| metadata_tag(at, tag, about))
        .collect();
    wire::Tracing {
        client_share,
        random_share,
        overall_share,
        request_headers,
        tags: environment.chain(literals).chain(metadata).collect(),
        verbose: it.verbose,
        collector: it.open_telemetry_config.as_ref().and_then(|it| collector(it, upstreams, about)),
    }
}

/// Envoy's.
const MOST_SPANS: u32 = 1024;

fn collector(
    it: &OpenTelemetryConfig,
    upstreams: &mut dyn ServerLookup,
    about: &mut About<'_>,
) -> Option<wire::Collector> {
    let field = "tracing.openTelemetryConfig";
    let upstream = match (&it.collector_upstream_ref, &it.cluster_name) {
        (_, Some(name)) if !name.is_empty() => name.clone(),
        (Some(reference), _) if !reference.name.is_empty() && !reference.namespace.is_empty() => {
            let id = ObjectRef::new(Kind::Upstream, reference.namespace.as_str(), reference.name.as_str());
            let field = format!("{field}.collectorUpstreamRef");
            let (name, namespace) = (&reference.name, &reference.namespace);
            match upstreams.http2(&id) {
                None => {
                    let text = format!("Invalid CollectorUpstreamRef (no upstream found for ref {namespace}.{name})");
                    error(about, field, text);
                    return None;
                }
                Some(false) => about.warning(
                    format!("{}.{field}", about.path),
                    format!("spans go by gRPC, and upstream {namespace}.{name} has no `useHttp2: true`: they are lost"),
                ),
                Some(true) => {}
            }
            wire_name(&id).to_string()
        }
        _ => {
            error(
                about,
                field,
                "the collector is needed: `collectorUpstreamRef` with `name` and `namespace`, or `clusterName`",
            );
            return None;
        }
    };
    let service = Some(&it.service_name).filter(|name| !name.is_empty());
    Some(wire::Collector {
        upstream,
        authority: it.grpc_service.as_ref().map(|it| it.authority.clone()).unwrap_or_default(),
        service_name: service.map_or_else(|| about.id.name.to_string(), String::clone),
        most_spans: it.max_cache_size.filter(|size| *size > 0).unwrap_or(MOST_SPANS),
    })
}

fn metadata_tag(at: usize, tag: &MetadataTag, about: &mut About<'_>) -> Option<wire::Tag> {
    let field = format!("tracing.metadataForTags[{at}]");
    let value = tag.value.clone().unwrap_or_default();
    let needed = [("tag", &tag.tag), ("value.namespace", &value.namespace), ("value.key", &value.key)];
    let missing: Vec<&str> =
        needed.iter().filter(|(_, text)| text.is_empty()).map(|(name, _)| *name).collect();
    for name in &missing {
        error(about, format!("{field}.{name}"), "is needed");
    }
    let keys = match value.nested_field_delimiter.as_str() {
        "" => vec![value.key],
        delimiter => value.key.split(delimiter).map(str::to_owned).collect(),
    };
    missing.is_empty().then(|| wire::Tag {
        name: tag.tag.clone(),
        value: Some(wire::tag::Value::Metadata(wire::MetadataTag {
            namespace: value.namespace,
            keys,
            of_endpoint: tag.kind == MetadataTagKind::Endpoint,
            default_value: tag.default_value.clone(),
        })),
    })
}
