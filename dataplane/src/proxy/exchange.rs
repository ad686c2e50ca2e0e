//! What is known about one request while it is served, and what is said about it when it is over.
//!
//! Owns the facts for policies, the span, and the access log line. Filled in by `phases` and `attempt`; must not decide.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use portcullis_shared::table::Place;
use tokio::time::Instant;

use super::Shared;
use super::access_log::{Finished, Line, NO_FIELDS, Outside};
use super::clock::Clock;
use super::conn::ConnInfo;
use super::forward;
use super::pool::Pool;
use super::reply::{LocalReply, Reason};
use super::span::{self, Server};
use super::strict::Head;
use crate::policy::transformation::SpanName;
use crate::policy::{Chain, Facts, Flags, SavedAddress, Slots};
use crate::runtime::{Route, Runtime, VirtualHost};
use crate::upstream::Upstream;

/// One request.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    /// The configuration that this request is served by, whatever comes meanwhile.
    pub(super) runtime: Arc<Runtime>,
    pub(super) info: Arc<ConnInfo>,
    pub(super) clock: Clock,
    pub(super) slots: Slots,
    pub(super) span: Option<Box<Server>>,
    pub(super) virtual_host: Option<Arc<VirtualHost>>,
    pub(super) route: Option<Arc<Route>>,
    /// Policies, and how many of them have seen the request and so see the answer.
    pub(super) policies: (Chain, usize),
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) endpoint: Option<Place>,
    pub(super) attempts: u32,
    /// The client is told about them.
    pub(super) tells_attempts: bool,
    /// What the client got, or would have got.
    pub(super) status: StatusCode,
    pub(super) reason: Option<Reason>,
    pub(super) detail: Option<Box<str>>,
    pub(super) flags: Flags,
    /// For the upstream's answer to set.
    pub(super) cookies: Vec<HeaderValue>,
    /// From the start of the last try to its response header.
    pub(super) upstream_time: Option<Duration>,
    /// What a listener's own logs may ask for; none where there are none.
    pub(super) noted: Option<Box<Noted>>,
    /// Of a request that was not admitted, for the log.
    seen: Option<Seen>,
    started: Instant,
    started_at: SystemTime,
    client: SocketAddr,
}

impl Exchange {
    pub(super) fn begin(shared: &Arc<Shared>, info: Arc<ConnInfo>) -> Self {
        shared.metrics.requests.inc();
        shared.metrics.active.inc();
        let started = Instant::now();
        let mut slots = Slots::default();
        if let Some(metadata) = info.metadata.as_deref() {
            slots.put(metadata.clone());
        }
        Exchange {
            runtime: shared.runtime.load_full(),
            shared: shared.clone(),
            clock: Clock::new(started, &info.http),
            slots,
            span: None,
            virtual_host: None,
            route: None,
            policies: (Chain::default(), 0),
            upstream: None,
            endpoint: None,
            attempts: 0,
            tells_attempts: false,
            status: StatusCode::OK,
            reason: None,
            detail: None,
            flags: Flags::default(),
            cookies: Vec::new(),
            upstream_time: None,
            noted: info.http.access_logs.as_ref().map(|_| Box::default()),
            seen: None,
            started,
            started_at: SystemTime::now(),
            client: info.client,
            info,
        }
    }

    /// The request is admitted: its span begins.
    pub(super) fn admitted(&mut self, head: &Head, client: SocketAddr) {
        self.client = client;
        let tracing = self.info.http.settings.tracing.as_ref();
        if let Some(tracer) = self.shared.tracer.as_ref().filter(|_| span::wanted(&head.headers, tracing)) {
            self.span = Some(Box::new(Server::begin(tracer, head, &self.info, self.started_at)));
        }
    }

    /// The request is not admitted; what can be said of its header.
    pub(super) fn refused(&mut self, seen: Option<Seen>) {
        self.seen = seen;
    }

    /// As [`Exchange::refused`], when the header was taken already.
    pub(super) fn refused_head(&mut self, head: &Head) {
        self.seen = Some(Seen {
            version: head.version,
            method: head.method.as_str().into(),
            authority: head.authority.clone(),
            path: head.target_text().into(),
        });
    }

    /// The route is found.
    pub(super) fn routed(&mut self, head: &Head, route: &Arc<Route>) {
        if let Some(span) = &mut self.span {
            span.route(&head.method, route);
        }
        self.route = Some(route.clone());
    }

