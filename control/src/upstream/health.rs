//! `healthChecks` and `outlierDetection`: which endpoints are fit for requests.

use std::sync::Arc;
use std::time::Duration;

use super::field::Field;
use crate::ir::{CheckHeader, Checker, HealthCheck, HttpCheck, OutlierDetection};
use crate::resource::{
    self, CheckMethod, HeaderValueOption, HealthChecker, HttpHealthCheck, TcpHealthCheck, Upstream,
};

/// The health check of an upstream. There is one: Envoy takes no more.
pub(super) fn check(upstream: &Upstream, spec: &mut Field<'_>) -> Option<HealthCheck> {
    let mut checks = upstream.health_checks.iter();
    let first = checks.next()?;
    if checks.next().is_some() {
        spec.at("healthChecks[1]").error("only one health check is possible");
    }
    one(first, &mut spec.at("healthChecks[0]"))
}

fn one(check: &resource::HealthCheck, field: &mut Field<'_>) -> Option<HealthCheck> {
    let threshold = |field: &mut Field<'_>, name: &str, value: Option<u32>| match value {
        Some(0) => field.at(name).fail("must be at least 1"),
        None => field.at(name).fail("is needed"),
        value => value,
    };
    // Everything is looked at, so that all errors are told at once.
    let timeout = field.at("timeout").needed(check.timeout);
    let interval = field.at("interval").needed(check.interval);
    let unhealthy_threshold = threshold(field, "unhealthyThreshold", check.unhealthy_threshold);
    let healthy_threshold = threshold(field, "healthyThreshold", check.healthy_threshold);
    let checker = match check.checker() {
        Some(HealthChecker::Http(http)) => {
            self::http(http, &mut field.at("httpHealthCheck")).map(Checker::Http)
        }
        Some(HealthChecker::Tcp(tcp)) => self::tcp(tcp, &mut field.at("tcpHealthCheck")),
        Some(HealthChecker::Grpc(grpc)) => {
            let mut field = field.at("grpcHealthCheck");
            let authority = host(&mut field.at("authority"), &grpc.authority);
            let metadata = headers(&grpc.initial_metadata, &mut field, "initialMetadata");
            authority.zip(metadata).map(|(authority, metadata)| Checker::Grpc {
                service_name: grpc.service_name.as_str().into(),
                authority,
                metadata,
            })
        }
        None => field.fail("a checker is needed: httpHealthCheck, tcpHealthCheck or grpcHealthCheck"),
    };
    let jitter = |field: &mut Field<'_>, name: &str, value| {
        field.at(name).at_least_nothing(value).unwrap_or(Duration::ZERO)
    };
    Some(HealthCheck {
        initial_jitter: jitter(field, "initialJitter", check.initial_jitter),
        interval_jitter: jitter(field, "intervalJitter", check.interval_jitter),
        interval_jitter_percent: check.interval_jitter_percent,
        reuse_connection: check.reuse_connection.unwrap_or(true),
        no_traffic_interval: field.at("noTrafficInterval").positive(check.no_traffic_interval),
        unhealthy_interval: field.at("unhealthyInterval").positive(check.unhealthy_interval),
        unhealthy_edge_interval: field.at("unhealthyEdgeInterval").positive(check.unhealthy_edge_interval),
        healthy_edge_interval: field.at("healthyEdgeInterval").positive(check.healthy_edge_interval),
        event_log: (!check.event_log_path.is_empty()).then(|| check.event_log_path.as_str().into()),
        always_log_failures: check.always_log_health_check_failures,
        timeout: timeout?,
        interval: interval?,
        unhealthy_threshold: unhealthy_threshold?,
        healthy_threshold: healthy_threshold?,
        checker: checker?,
    })
}

fn http(check: &HttpHealthCheck, field: &mut Field<'_>) -> Option<HttpCheck> {
    let path = check.path.as_str();
    if path.is_empty() {
        field.at("path").error("is needed");
    } else if !path.starts_with('/') || http::uri::PathAndQuery::try_from(path).is_err() {
        field.at("path").error(format!("[{path}] is not a path: it begins with a slash and has no spaces"));
    }
    let mut expected = Vec::with_capacity(check.expected_statuses.len());
    for (at, range) in check.expected_statuses.iter().enumerate() {
        let code = |code: i64| u32::try_from(code).ok().filter(|code| (100..=600).contains(code));
        match (code(range.start), code(range.end)) {
            (Some(start), Some(end)) if start < end => expected.push(start..end),
            _ => field.at(&format!("expectedStatuses[{at}]")).error(format!(
                "{} to {} are no statuses: `start` is the first, from 100, and `end` is one beyond the last, up to 600",
                range.start, range.end
            )),
        }
    }
    let mut remove_headers: Vec<Arc<str>> = Vec::new();
    for (at, name) in check.request_headers_to_remove.iter().enumerate() {
        match http::HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => remove_headers.push(name.as_str().into()),
            Err(_) => field
                .at(&format!("requestHeadersToRemove[{at}]"))
                .error(format!("[{name}] is not a header name")),
        }
    }
    Some(HttpCheck {
        method: match check.method {
            CheckMethod::MethodUnspecified | CheckMethod::Get => "",
            CheckMethod::Head => "HEAD",
            CheckMethod::Post => "POST",
            CheckMethod::Put => "PUT",
            CheckMethod::Delete => "DELETE",
            CheckMethod::Options => "OPTIONS",
            CheckMethod::Trace => "TRACE",
            CheckMethod::Patch => "PATCH",
            CheckMethod::Connect => return field.at("method").fail("CONNECT cannot be a check"),
        },
        host: host(&mut field.at("host"), &check.host)?,
        path: path.into(),
        add_headers: headers(&check.request_headers_to_add, field, "requestHeadersToAdd")?,
        remove_headers,
        expected,
        http2: check.use_http2,
        service_name: check.service_name.as_str().into(),
    })
}

