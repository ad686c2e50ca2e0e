//! Log entries sent to a user's own server (Envoy's AccessLogService, version 3), many at a time.
//!
//! Owns the entries that wait, bounded in bytes, and their form. Each batch is a stream of its own: what a server lost
//! with a connection is one batch. Must not hold up a request: an entry that finds no room is counted and dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Version};
use parking_lot::Mutex;
use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::data::accesslog::v3 as data;
use portcullis_proto::envoy::service::accesslog::v3 as als;
use portcullis_proto::envoy::service::accesslog::v3::stream_access_logs_message::{
    HttpAccessLogEntries, LogEntries, TcpAccessLogEntries,
};
use portcullis_shared::table::{self, Place};
use prost::Message;

use super::listener::{Finished, OfConnection};
use crate::proxy::callout::{Caller, GrpcCall};
use crate::proxy::limits;
use crate::upstream::{Counter, Upstream};

const METHOD: &str = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
/// Entries wait so long for others; Envoy's default.
const DELAY: Duration = Duration::from_secs(1);
/// For sending one batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one batch.
const BATCH: usize = 1024 * 1024;
/// What Envoy calls itself under Gloo (`node.cluster`).
const CLUSTER: &str = "gateway";

/// See the module.
#[derive(Debug)]
pub(super) struct GrpcLog {
    config: table::GrpcSink,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    bytes: usize,
    /// Somebody sends.
    sending: bool,
    /// Where they go, by the newest configuration.
    upstream: Option<Arc<Upstream>>,
}

/// An entry for a request or for a connection.
#[derive(Debug)]
enum Entry {
    Request(Box<data::HttpAccessLogEntry>),
    Connection(Box<data::TcpAccessLogEntry>),
}

impl Entry {
    fn length(&self) -> usize {
        match self {
            Entry::Request(entry) => entry.encoded_len(),
            Entry::Connection(entry) => entry.encoded_len(),
        }
    }
}

impl GrpcLog {
    pub(super) fn new(config: &table::GrpcSink) -> Arc<Self> {
        Arc::new(GrpcLog { config: config.clone(), waiting: Mutex::default() })
    }

    /// Name of the server's upstream.
    pub(super) fn upstream(&self) -> &str {
        &self.config.upstream
    }

    /// Adds a request that is over, or a connection.
    pub(super) fn push(
        self: &Arc<Self>,
        request: &Finished<'_>,
        upstream: Option<&Arc<Upstream>>,
        caller: impl FnOnce() -> Caller,
        dropped: &Counter,
    ) {
        // A connection may end with the thread's runtime.
        let running = tokio::runtime::Handle::try_current();
        let (Some(upstream), Ok(runtime)) = (upstream, running) else { return dropped.inc() };
        let entry = match &request.of_connection {
            None => Entry::Request(Box::new(self.entry(request))),
            Some(connection) => Entry::Connection(Box::new(of_connection(request, connection))),
        };
        let length = entry.length();
        let mut waiting = self.waiting.lock();
        if waiting.bytes.saturating_add(length) > limits::LOG_BYTES {
            drop(waiting);
            return dropped.inc();
        }
        waiting.bytes = waiting.bytes.saturating_add(length);
        waiting.entries.push(entry);
        waiting.upstream = Some(upstream.clone());
        if !std::mem::replace(&mut waiting.sending, true) {
            runtime.spawn(self.clone().send(caller()));
        }
    }

    /// Sends until nothing is left.
    async fn send(self: Arc<Self>, caller: Caller) {
        loop {
            tokio::time::sleep(DELAY).await;
            let (entries, upstream) = {
                let mut waiting = self.waiting.lock();
                waiting.bytes = 0;
                let entries = std::mem::take(&mut waiting.entries);
                waiting.sending = !entries.is_empty();
                (entries, waiting.upstream.take())
            };
            let Some(upstream) = upstream.filter(|_| !entries.is_empty()) else { return };
            for batch in batches(entries) {
                let call = GrpcCall {
                    method: METHOD,
                    authority: None,
                    metadata: HeaderMap::new(),
                    timeout: TIMEOUT,
                    answer_limit: BATCH,
                };
                let sending = caller.unary::<_, als::StreamAccessLogsResponse>(
                    upstream.clone(),
                    call,
                    &self.message(batch),
                );
                // Servers end the stream as they like.
                if let Err(error) = sending.await {
                    tracing::debug!(upstream = &*upstream.name, %error, "access log entries may be lost");
                }
            }
        }
    }

