//! The logs that users configure for a listener, and what they may know about a request that is over.
//!
//! A line is made of the operators that header values have too; what only the end of a request shows is added here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portcullis_shared::format::{Fact, Format, Operator, Typed, Values};
use portcullis_shared::routing::RequestView;
use portcullis_shared::table::{self, JsonFormat, LogFilter, LogFormat, Place};

use super::grpc::GrpcLog;
use super::{AccessLog, file, filter};
use crate::policy::metadata::DynamicMetadata;
use crate::policy::{Facts, values};
use crate::proxy::callout::Caller;
use crate::proxy::conn::ConnInfo;
use crate::proxy::pool::Pool;
use crate::runtime::Runtime;
use crate::upstream::Counter;

/// A listener's logs.
#[derive(Debug)]
pub struct ListenerLogs {
    logs: Box<[Log]>,
    /// A format or filter asks for the response's header fields.
    pub(in crate::proxy) response: bool,
    /// One asks for the gateway's own address towards the upstream.
    pub(in crate::proxy) upstream_local: bool,
}

#[derive(Debug)]
struct Log {
    sink: Sink,
    filter: Option<LogFilter>,
}

#[derive(Debug)]
enum Sink {
    File { log: AccessLog, format: LogFormat },
    Grpc(Arc<GrpcLog>),
}

thread_local! {
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

impl ListenerLogs {
    /// None where nothing is configured.
    ///
    /// # Errors
    /// The system gives no thread for a writer.
    pub fn open(configs: &[table::AccessLog]) -> std::io::Result<Option<Self>> {
        if configs.is_empty() {
            return Ok(None);
        }
        let mut logs = Vec::with_capacity(configs.len());
        let (mut response, mut upstream_local) = (false, false);
        for config in configs {
            response |= config.filter.as_ref().is_some_and(filters_response);
            let sink = match &config.sink {
                table::LogSink::File { path, format } => {
                    response |= any(format, &mut of_response);
                    upstream_local |= any(format, &mut of_upstream_local);
                    Sink::File { log: file::shared(path)?, format: format.clone() }
                }
                table::LogSink::Grpc(config) => {
                    response |= !(config.response_headers.is_empty() && config.response_trailers.is_empty());
                    upstream_local = true;
                    Sink::Grpc(GrpcLog::new(config))
                }
            };
            logs.push(Log { sink, filter: config.filter.clone() });
        }
        Ok(Some(Self { logs: logs.into(), response, upstream_local }))
    }

    /// Writes the lines of a request that is over.
    pub(in crate::proxy) fn write(
        &self,
        request: &Finished<'_>,
        outside: Option<Outside<'_>>,
        dropped: &Counter,
    ) {
        for Log { sink, filter } in &self.logs {
            if filter.as_ref().is_some_and(|filter| !filter::passes(filter, request)) {
                continue;
            }
            match sink {
                Sink::File { log, format } => SCRATCH.with_borrow_mut(|line| {
                    line.clear();
                    match format {
                        LogFormat::Text(format) => format.render_into(line, request, ABSENT),
                        LogFormat::Json(format) => {
                            json(line, format, request);
                            line.push('\n');
                        }
                    }
                    log.push_text(line, dropped);
                }),
                Sink::Grpc(log) => match &outside {
                    Some(Outside { runtime, pool }) => {
                        let upstream = runtime.upstream(log.upstream());
                        log.push(request, upstream, || Caller::new((*pool).clone()), dropped);
                    }
                    None => dropped.inc(),
                },
            }
        }
    }
}

/// What a log needs that goes to a server.
pub(in crate::proxy) struct Outside<'a> {
    pub(in crate::proxy) runtime: &'a Runtime,
    pub(in crate::proxy) pool: &'a Arc<Pool>,
}

/// Where Envoy keeps the address that a dynamic forward proxy has found.
const UPSTREAM_ADDRESS: &str = "envoy.stream.upstream_address";
/// What stands for a value that is not there.
const ABSENT: &str = "-";