fn tcp(check: &TcpHealthCheck, field: &mut Field<'_>) -> Option<Checker> {
    let send = match &check.send {
        Some(payload) => bytes(&mut field.at("send.text"), &payload.text),
        None => Some(Vec::new()),
    };
    let receive: Vec<Option<Vec<u8>>> = check
        .receive
        .iter()
        .enumerate()
        .map(|(at, payload)| bytes(&mut field.at(&format!("receive[{at}].text")), &payload.text))
        .collect();
    Some(Checker::Tcp { send: send?, receive: receive.into_iter().collect::<Option<_>>()? })
}

fn bytes(field: &mut Field<'_>, hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    };
    let bytes = hex.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>();
    match bytes {
        Some(bytes) if !bytes.is_empty() => Some(bytes),
        _ => field.fail(format!("[{hex}] is not pairs of hexadecimal digits, such as `50494e47`")),
    }
}

fn host(field: &mut Field<'_>, text: &str) -> Option<Arc<str>> {
    if !text.is_empty() && http::uri::Authority::try_from(text).is_err() {
        return field.fail(format!("[{text}] is not a host"));
    }
    Some(text.into())
}

fn headers(list: &[HeaderValueOption], field: &mut Field<'_>, name: &str) -> Option<Vec<CheckHeader>> {
    let mut headers = Vec::with_capacity(list.len());
    for (at, option) in list.iter().enumerate() {
        let mut field = field.at(&format!("{name}[{at}].header"));
        let Some((header, append)) = option.parts() else {
            return field.fail("a header is needed");
        };
        let key = http::HeaderName::from_bytes(header.key.as_bytes());
        match (key, http::HeaderValue::from_str(&header.value)) {
            (Ok(key), Ok(_)) => headers.push(CheckHeader {
                name: key.as_str().into(),
                value: header.value.as_str().into(),
                append,
            }),
            (Err(_), _) => field.at("key").error(format!("[{}] is not a header name", header.key)),
            (_, Err(_)) => field.at("value").error("is not a header value"),
        }
    }
    Some(headers)
}

/// Outlier detection of an upstream.
pub(super) fn outlier(upstream: &Upstream, spec: &mut Field<'_>) -> Option<OutlierDetection> {
    let wanted = upstream.outlier_detection.as_ref()?;
    let mut field = spec.at("outlierDetection");
    for (name, percent) in [
        ("maxEjectionPercent", wanted.max_ejection_percent),
        ("enforcingConsecutive5xx", wanted.enforcing_consecutive_5xx),
        ("enforcingSuccessRate", wanted.enforcing_success_rate),
        ("enforcingConsecutiveGatewayFailure", wanted.enforcing_consecutive_gateway_failure),
        ("enforcingConsecutiveLocalOriginFailure", wanted.enforcing_consecutive_local_origin_failure),
        ("enforcingLocalOriginSuccessRate", wanted.enforcing_local_origin_success_rate),
    ] {
        if let Some(percent @ 101..) = percent {
            field.at(name).error(format!("{percent} is not a percentage: write 0 to 100"));
        }
    }
    Some(OutlierDetection {
        base_ejection_time: field.at("baseEjectionTime").positive(wanted.base_ejection_time),
        interval: field.at("interval").needed(wanted.interval)?,
        consecutive_5xx: wanted.consecutive_5xx,
        enforcing_consecutive_5xx: wanted.enforcing_consecutive_5xx,
        consecutive_gateway_failure: wanted.consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure: wanted.enforcing_consecutive_gateway_failure,
        max_ejection_percent: wanted.max_ejection_percent,
        enforcing_success_rate: wanted.enforcing_success_rate,
        success_rate_minimum_hosts: wanted.success_rate_minimum_hosts,
        success_rate_request_volume: wanted.success_rate_request_volume,
        success_rate_stdev_factor: wanted.success_rate_stdev_factor,
        split_external_local_origin_errors: wanted.split_external_local_origin_errors,
        consecutive_local_origin_failure: wanted.consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure: wanted.enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate: wanted.enforcing_local_origin_success_rate,
    })
}