    /// Entries of one message are all for requests or all for connections.
    fn message(&self, entries: LogEntries) -> als::StreamAccessLogsMessage {
        use als::stream_access_logs_message::Identifier;
        als::StreamAccessLogsMessage {
            identifier: Some(Identifier {
                node: Some(core::Node { id: CLUSTER.into(), cluster: CLUSTER.into() }),
                log_name: self.config.log_name.to_string(),
            }),
            log_entries: Some(entries),
        }
    }

    fn entry(&self, request: &Finished<'_>) -> data::HttpAccessLogEntry {
        use data::http_access_log_entry::HttpVersion;
        let facts = &request.facts;
        let version = match facts.protocol {
            Version::HTTP_2 => HttpVersion::Http2,
            Version::HTTP_10 => HttpVersion::Http10,
            _ => HttpVersion::Http11,
        };
        let field = |name: &str| request.field(name).map(|value| value.into_owned()).unwrap_or_default();
        let path = request.rewritten.0;
        data::HttpAccessLogEntry {
            common_properties: Some(common(request)),
            protocol_version: version.into(),
            request: Some(data::HttpRequestProperties {
                request_method: method(facts.method).into(),
                scheme: facts.scheme.into(),
                authority: request.rewritten.1.unwrap_or(facts.authority).into(),
                path: path.unwrap_or(facts.path).into(),
                original_path: path.map(|_| facts.path.to_owned()).unwrap_or_default(),
                user_agent: field("user-agent"),
                referer: field("referer"),
                forwarded_for: field("x-forwarded-for"),
                request_id: field("x-request-id"),
                request_body_bytes: size(request.bytes.0),
                request_headers: chosen(Some(request.headers), &self.config.request_headers),
            }),
            response: Some(data::HttpResponseProperties {
                response_code: Some(u32::from(request.status)),
                response_body_bytes: size(request.bytes.1),
                response_headers: chosen(request.response, &self.config.response_headers),
                response_trailers: chosen(request.trailers, &self.config.response_trailers),
                response_code_details: request.details.unwrap_or_default().into(),
            }),
        }
    }
}

/// What entries for requests and for connections have in common.
fn common(request: &Finished<'_>) -> data::AccessLogCommon {
    let facts = &request.facts;
    let flags: Vec<&str> = request.flags.split(',').collect();
    data::AccessLogCommon {
        downstream_remote_address: Some(address(facts.client)),
        downstream_local_address: Some(address(facts.local)),
        tls_properties: facts.tls.map(|tls| data::TlsProperties {
            tls_version: tls_version(tls.version),
            tls_sni_hostname: facts.sni.unwrap_or_default().into(),
        }),
        downstream_direct_remote_address: Some(address(facts.direct)),
        start_time: Some(request.started.into()),
        time_to_last_rx_byte: request.request_took.map(span),
        time_to_first_upstream_rx_byte: request.response_began.map(span),
        time_to_last_downstream_tx_byte: Some(span(request.took)),
        duration: Some(span(request.took)),
        upstream_remote_address: facts.upstream_host.and_then(Place::address).map(address),
        upstream_local_address: request.upstream_local.map(address),
        upstream_cluster: facts.upstream.unwrap_or_default().into(),
        response_flags: Some(response_flags(&flags)),
        upstream_transport_failure_reason: request.upstream_failure.unwrap_or_default().into(),
        route_name: facts.route_name.into(),
        upstream_request_attempt_count: facts.attempts,
        ..Default::default()
    }
}