    /// The answer is the gateway's own.
    pub(super) fn replied(&mut self, reply: &LocalReply) {
        self.status = reply.status;
        if let Some(noted) = &mut self.noted {
            noted.local_body = Some(reply.body.clone());
        }
        self.flags.insert(reply.flag);
        self.ended(reply.reason, reply.detail.clone());
    }

    /// The fields of the answer that the client gets.
    pub(super) fn answered(&mut self, headers: &HeaderMap) {
        if let Some(noted) = &mut self.noted
            && self.info.http.access_logs.as_ref().is_some_and(|logs| logs.response)
        {
            noted.response = Some(headers.clone());
        }
    }

    /// Nobody is left to answer.
    pub(super) fn abandoned(&mut self) {
        self.status = super::reply::CLIENT_CLOSED_REQUEST;
    }

    /// The exchange ended, or was answered, for a reason of the gateway's.
    pub(super) fn ended(&mut self, reason: Reason, detail: Option<Box<str>>) {
        self.reason = Some(reason);
        self.flags.insert(reason.flag());
        self.detail = detail;
    }

    /// Says everything that is to be said about it.
    pub(super) fn finish(
        mut self,
        head: Option<&Head>,
        (received, sent): (usize, usize),
        trailers: Option<HeaderMap>,
        pool: &Arc<Pool>,
    ) {
        let took = self.started.elapsed();
        let metrics = self.shared.metrics.clone();
        metrics.finished(self.status, took);
        if let Some(reason) = self.reason {
            metrics.local_reply(reason);
        }
        if let Some(upstream) = &self.upstream {
            upstream.stats.responses.inc(self.status);
            upstream.stats.time.observe(took);
        }
        let span = self.span.take();
        let own_logs = self.info.http.access_logs.as_ref();
        let log = self.shared.access_log.as_ref().filter(|_| own_logs.is_none());
        let own_id = span.as_ref().map(|span| span.trace_id());
        let trace_id = match (&own_id, head) {
            (Some(id), _) => str::from_utf8(id).ok(),
            (None, Some(head)) if own_logs.is_some() || log.is_some() => span::trace_id_of(&head.headers),
            _ => None,
        };
        if let (Some(logs), Some(noted)) = (own_logs, &self.noted) {
            let traced = span.as_ref().is_some_and(|span| span.is_sampled());
            let bytes = (received, sent);
            let trailers = trailers.as_ref();
            let over = Finished { bytes, took, trailers, trace_id, traced, ..self.over(noted, head) };
            let outside = Outside { runtime: &self.runtime, pool };
            logs.write(&over, Some(outside), &metrics.log_dropped);
        }
        if let Some(log) = log {
            let line = Line { bytes_received: received, bytes_sent: sent, trace_id, ..self.line(head, took) };
            log.push(&line, &metrics.log_dropped);
        }
        if let Some(mut span) = span {
            if let Some(SpanName(name)) = self.slots.get() {
                span.rename(name);
            }
            span.end(self.status, self.reason);
        }
    }