fn any(format: &LogFormat, test: &mut dyn FnMut(&Operator) -> bool) -> bool {
    match format {
        LogFormat::Text(format) => format.any(test),
        LogFormat::Json(json) => json.any(&mut |format: &Format| format.any(&mut *test)),
    }
}

fn of_response(operator: &Operator) -> bool {
    matches!(operator, Operator::ResponseHeader(_) | Operator::Trailer(_) | Operator::GrpcStatus(_))
}

fn of_upstream_local(operator: &Operator) -> bool {
    use Fact::{UpstreamLocalAddress, UpstreamLocalAddressWithoutPort, UpstreamLocalPort};
    let facts = [UpstreamLocalAddress, UpstreamLocalAddressWithoutPort, UpstreamLocalPort];
    matches!(operator, Operator::Fact(fact) if facts.contains(fact))
}

fn filters_response(filter: &LogFilter) -> bool {
    match filter {
        LogFilter::GrpcStatus { .. } => true,
        LogFilter::All(list) | LogFilter::Any(list) => list.iter().any(filters_response),
        _ => false,
    }
}

fn json(out: &mut String, format: &JsonFormat, values: &dyn Values) {
    match format {
        JsonFormat::Object(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quoted(out, name);
                out.push(':');
                json(out, value, values);
            }
            out.push('}');
        }
        JsonFormat::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                json(out, item, values);
            }
            out.push(']');
        }
        JsonFormat::Text(format) => match format.typed(values, ABSENT) {
            Typed::Absent => out.push_str("null"),
            Typed::Number(digits) => out.push_str(&digits),
            Typed::Text(text) => quoted(out, &text),
        },
        JsonFormat::Literal(text) => out.push_str(text),
    }
}

fn quoted(out: &mut String, text: &str) {
    // A text always has a form in JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A connection that is over.
#[derive(Debug)]
pub struct Connection<'a> {
    /// What is known of it.
    pub info: &'a ConnInfo,
    /// When it was accepted.
    pub started: SystemTime,
    /// How long it was there.
    pub took: Duration,
    /// Why there was no TLS session on it.
    pub failure: Option<&'a str>,
    /// What became of its bytes, where they were passed on.
    pub passed: Option<Passed<'a>>,
}

/// A connection whose bytes are passed on.
#[derive(Debug, Clone, Copy)]
pub struct Passed<'a> {
    /// Where to.
    pub upstream: Option<&'a str>,
    /// Endpoint of the last try.
    pub endpoint: Option<&'a Place>,
    /// The gateway's own end of the connection there.
    pub local: Option<SocketAddr>,
    /// Tries to connect.
    pub attempts: u32,
    /// Envoy's response flags.
    pub flags: &'a str,
    /// Why there is no connection to the endpoint.
    pub no_connection: Option<&'a str>,
    /// Why it was closed.
    pub termination: Option<&'a str>,
    /// Bytes from the client and to it.
    pub bytes: (u64, u64),
    /// It goes on.
    pub lasts: bool,
}

impl Default for Passed<'_> {
    fn default() -> Self {
        Passed {
            upstream: None,
            endpoint: None,
            local: None,
            attempts: 0,
            flags: "-",
            no_connection: None,
            termination: None,
            bytes: (0, 0),
            lasts: false,
        }
    }
}

