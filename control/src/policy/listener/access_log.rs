//! Access logs: sinks, formats and filters.

use http::HeaderName;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::format::Format;
use portcullis_shared::routing::FieldName;
use portcullis_shared::routing::HeaderMatcher;
use portcullis_shared::table::JsonFormat;

use super::About;
use crate::resource::{
    AccessLog, AccessLogFilter, AccessLoggingService, ComparedFilter, ComparisonOp, Denominator,
    EnvoyHeaderMatcher, FileSink, FilterList, GrpcAccessLogService, RuntimeFilter,
};

/// Envoy's, which Gloo uses where no format is given.
const DEFAULT_FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
    \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// Envoy's response flags.
const FLAGS: &[&str] = &[
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
    "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR",
];

/// The logs of a service that stands at `path`.
pub(super) fn lower(
    service: &AccessLoggingService,
    path: &str,
    about: &mut About<'_>,
) -> Vec<wire::AccessLog> {
    let mut logs = Vec::new();
    for (at, log) in service.access_log.iter().enumerate() {
        let path = format!("{path}.accessLog[{at}]");
        logs.extend(one(log, &path, about));
    }
    logs
}

fn one(log: &AccessLog, path: &str, about: &mut About<'_>) -> Option<wire::AccessLog> {
    let filter = log.filter.as_ref().map(|it| filter(it, &format!("{path}.filter"), about));
    // Another sink than a file is warned of where the field is read.
    let sink = match (&log.file_sink, &log.grpc_service) {
        (_, Some(service)) => {
            wire::access_log::Sink::Grpc(grpc(service, &format!("{path}.grpcService"), about)?)
        }
        (sink, None) => {
            wire::access_log::Sink::File(file(sink.as_ref()?, &format!("{path}.fileSink"), about)?)
        }
    };
    // A filter that says nothing was an error.
    let filter = match filter {
        Some(None) => return None,
        Some(filter) => filter,
        None => None,
    };
    Some(wire::AccessLog { sink: Some(sink), filter })
}

fn grpc(service: &GrpcAccessLogService, path: &str, about: &mut About<'_>) -> Option<wire::GrpcSink> {
    if service.log_name.is_empty() {
        about.error(format!("{path}.logName"), "a name for the log is needed");
    }
    if service.static_cluster_name.is_empty() {
        let text = "the server is needed: the name of an Upstream as `<name>_<namespace>`";
        about.error(format!("{path}.staticClusterName"), text);
    }
    let mut names = |list: &[String], field: &str| {
        let one = |(at, name): (usize, &String)| {
            let lower = HeaderName::from_bytes(name.as_bytes()).ok().map(|name| name.to_string());
            if lower.is_none() {
                about.error(format!("{path}.{field}[{at}]"), format!("[{name}] is not a header name"));
            }
            lower
        };
        list.iter().enumerate().filter_map(one).collect::<Vec<_>>()
    };
    let sink = wire::GrpcSink {
        upstream: service.static_cluster_name.clone(),
        log_name: service.log_name.clone(),
        request_headers: names(&service.additional_request_headers_to_log, "additionalRequestHeadersToLog"),
        response_headers: names(
            &service.additional_response_headers_to_log,
            "additionalResponseHeadersToLog",
        ),
        response_trailers: names(
            &service.additional_response_trailers_to_log,
            "additionalResponseTrailersToLog",
        ),
    };
    (!sink.upstream.is_empty() && !sink.log_name.is_empty()).then_some(sink)
}

fn file(sink: &FileSink, path: &str, about: &mut About<'_>) -> Option<wire::FileSink> {
    if sink.path.is_empty() {
        about.error(format!("{path}.path"), "a path is needed, such as /dev/stdout");
        return None;
    }
    let format = match (&sink.json_format, sink.string_format.as_deref()) {
        (Some(template), _) => {
            let value = serde_json::Value::Object(template.clone());
            if let Err(invalid) = JsonFormat::of(&value) {
                about.error(format!("{path}.jsonFormat.{}", invalid.path), invalid.reason);
                return None;
            }
            wire::file_sink::Format::Json(value.to_string())
        }
        (None, None | Some("")) => wire::file_sink::Format::Text(DEFAULT_FORMAT.to_owned()),
        (None, Some(text)) => {
            if let Err(problem) = Format::parse(text) {
                about.error(format!("{path}.stringFormat"), problem.to_string());
                return None;
            }
            wire::file_sink::Format::Text(text.to_owned())
        }
    };
    Some(wire::FileSink { path: sink.path.clone(), format: Some(format) })
}

