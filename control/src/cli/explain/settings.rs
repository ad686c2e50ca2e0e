//! How HTTP is spoken on a filter chain, in a few words each. What is the default is not said.

use portcullis_shared::table::{
    Admission, ClientAddress, ClientCertificate, Codec, EscapedSlashes, ForwardClientCert, HeaderCase, Http1,
    Http2, HttpSettings, LogSink, Paths, ServerHeader, Time, Timeouts, Underscores,
};

/// Which connections are let in.
pub(super) fn admission(admission: &Admission) -> Vec<String> {
    let limit = admission.connections.map(|it| format!("at most {} connections", it.max_active));
    let rate = admission.rate.map(|it| {
        let interval = humantime::format_duration(it.interval);
        format!("{} connections at once, {} more each {interval}", it.max, it.per_fill)
    });
    limit.into_iter().chain(rate).collect()
}

/// Everything but the defaults.
pub(super) fn of(http: &HttpSettings) -> Vec<String> {
    let said = |condition: bool, text: &str| condition.then(|| text.to_owned());
    let number = |text: &str, value: Option<u64>| value.map(|value| format!("{text} {value}"));
    let mut words: Vec<Option<String>> = Vec::new();
    words.extend(client(&http.client));
    words.push(said(http.no_request_id, "no x-request-id is made"));
    words.push(said(http.preserve_external_request_id, "x-request-id of clients kept"));
    words.push(http.via.as_ref().map(|via| format!("via {}", via.to_str().unwrap_or_default())));
    words.push(http.server_name.as_ref().map(|name| format!("server {}", name.to_str().unwrap_or_default())));
    words.push(match http.server_header {
        ServerHeader::Overwrite => None,
        ServerHeader::AppendIfAbsent => Some("server set where the upstream says none".to_owned()),
        ServerHeader::PassThrough => Some("server left to the upstream".to_owned()),
    });
    words.extend(timeouts(&http.timeouts));
    words.push(number("header bytes up to", http.header_bytes.and_then(|it| u64::try_from(it).ok())));
    words.push(number("header fields up to", http.header_fields.and_then(|it| u64::try_from(it).ok())));
    words.push(number("requests of a connection up to", http.requests_per_connection.map(u64::from)));
    words.push(number("bytes of a body kept up to", http.buffer_limit.and_then(|it| u64::try_from(it).ok())));
    words.extend(http1(&http.http1));
    words.extend(http2(&http.http2));
    words.extend(paths(&http.paths));
    words.push(certificate(&http.client_certificate));
    words.extend(http.upgrades.iter().map(|(protocol, enabled)| {
        Some(format!("upgrades to {protocol} {}", if *enabled { "allowed" } else { "refused" }))
    }));
    words.push(said(!http.early_headers.is_empty(), "headers changed before anything else"));
    words.push(said(http.suppress_envoy_headers, "no x-envoy-* is added"));
    words.push(http.tracing.as_ref().map(|it| format!("traces {}%", f64::from(it.random_share) / 100.0)));
    words.push(match http.codec {
        Codec::Auto => None,
        Codec::Http1 => Some("HTTP/1 only".to_owned()),
        Codec::Http2 => Some("HTTP/2 only".to_owned()),
    });
    words.push(said(http.append_x_forwarded_port, "x-forwarded-port set"));
    words.push(said(http.strip_any_host_port, "the port of a host counts for nothing"));
    words.push(match http.underscores {
        Underscores::Allow => None,
        Underscores::Reject => Some("names with underscores refused".to_owned()),
        Underscores::Drop => Some("names with underscores dropped".to_owned()),
    });
    words.extend(http.access_logs.iter().map(|log| {
        let filtered = if log.filter.is_some() { ", some" } else { "" };
        Some(match &log.sink {
            LogSink::File { path, .. } => format!("logged to {path}{filtered}"),
            LogSink::Grpc(grpc) => format!("logged by {}{filtered}", grpc.upstream),
        })
    }));
    words.into_iter().flatten().collect()
}