/// A request that is over, or a connection.
pub(in crate::proxy) struct Finished<'a> {
    /// Of a request that was refused, what could be read of it.
    pub(in crate::proxy) facts: Facts<'a>,
    /// Its fields; empty where it was refused.
    pub(in crate::proxy) headers: &'a HeaderMap,
    /// Number of the connection.
    pub(in crate::proxy) connection: u64,
    /// 0 where the client left before it got one.
    pub(in crate::proxy) status: u16,
    pub(in crate::proxy) details: Option<&'a str>,
    pub(in crate::proxy) flags: &'a str,
    pub(in crate::proxy) response: Option<&'a HeaderMap>,
    pub(in crate::proxy) trailers: Option<&'a HeaderMap>,
    /// Path and host as the upstream got them, where they are others.
    pub(in crate::proxy) rewritten: (Option<&'a str>, Option<&'a str>),
    pub(in crate::proxy) started: SystemTime,
    pub(in crate::proxy) took: Duration,
    /// From the start to the request's last byte.
    pub(in crate::proxy) request_took: Option<Duration>,
    /// From the start to the first byte of the upstream's response.
    pub(in crate::proxy) response_began: Option<Duration>,
    pub(in crate::proxy) bytes: (usize, usize),
    pub(in crate::proxy) upstream_local: Option<SocketAddr>,
    pub(in crate::proxy) upstream_failure: Option<&'a str>,
    pub(in crate::proxy) local_body: Option<&'a Bytes>,
    pub(in crate::proxy) trace_id: Option<&'a str>,
    pub(in crate::proxy) traced: bool,
    pub(in crate::proxy) health_check: bool,
    /// What policies noted.
    pub(in crate::proxy) metadata: Option<&'a DynamicMetadata>,
    /// The endpoint's address may be asked for as filter state.
    pub(in crate::proxy) address_saved: bool,
    /// It is a connection and not a request.
    pub(in crate::proxy) of_connection: Option<OfConnection<'a>>,
}

/// What only a connection has.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct OfConnection<'a> {
    /// Why its handshake failed.
    pub(in crate::proxy) failure: Option<&'a str>,
    pub(in crate::proxy) termination: Option<&'a str>,
    pub(in crate::proxy) lasts: bool,
}

/// The fields of a request that has none.
pub(in crate::proxy) static NO_FIELDS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

impl<'a> From<&Connection<'a>> for Finished<'a> {
    fn from(connection: &Connection<'a>) -> Self {
        let Connection { info, started, took, failure, passed } = *connection;
        let flags = passed.map_or("-", |passed| passed.flags);
        let count = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (received, sent) = passed.map(|passed| passed.bytes).unwrap_or_default();
        Finished {
            facts: Facts {
                client: info.client,
                direct: info.direct,
                local: info.local,
                sni: info.sni.as_deref(),
                tls: info.tls.as_ref(),
                protocol: http::Version::default(),
                started,
                method: "",
                scheme: "",
                authority: "",
                path: "",
                route_name: "",
                upstream: passed.and_then(|passed| passed.upstream),
                upstream_host: passed.and_then(|passed| passed.endpoint),
                attempts: passed.map_or(0, |passed| passed.attempts),
                reason: None,
                flags,
                buffer_limit: 0,
            },
            headers: &NO_FIELDS,
            connection: info.id,
            status: 0,
            details: None,
            flags,
            response: None,
            trailers: None,
            rewritten: (None, None),
            started,
            took,
            request_took: None,
            response_began: None,
            bytes: (count(received), count(sent)),
            upstream_local: passed.and_then(|passed| passed.local),
            upstream_failure: passed.and_then(|passed| passed.no_connection),
            local_body: None,
            trace_id: None,
            traced: false,
            health_check: false,
            metadata: info.metadata.as_deref(),
            address_saved: false,
            of_connection: Some(OfConnection {
                failure,
                termination: passed.and_then(|passed| passed.termination),
                lasts: passed.is_some_and(|passed| passed.lasts),
            }),
        }
    }
}

impl Finished<'_> {
    pub(super) fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    pub(super) fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// For matchers.
    pub(super) fn view(&self) -> RequestView<'_> {
        let facts = &self.facts;
        let (path, query) = match facts.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (facts.path, None),
        };
        RequestView {
            method: facts.method,
            scheme: facts.scheme,
            authority: facts.authority,
            path,
            query,
            headers: self.headers,
        }
    }

    /// What the call said about itself.
    pub(super) fn grpc_code(&self) -> Option<u32> {
        let of =
            |map: Option<&HeaderMap>| -> Option<u32> { map?.get("grpc-status")?.to_str().ok()?.parse().ok() };
        of(self.trailers).or_else(|| of(self.response))
    }
}