fn filter(filter: &AccessLogFilter, path: &str, about: &mut About<'_>) -> Option<wire::LogFilter> {
    use wire::log_filter::Filter;
    let at = |field: &str| format!("{path}.{field}");
    let it = filter;
    let filter = if let Some(it) = &it.status_code_filter {
        compared(it, &at("statusCodeFilter"), about).map(Filter::Status)
    } else if let Some(it) = &it.duration_filter {
        compared(it, &at("durationFilter"), about).map(Filter::DurationMs)
    } else if it.not_health_check_filter.is_some() {
        Some(Filter::NotHealthCheck(true))
    } else if it.traceable_filter.is_some() {
        Some(Filter::Traceable(true))
    } else if let Some(it) = &it.runtime_filter {
        sample(it, &at("runtimeFilter"), about).map(Filter::Sample)
    } else if let Some(it) = &it.and_filter {
        list(it, &at("andFilter"), about).map(Filter::All)
    } else if let Some(it) = &it.or_filter {
        list(it, &at("orFilter"), about).map(Filter::Any)
    } else if let Some(it) = &it.header_filter {
        header(it.header.as_ref(), &at("headerFilter.header"), about)
    } else if let Some(it) = &it.response_flag_filter {
        for (i, flag) in it.flags.iter().enumerate().filter(|(_, flag)| !FLAGS.contains(&flag.as_str())) {
            let text = format!("`{flag}` is no response flag; there are {}", FLAGS.join(", "));
            about.error(format!("{path}.responseFlagFilter.flags[{i}]"), text);
        }
        Some(Filter::ResponseFlags(wire::ResponseFlags { flags: it.flags.clone() }))
    } else if let Some(it) = &it.grpc_status_filter {
        let codes = it.statuses.iter().map(|status| *status as u32).collect();
        Some(Filter::GrpcStatus(wire::GrpcStatuses { codes, exclude: it.exclude }))
    } else {
        about.error(path, "a filter needs one of its fields, such as `statusCodeFilter`");
        None
    };
    filter.map(|filter| wire::LogFilter { filter: Some(filter) })
}

fn compared(it: &ComparedFilter, path: &str, about: &mut About<'_>) -> Option<wire::Compare> {
    let path = format!("{path}.comparison");
    let Some(comparison) = &it.comparison else {
        about.error(path, "a comparison is needed");
        return None;
    };
    let Some(value) = &comparison.value else {
        about.error(format!("{path}.value"), "a value is needed");
        return None;
    };
    runtime_key(&value.runtime_key, &format!("{path}.value"), about);
    let op = match comparison.op {
        ComparisonOp::Eq => wire::CompareOp::Eq,
        ComparisonOp::Ge => wire::CompareOp::Ge,
        ComparisonOp::Le => wire::CompareOp::Le,
    };
    Some(wire::Compare { op: op as i32, value: value.default_value })
}

/// There is no runtime to override a value, but Gloo insists on its name.
fn runtime_key(key: &str, path: &str, about: &mut About<'_>) {
    if key.is_empty() {
        about.error(format!("{path}.runtimeKey"), "a runtimeKey is needed");
    }
}

fn sample(it: &RuntimeFilter, path: &str, about: &mut About<'_>) -> Option<wire::Sample> {
    runtime_key(&it.runtime_key, path, about);
    let share = it.percent_sampled.clone().unwrap_or_default();
    let scale = match share.denominator {
        Denominator::Hundred => 10_000,
        Denominator::TenThousand => 100,
        Denominator::Million => 1,
    };
    Some(wire::Sample {
        parts_per_million: share.numerator.saturating_mul(scale).min(1_000_000),
        independent: it.use_independent_randomness,
    })
}

fn list(it: &FilterList, path: &str, about: &mut About<'_>) -> Option<wire::LogFilters> {
    if it.filters.len() < 2 {
        about.error(
            format!("{path}.filters"),
            format!("two filters or more are needed, found {}", it.filters.len()),
        );
        return None;
    }
    let filters =
        it.filters.iter().enumerate().map(|(i, one)| filter(one, &format!("{path}.filters[{i}]"), about));
    // All are looked at before one that failed ends it.
    let filters: Vec<_> = filters.collect();
    Some(wire::LogFilters { filters: filters.into_iter().collect::<Option<_>>()? })
}

fn header(
    matcher: Option<&EnvoyHeaderMatcher>,
    path: &str,
    about: &mut About<'_>,
) -> Option<wire::log_filter::Filter> {
    use wire::header_match::Value;
    let Some(it) = matcher else {
        about.error(path, "a header matcher is needed");
        return None;
    };
    if let Err(invalid) = FieldName::parse(&it.name) {
        about.error(format!("{path}.name"), invalid.reason);
        return None;
    }
    let name = it.name.to_ascii_lowercase();
    if let Some(range) = &it.range_match {
        let (start, end, invert) = (range.start, range.end, it.invert_match);
        return Some(wire::log_filter::Filter::HeaderRange(wire::HeaderRange { name, start, end, invert }));
    }
    let mut invert = it.invert_match;
    let value = if let Some(text) = &it.exact_match {
        Value::Exact(text.clone())
    } else if let Some(regex) = &it.safe_regex_match {
        Value::Regex(regex.regex.clone())
    } else if let Some(prefix) = &it.prefix_match {
        Value::Regex(format!("(?s){}.*", regex::escape(prefix)))
    } else if let Some(suffix) = &it.suffix_match {
        Value::Regex(format!("(?s).*{}", regex::escape(suffix)))
    } else {
        invert ^= it.present_match == Some(false);
        Value::Present(true)
    };
    let matcher = wire::HeaderMatch { name, value: Some(value), invert };
    if let Err(invalid) = HeaderMatcher::try_from(matcher.clone()) {
        about.error(format!("{path}.safeRegexMatch"), invalid.reason);
        return None;
    }
    Some(wire::log_filter::Filter::Header(matcher))
}