fn client(client: &ClientAddress) -> [Option<String>; 4] {
    let hops = (client.trusted_hops > 0).then(|| format!("{} trusted hops in front", client.trusted_hops));
    [
        client.use_remote.then(|| "the connection says who the client is".to_owned()),
        hops,
        client.skip_xff_append.then(|| "x-forwarded-for not appended".to_owned()),
        (!client.internal.is_empty()).then(|| format!("{} internal networks", client.internal.len())),
    ]
}

fn timeouts(timeouts: &Timeouts) -> [Option<String>; 8] {
    let limit = |name: &str, time: Time| {
        time.map(|limit| match limit {
            Some(limit) => format!("{name} {}", humantime::format_duration(limit)),
            None => format!("no limit of {name}"),
        })
    };
    [
        limit("silence of a request", timeouts.stream_idle),
        limit("idle connections", timeouts.idle),
        limit("receiving a request", timeouts.request),
        limit("receiving a header", timeouts.request_headers),
        limit("draining", timeouts.drain),
        limit("delayed close", timeouts.delayed_close),
        limit("life of a connection", timeouts.max_connection),
        limit("life of a request", timeouts.max_stream),
    ]
}

fn http1(http1: &Http1) -> Vec<Option<String>> {
    let host = http1.default_host.as_ref().map(|host| format!(", for {host} where it names no host"));
    vec![
        http1.accept_http10.then(|| format!("HTTP/1.0 served{}", host.unwrap_or_default())),
        http1.forward_expect.then(|| "expect: 100-continue passed on".to_owned()),
        http1.allow_chunked_length.then(|| "content-length beside chunks dropped".to_owned()),
        http1.trailers.then(|| "trailers pass".to_owned()),
        match http1.header_case {
            HeaderCase::Lower => None,
            HeaderCase::Proper => Some("names as in Content-Type".to_owned()),
            HeaderCase::Preserve => Some("names as they came".to_owned()),
        },
    ]
}

fn http2(http2: &Http2) -> [Option<String>; 3] {
    let number = |text: &str, value: Option<u32>| value.map(|value| format!("{text} {value}"));
    [
        number("HTTP/2 streams up to", http2.max_concurrent_streams),
        number("HTTP/2 window of a stream", http2.stream_window),
        number("HTTP/2 window of a connection", http2.connection_window),
    ]
}

fn paths(paths: &Paths) -> [Option<String>; 3] {
    [
        paths.keep_dot_segments.then(|| "paths not normalised".to_owned()),
        paths.merge_slashes.then(|| "slashes merged".to_owned()),
        match paths.escaped_slashes {
            EscapedSlashes::Keep => None,
            EscapedSlashes::Reject => Some("escaped slashes refused".to_owned()),
            EscapedSlashes::Redirect => Some("escaped slashes redirected".to_owned()),
            EscapedSlashes::Forward => Some("escaped slashes unescaped".to_owned()),
        },
    ]
}

fn certificate(certificate: &ClientCertificate) -> Option<String> {
    let word = match certificate.forward {
        ForwardClientCert::Sanitize => return None,
        ForwardClientCert::ForwardOnly => "passed on",
        ForwardClientCert::AppendForward => "passed on, with this client",
        ForwardClientCert::SanitizeSet => "set to this client",
        ForwardClientCert::AlwaysForwardOnly => "passed on always",
    };
    Some(format!("x-forwarded-client-cert {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn defaults_are_not_said_and_the_rest_is() {
        assert!(of(&HttpSettings::default()).is_empty());
        let timeouts =
            Timeouts { idle: Some(Some(Duration::from_secs(5))), request: Some(None), ..Timeouts::default() };
        let settings = HttpSettings {
            client: ClientAddress { use_remote: true, ..ClientAddress::default() },
            timeouts,
            http1: Http1 { accept_http10: true, default_host: Some("a".into()), ..Http1::default() },
            upgrades: vec![("websocket".into(), false)],
            ..HttpSettings::default()
        };
        let expected = [
            "the connection says who the client is",
            "idle connections 5s",
            "no limit of receiving a request",
            "HTTP/1.0 served, for a where it names no host",
            "upgrades to websocket refused",
        ];
        assert_eq!(of(&settings), expected);
    }
}