fn millis(duration: Duration) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(duration.as_millis().to_string()))
}

fn shown(value: impl ToString) -> Option<Cow<'static, str>> {
    Some(Cow::Owned(value.to_string()))
}

fn filled(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.filter(|text| !text.is_empty()).map(Cow::Borrowed)
}

/// Without spaces, as Envoy writes reasons: lines are read by columns.
fn one_word(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains(' ') { Cow::Owned(text.replace(' ', "_")) } else { text }
}

impl Values for Finished<'_> {
    fn fact(&self, fact: Fact) -> Option<Cow<'_, str>> {
        match fact {
            Fact::ResponseCode => shown(self.status),
            Fact::ResponseCodeDetails => filled(self.details),
            Fact::ResponseFlags => Some(self.flags.into()),
            Fact::BytesReceived => shown(self.bytes.0),
            Fact::BytesSent => shown(self.bytes.1),
            Fact::Duration => millis(self.took),
            Fact::RequestDuration => self.request_took.and_then(millis),
            Fact::ResponseDuration => self.response_began.and_then(millis),
            Fact::ResponseTxDuration => millis(self.took.checked_sub(self.response_began?)?),
            Fact::UpstreamLocalAddress => self.upstream_local.and_then(shown),
            Fact::UpstreamLocalAddressWithoutPort => self.upstream_local.and_then(|it| shown(it.ip())),
            Fact::UpstreamLocalPort => self.upstream_local.and_then(|it| shown(it.port())),
            Fact::UpstreamTransportFailureReason => filled(self.upstream_failure).map(one_word),
            Fact::ConnectionId => shown(self.connection),
            Fact::TraceId => filled(self.trace_id),
            // An empty text, not an absent one, where somebody else answered.
            Fact::LocalReplyBody => {
                Some(self.local_body.map_or(Cow::Borrowed(""), |body| String::from_utf8_lossy(body)))
            }
            Fact::Protocol if self.of_connection.is_some() => None,
            Fact::DownstreamTransportFailureReason => {
                filled(self.of_connection.and_then(|it| it.failure)).map(one_word)
            }
            Fact::ConnectionTerminationDetails => filled(self.of_connection.and_then(|it| it.termination)),
            Fact::RouteName => filled(Some(self.facts.route_name)),
            fact => values::fact(&self.facts, fact),
        }
    }

    fn request_header(&self, name: &str) -> Option<Cow<'_, str>> {
        let (path, host) = self.rewritten;
        match name {
            ":path" if path.is_some() => filled(path),
            ":authority" | "host" if host.is_some() => filled(host),
            "x-envoy-original-path" if path.is_some() => filled(Some(self.facts.path)),
            "x-envoy-original-host" if host.is_some() => filled(Some(self.facts.authority)),
            name => values::request_header(&self.facts, self.headers, name).filter(|value| !value.is_empty()),
        }
    }

    fn response_header(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            ":status" => shown(self.status),
            name => self.response?.get(name).map(|value| String::from_utf8_lossy(value.as_bytes())),
        }
    }

    fn started(&self) -> SystemTime {
        self.started
    }

    fn trailer(&self, name: &str) -> Option<Cow<'_, str>> {
        self.trailers?.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    fn grpc_status(&self) -> Option<u32> {
        self.grpc_code()
    }

    fn dynamic_metadata(&self, path: &str) -> Option<Cow<'_, str>> {
        self.metadata?.shown(path)
    }

    fn filter_state(&self, key: &str) -> Option<Cow<'_, str>> {
        let saved = self.facts.upstream_host.filter(|_| self.address_saved && key == UPSTREAM_ADDRESS);
        saved.and_then(shown)
    }
}