fn of_connection(over: &Finished<'_>, connection: &OfConnection<'_>) -> data::TcpAccessLogEntry {
    let kind = match connection.lasts {
        true => data::AccessLogType::TcpPeriodic,
        false => data::AccessLogType::TcpConnectionEnd,
    };
    data::TcpAccessLogEntry {
        common_properties: Some(data::AccessLogCommon {
            connection_termination_details: connection.termination.unwrap_or_default().into(),
            downstream_transport_failure_reason: connection.failure.unwrap_or_default().into(),
            intermediate_log_entry: connection.lasts,
            access_log_type: kind.into(),
            ..common(over)
        }),
        connection_properties: Some(data::ConnectionProperties {
            received_bytes: size(over.bytes.0),
            sent_bytes: size(over.bytes.1),
        }),
    }
}

fn size(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// By Envoy's numbers.
fn tls_version(name: &str) -> i32 {
    match name {
        "TLSv1.2" => 3,
        "TLSv1.3" => 4,
        _ => 0,
    }
}

/// Entries that fit into one message and are of one kind, again and again.
fn batches(entries: Vec<Entry>) -> Vec<LogEntries> {
    let mut batches = Vec::new();
    let (mut requests, mut connections) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Request(entry) => requests.push(*entry),
            Entry::Connection(entry) => connections.push(*entry),
        }
    }
    let requests = cut(requests).into_iter();
    batches.extend(requests.map(|log_entry| LogEntries::HttpLogs(HttpAccessLogEntries { log_entry })));
    let connections = cut(connections).into_iter();
    batches.extend(connections.map(|log_entry| LogEntries::TcpLogs(TcpAccessLogEntries { log_entry })));
    batches
}

/// Entries in groups of a bounded size.
fn cut<T: Message>(entries: Vec<T>) -> Vec<Vec<T>> {
    let (mut all, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0usize);
    for entry in entries {
        let length = entry.encoded_len();
        if bytes.saturating_add(length) > BATCH && !batch.is_empty() {
            all.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes = bytes.saturating_add(length);
        batch.push(entry);
    }
    if !batch.is_empty() {
        all.push(batch);
    }
    all
}

fn address(address: SocketAddr) -> core::Address {
    core::Address {
        socket_address: Some(core::SocketAddress {
            address: address.ip().to_canonical().to_string(),
            port_value: address.port().into(),
        }),
    }
}

fn span(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or_default()
}

fn chosen(fields: Option<&HeaderMap>, names: &[HeaderName]) -> BTreeMap<String, String> {
    let one = |name: &HeaderName| {
        let values: Vec<&[u8]> = fields?.get_all(name).iter().map(|value| value.as_bytes()).collect();
        let text = String::from_utf8_lossy(&values.join(&b","[..])).into_owned();
        (!values.is_empty()).then(|| (name.to_string(), text))
    };
    names.iter().filter_map(one).collect()
}

fn method(name: &str) -> data::RequestMethod {
    use data::RequestMethod as Method;
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        _ => Method::MethodUnspecified,
    }
}

fn response_flags(flags: &[&str]) -> data::ResponseFlags {
    let has = |flag: &str| flags.contains(&flag);
    data::ResponseFlags {
        no_healthy_upstream: has("UH"),
        upstream_request_timeout: has("UT"),
        local_reset: has("LR"),
        upstream_remote_reset: has("UR"),
        upstream_connection_failure: has("UF"),
        upstream_connection_termination: has("UC"),
        upstream_overflow: has("UO"),
        no_route_found: has("NR"),
        delay_injected: has("DI"),
        fault_injected: has("FI"),
        rate_limited: has("RL"),
        unauthorized_details: has("UAEX").then(|| data::response_flags::Unauthorized {
            reason: data::response_flags::unauthorized::Reason::ExternalService.into(),
        }),
        rate_limit_service_error: has("RLSE"),
        downstream_connection_termination: has("DC"),
        upstream_retry_limit_exceeded: has("URX"),
        stream_idle_timeout: has("SI"),
        downstream_protocol_error: has("DPE"),
        upstream_protocol_error: has("UPE"),
        duration_timeout: has("DT"),
        no_cluster_found: has("NC"),
        overload_manager: has("OM"),
    }
}