    /// What a listener's logs may know; what only the end shows is filled in by the caller.
    fn over<'a>(&'a self, noted: &'a Noted, head: Option<&'a Head>) -> Finished<'a> {
        let since = |at: Instant| at.saturating_duration_since(self.started);
        let complete = self.clock.completed().map(since);
        let left =
            self.status == super::reply::CLIENT_CLOSED_REQUEST && self.reason == Some(Reason::ClientGone);
        let failed = matches!(self.reason, Some(Reason::ConnectFailed | Reason::ConnectTimeout));
        Finished {
            facts: self.facts_of(head),
            headers: head.map_or(&NO_FIELDS, |head| &head.headers),
            connection: self.info.id,
            status: if left { 0 } else { self.status.as_u16() },
            details: Some(self.reason.map_or("via_upstream", Reason::details)),
            flags: self.flags.as_str(),
            response: noted.response.as_ref(),
            trailers: None,
            rewritten: (noted.path.as_deref(), noted.host.as_deref()),
            started: self.started_at,
            took: Duration::ZERO,
            request_took: complete.or_else(|| head.filter(|head| !head.body).map(|_| Duration::ZERO)),
            response_began: noted.response_began.map(since),
            bytes: (0, 0),
            upstream_local: noted.upstream_local,
            upstream_failure: self.detail.as_deref().filter(|_| failed),
            local_body: noted.local_body.as_ref(),
            trace_id: None,
            traced: false,
            health_check: self.reason == Some(Reason::Policy("health_check")),
            metadata: self.slots.get(),
            address_saved: self.slots.get::<SavedAddress>().is_some(),
            of_connection: None,
        }
    }

    /// As [`Exchange::facts`], also of a request that was refused.
    fn facts_of<'a>(&'a self, head: Option<&'a Head>) -> Facts<'a> {
        let seen = self.seen.as_ref();
        Facts {
            client: self.client,
            direct: self.info.direct,
            local: self.info.local,
            sni: self.info.sni.as_deref(),
            tls: self.info.tls.as_ref(),
            protocol: head.map(|head| head.version).or(seen.map(|seen| seen.version)).unwrap_or_default(),
            started: self.started_at,
            method: head.map(|head| head.method.as_str()).or(seen.map(|seen| &*seen.method)).unwrap_or(""),
            scheme: head.map_or("", |head| head.scheme),
            authority: head.map(|head| &*head.authority).or(seen.map(|seen| &*seen.authority)).unwrap_or(""),
            path: head.map(Head::target_text).or(seen.map(|seen| &*seen.path)).unwrap_or(""),
            route_name: self.route.as_ref().map_or("", |route| &route.name),
            upstream: self.upstream.as_ref().map(|upstream| &*upstream.name),
            upstream_host: self.endpoint.as_ref(),
            attempts: self.attempts,
            reason: self.reason.map(Reason::as_str),
            flags: self.flags.as_str(),
            buffer_limit: self.info.http.buffer_limit,
        }
    }

    fn line<'a>(&'a self, head: Option<&'a Head>, took: Duration) -> Line<'a> {
        let seen = self.seen.as_ref();
        let pick = |of_head: fn(&'a Head) -> &'a str, of_seen: fn(&'a Seen) -> &'a str| {
            head.map(of_head).or(seen.map(of_seen)).unwrap_or_default()
        };
        let version = head.map(|head| head.version).or(seen.map(|seen| seen.version));
        let field = |name: &http::HeaderName| head.and_then(|head| text(&head.headers, name));
        Line {
            time: self.started_at,
            listener: &self.info.listener,
            client: self.info.client,
            sni: self.info.sni.as_deref(),
            tls: self.info.tls.as_ref().map(|tls| tls.version),
            protocol: version.map_or("-", protocol),
            method: pick(|head| head.method.as_str(), |seen| &seen.method),
            scheme: head.map_or("-", |head| head.scheme),
            authority: pick(|head| &head.authority, |seen| &seen.authority),
            path: pick(Head::target_text, |seen| &seen.path),
            status: self.status.as_u16(),
            reason: self.reason.map(Reason::as_str),
            detail: self.detail.as_deref(),
            flags: self.flags.as_str(),
            virtual_host: self.virtual_host.as_ref().map(|host| &*host.name),
            route: self.route.as_ref().map(|route| &*route.name),
            upstream: self.upstream.as_ref().map(|upstream| &*upstream.name),
            endpoint: self.endpoint.as_ref(),
            attempts: self.attempts,
            duration: took,
            upstream_time: self.upstream_time,
            bytes_received: 0,
            bytes_sent: 0,
            request_id: field(&forward::X_REQUEST_ID),
            user_agent: field(&http::header::USER_AGENT),
            trace_id: None,
        }
    }

    /// What policies may know.
    pub(super) fn facts<'a>(&'a self, head: &'a Head) -> Facts<'a> {
        self.facts_of(Some(head))
    }
}

/// What a listener's own logs may ask for and nobody else does.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) response_began: Option<Instant>,
    pub(super) upstream_local: Option<SocketAddr>,
    response: Option<HeaderMap>,
    /// As the upstream got them, where they are others than the client's.
    path: Option<Box<str>>,
    host: Option<Box<str>>,
    local_body: Option<Bytes>,
}

impl Noted {
    /// The request line of a try.
    pub(super) fn rewritten(&mut self, (_, target, host): (&Method, &str, &[u8]), head: &Head) {
        self.path = (head.connect.is_none() && target != head.target.as_str()).then(|| target.into());
        let host = (host != head.authority.as_bytes()).then(|| String::from_utf8_lossy(host).into());
        self.host = host;
    }
}

/// What is logged of a request that was refused by its header.
pub(super) struct Seen {
    version: Version,
    method: Box<str>,
    authority: Box<str>,
    path: Box<str>,
}

impl Seen {
    /// `target` as it came.
    pub(super) fn of(header: &Parts, target: &[u8]) -> Self {
        let host = header.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
        let authority = header.uri.authority().map(|authority| authority.as_str().as_bytes()).or(host);
        Seen {
            version: header.version,
            method: header.method.as_str().into(),
            authority: String::from_utf8_lossy(authority.unwrap_or_default()).into(),
            path: String::from_utf8_lossy(target).into(),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.metrics.active.dec();
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
