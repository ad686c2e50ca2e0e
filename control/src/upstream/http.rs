//! How HTTP is spoken to an upstream: its version, and the options of each.

use super::field::Field;
use crate::ir::{HeaderCase, UpstreamHttp};
use crate::resource::{ClusterProtocolSelection, Http1ProtocolOptions, Upstream, UpstreamUnderscoresAction};

/// The windows that HTTP/2 allows to begin with (RFC 9113 section 6.9.2), no smaller than its default.
const WINDOWS: std::ops::RangeInclusive<u32> = 65_535..=2_147_483_647;
const STREAMS: std::ops::RangeInclusive<u32> = 1..=2_147_483_647;

/// How HTTP is spoken to `upstream`.
pub(super) fn lower(upstream: &Upstream, spec: &mut Field<'_>) -> UpstreamHttp {
    let as_downstream = upstream.protocol_selection == ClusterProtocolSelection::UseDownstreamProtocol;
    let config = upstream.connection_config.as_ref();
    let http1 = config.and_then(|it| it.http1_protocol_options.as_ref());
    if http1.is_some() && upstream.use_http2 == Some(true) && !as_downstream {
        spec.at("connectionConfig.http1ProtocolOptions").error(
            "options of HTTP/1 and HTTP/2 exclude each other, unless `protocolSelection` is USE_DOWNSTREAM_PROTOCOL",
        );
    }
    let common = config.and_then(|it| it.common_http_protocol_options.as_ref());
    let mut field = spec.at("connectionConfig.commonHttpProtocolOptions");
    let max_stream = common.and_then(|it| {
        let limit = field.at("maxStreamDuration").at_least_nothing(it.max_stream_duration);
        limit.filter(|limit| !limit.is_zero())
    });
    let underscores = common.map(|it| it.headers_with_underscores_action).unwrap_or_default();
    if underscores != UpstreamUnderscoresAction::Allow {
        field.at("headersWithUnderscoresAction").warning(
            "is about requests of clients and does nothing here: set it in `httpConnectionManagerSettings` of a Gateway",
        );
    }
    let mut within = |name: &str, range: &std::ops::RangeInclusive<u32>, value: Option<u32>| {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let (low, high) = (range.start(), range.end());
            spec.at(name).error(format!("a number from {low} to {high} is needed, found {value}"));
        }
        value
    };
    UpstreamHttp {
        as_downstream,
        header_fields: common.map_or(0, |it| it.max_headers_count),
        max_stream,
        header_case: http1.map(header_case).unwrap_or_default(),
        trailers: http1.is_some_and(|it| it.enable_trailers),
        stream_window: within("initialStreamWindowSize", &WINDOWS, upstream.initial_stream_window_size),
        connection_window: within(
            "initialConnectionWindowSize",
            &WINDOWS,
            upstream.initial_connection_window_size,
        ),
        max_concurrent_streams: within("maxConcurrentStreams", &STREAMS, upstream.max_concurrent_streams),
    }
}

fn header_case(options: &Http1ProtocolOptions) -> HeaderCase {
    match (options.proper_case_header_key_format, options.preserve_case_header_key_format) {
        (_, Some(true)) => HeaderCase::Preserve,
        (Some(true), _) => HeaderCase::Proper,
        _ => HeaderCase::Lower,
    }
}
