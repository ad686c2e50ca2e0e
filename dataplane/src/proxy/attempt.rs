//! Sends a request to an upstream, as often as its route's retry rule and safety allow, and delivers the answer.
//!
//! Owns the tries: endpoint, connection, header, time limits, and the one answer that is passed on. Must not move bytes
//! (the pump does) nor decide about retries (`retry` does).

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use portcullis_shared::table::Place;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::body::Body;
use super::clock::Expired;
use super::connect::{Target, TlsTarget};
use super::downstream::Gone;
use super::failure::{Failure, Kind};
use super::forward::{self, Outgoing, Sealed};
use super::h1::is_bodyless;
use super::phases::{End, Serving};
use super::policies::Payload;
use super::pool::Lease;
use super::pump::{Progress, Pump, Stop};
use super::reply::{LocalReply, Reason};
use super::retry::{Next, Retries};
use super::span::{Client, TRACEPARENT, TRACESTATE};
use super::strict::Head;
use super::upstream::Upstream as Session;
use crate::policy::attempt_count::X_ENVOY_ATTEMPT_COUNT;
use crate::policy::stream_limits::{GRPC_TIMEOUT, grpc_timeout};
use crate::policy::{Filters, Plan};
use crate::runtime::Route;
use crate::upstream::{Bound, Endpoint, Picked, Upstream, Wish};

/// One try, as far as it is decided before it begins.
struct Try<'a> {
    picked: Picked,
    target: Target,
    header: Sealed<'a>,
    span: Option<Client>,
    /// Not on a connection that was used before.
    fresh: bool,
    started: Instant,
}

impl Serving<'_> {
    /// Forwards the request; `Ok` when the client has the upstream's whole answer.
    pub(super) async fn forward(
        &mut self,
        head: &Head,
        mut body: Body,
        route: &Route,
        plan: &Plan,
        upstream: &Arc<Upstream>,
    ) -> Result<(), End> {
        if plan.retry.is_some() {
            body.start_recording();
        }
        let clusters = self.exchange.virtual_host.as_ref().and_then(|host| host.virtual_clusters());
        let cluster = clusters.map(|all| all.find(head.method.as_str(), head.target.as_str()).clone());
        self.exchange.virtual_cluster = cluster;
        self.exchange.clock.limit_total(plan.total_timeout);
        self.exchange.tells_attempts = plan.attempt_count.response;
        if let Some(idle) = plan.stream_limits.idle {
            self.exchange.clock.limit_idle(idle);
        }
        if let Some(life) = plan.stream_limits.life(&head.headers) {
            self.exchange.clock.limit_life(life);
        }
        if body.is_complete() {
            self.exchange.clock.request_complete();
        }
        if !upstream.is_ready() {
            self.wait(&body, Box::pin(upstream.wait_ready())).await?;
        }
        let mut retries = Retries::new(plan.retry.as_deref(), &upstream.breakers, &head.method);
        let mut tried: SmallVec<[Place; 4]> = SmallVec::new();
        let hash = plan.hash.as_ref().and_then(|hash| {
            let (hash, cookies) = hash.of(&head.headers, &self.exchange.facts(head));
            self.exchange.cookies = cookies;
            hash
        });
        let labels = plan.subset.as_deref().unwrap_or_default();
        let mut again: Option<Picked> = None;
        loop {
            let fresh = again.is_some();
            let picked = again
                .take()
                .or_else(|| upstream.pick_for(&Wish { tried: &tried, hash, labels }))
                .ok_or(Reason::UpstreamUnhealthy)?;
            self.exchange.attempts = self.exchange.attempts.saturating_add(1);
            self.exchange.endpoint = Some(picked.endpoint.address.clone());
            let one = self.prepare(head, route, plan, upstream, picked, fresh)?;
            if plan.shadow.is_some() && self.exchange.attempts == 1 {
                self.shadow(head, plan, &one.header, &mut body);
            }
            let pause = match self.attempt(head, plan, upstream, one, &mut body, &mut retries).await? {
                Outcome::Delivered => return Ok(()),
                Outcome::Again(pause, picked) => {
                    tried.push(picked.endpoint.address.clone());
                    pause
                }
                Outcome::Reconnect(picked) => {
                    again = Some(picked);
                    continue;
                }
            };
            upstream.stats.retries.inc();
            if let Some(cluster) = &self.exchange.virtual_cluster {
                cluster.retries.inc();
            }
            self.exchange.clock.end_try();
            self.exchange.clock.limit_upstream(None);
            self.wait(&body, Box::pin(tokio::time::sleep(pause))).await?;
        }
    }

    /// Tells a client that waits for it to send its body, once there is a connection to send it on. The gateway does it
    /// for every upstream, as Envoy does.
    pub(super) fn invite(&mut self, head: &Head) {
        let expects = head
            .headers
            .get(http::header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        if expects && head.body && head.version == Version::HTTP_11 {
            let (mut parts, ()) = http::Response::new(()).into_parts();
            parts.status = StatusCode::CONTINUE;
            self.down.inform(&parts);
        }
    }

    fn prepare<'h>(
        &mut self,
        head: &'h Head,
        route: &Route,
        plan: &Plan,
        upstream: &Upstream,
        picked: Picked,
        fresh: bool,
    ) -> Result<Try<'h>, End> {
        let endpoint = &picked.endpoint;
        let info = &self.exchange.info;
        let mut target = target(upstream, endpoint, head.version == Version::HTTP_2)
            .on_behalf(Some((info.client, info.local)));
        let terminates = head.connect.is_some() && plan.upgrade.terminates;
        // Then it is bytes alone that the endpoint gets.
        target.http2 &= !terminates;
        let path = plan
            .path_rewrite
            .as_ref()
            .filter(|_| head.connect.is_none())
            .and_then(|rewrite| rewrite.apply(&route.matcher.path, head.target.as_str()));
        let span = self.exchange.span.as_ref().map(|span| {
            let path = path.as_deref().unwrap_or(head.target_text());
            span.client(head, upstream, &endpoint.address, path, self.exchange.attempts)
        });
        let mut outgoing = Outgoing::new(head, &self.exchange.info.http.settings);
        let per_try = plan.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        outgoing.announce_timeout(self.exchange.left_of(plan.total_timeout), per_try);
        if head.grpc
            && let Some(limit) = plan.stream_limits.announced(&head.headers)
        {
            outgoing.set(GRPC_TIMEOUT, grpc_timeout(limit));
        }
        if let Some(path) = path {
            outgoing.rewrite_path(path)?;
        }
        if let Some(rewrite) = &plan.host_rewrite
            && let Some(host) =
                rewrite.host(&head.headers, head.target.as_str(), endpoint.hostname.as_deref())
        {
            outgoing.rewrite_host(host, rewrite.append_x_forwarded_host);
        }
        if plan.attempt_count.request {
            outgoing.set(X_ENVOY_ATTEMPT_COUNT, HeaderValue::from(self.exchange.attempts));
        }
        let propagates = plan.tracing.as_ref().is_none_or(|tracing| !tracing.no_propagation);
        if let Some(span) = span.as_ref().filter(|_| propagates) {
            trace(span, &mut outgoing);
        }
        if let Some(noted) = &mut self.exchange.noted {
            noted.rewritten(outgoing.line(), head);
        }
        let header = match terminates {
            true => Sealed::Nothing,
            false => outgoing.seal(target.http2, target.tls.is_some(), target.manner.http.trailers)?,
        };
        Ok(Try { picked, target, header, span, fresh, started: Instant::now() })
    }

    /// One try, and if its result is the answer, the delivery.
    async fn attempt(
        &mut self,
        head: &Head,
        plan: &Plan,
        upstream: &Arc<Upstream>,
        one: Try<'_>,
        body: &mut Body,
        retries: &mut Retries<'_>,
    ) -> Result<Outcome, End> {
        // Its parts stay where they are: taken apart they would be in the state of the request twice.
        upstream.stats.requests.inc();
        if let Some(cluster) = &self.exchange.virtual_cluster {
            cluster.requests.inc();
        }
        body.rewind();
        self.exchange.clock.start_try(plan.retry.as_ref().and_then(|retry| retry.per_try_timeout));
        let terminates = matches!(one.header, Sealed::Nothing);
        let fresh = one.fresh || terminates;
        let idle = if fresh { None } else { self.pool.idle(&one.target, one.started) };
        let leased = match idle {
            Some(lease) => Ok((lease, true)),
            None => self.connect(&one.target, fresh, body).await,
        };
        let reused = matches!(leased, Ok((_, true)));
        let began = leased.and_then(|(lease, _)| {
            let Some(active) = upstream.breakers.take(Bound::Requests) else {
                self.pool.give_back(&one.target, lease);
                return Err(overflow("requests"));
            };
            let mut session = Session::new(lease, &one.target.manner);
            session.pass_trailers(one.target.manner.http.trailers);
            session
                .send_header(one.header, body.expected || head.connect.is_some())
                .map_err(Stop::Upstream)?;
            Ok((active, session))
        });
        if one.target.manner.preconnect.is_some() && began.is_ok() {
            self.pool.prepare(upstream, &one.target);
        }
        // Counted until all of it is over, the connection's return to the pool included.
        let (_active, mut session) = match began {
            Ok(began) => began,
            Err(stop) => return self.failed(stop, one.picked, one.span, body, retries, reused, upstream),
        };
        if let Some(limit) = one.target.manner.http.max_stream {
            self.exchange.clock.limit_upstream(Some(limit));
        }
        if let Some(noted) = &mut self.exchange.noted
            && self.exchange.info.http.access_logs.as_ref().is_some_and(|logs| logs.upstream_local)
        {
            noted.upstream_local = session.local_address();
        }
        // Or the upstream does it.
        let forwards = self.exchange.info.http.settings.http1.forward_expect;
        if !body.invited && !forwards {
            body.invited = true;
            self.invite(head);
        }
        let mut pump = Pump::new(self.down, &mut session, body, &mut self.exchange.clock);
        pump.continues = forwards;
        let answered = if terminates { Ok(forward::connected()) } else { pump.until_header().await };
        let response = match answered {
            Ok(response) => response,
            Err(stop) => {
                let stop = with_refusal(stop, pump.refusal());
                return self.failed(stop, one.picked, one.span, body, retries, reused, upstream);
            }
        };
        let waited = one.started.elapsed();
        upstream.answered(&one.picked.endpoint, || forward::judged_status(&response));
        if let Next::Again(pause) =
            retries.after_response(response.status, &response.headers, pump.body.can_rewind())
        {
            if let Some(span) = one.span {
                span.answered(response.status);
            }
            return Ok(Outcome::Again(pause, one.picked));
        }
        if retries.exhausted {
            self.exchange.flags.insert("URX");
        }
        if retries.overflowed {
            self.exchange.flags.insert(Reason::Overflow.flag());
        }
        pump.clock.end_try();
        pump.body.stop_recording();
        let progress = pump.suspend();
        if let Some(span) = one.span {
            span.answered(response.status);
        }
        self.exchange.upstream_time = Some(waited);
        if let Some(noted) = &mut self.exchange.noted {
            noted.response_began = Some(one.started + waited);
        }
        self.exchange.status = response.status;
        let (follows, progress) = self.respond(head, response, &mut session, body, progress).await?;
        // What may go on for hours is not waited for as long as a request is.
        let stream =
            matches!(follows, Follows::Tunnel) || (head.grpc && !matches!(follows, Follows::Nothing));
        let drained = stream.then(|| super::drained(self.end.subscribe(), self.exchange.shared.streams));
        let mut pump = Pump::resume(self.down, &mut session, body, &mut self.exchange.clock, progress);
        let ended = match drained {
            None => follow(&mut pump, follows).await,
            // Apart, so that it is no part of every request's state.
            Some(drained) => {
                Box::pin(async {
                    tokio::select! {
                        ended = follow(&mut pump, follows) => ended,
                        () = drained => Err(Stop::Drained),
                    }
                })
                .await
            }
        };
        let clean = pump.is_clean();
        ended.map_err(cut)?;
        if clean {
            session.release(self.pool, &one.target);
        }
        Ok(Outcome::Delivered)
    }

    /// A connection, or a stream of one, that is not lying ready; and whether it was used before.
    async fn connect(&mut self, target: &Target, fresh: bool, body: &Body) -> Result<(Lease, bool), Stop> {
        let pending = target.breakers.take(Bound::Pending).ok_or_else(|| overflow("pending requests"))?;
        // Apart, so that the state of a handshake is no part of every request's.
        let pool = self.pool.clone();
        let connecting = Box::pin(async move { pool.acquire(target, fresh).await });
        let leased = self.wait(body, connecting).await?.map_err(Stop::Upstream);
        drop(pending);
        leased
    }

    /// Decides what follows a try without a response header.
    #[expect(clippy::too_many_arguments, reason = "they are the pieces of one try that just ended")]
    fn failed(
        &mut self,
        stop: Stop,
        picked: Picked,
        span: Option<Client>,
        body: &Body,
        retries: &mut Retries<'_>,
        reused: bool,
        upstream: &Upstream,
    ) -> Result<Outcome, End> {
        let (rewinds, stats) = (body.can_rewind(), &upstream.stats);
        let (end, next): (End, Next) = match stop {
            Stop::Client(gone) => (gone.into(), Next::Answer),
            Stop::Drained => (Reason::Drained.into(), Next::Answer),
            Stop::Expired(expired) => {
                stats.timeouts.inc();
                if let Some(cluster) = &self.exchange.virtual_cluster {
                    cluster.timeouts.inc();
                }
                upstream.unanswered(&picked.endpoint, StatusCode::GATEWAY_TIMEOUT);
                let next = match expired {
                    Expired::Try | Expired::Upstream => retries.after_timeout(rewinds),
                    _ => Next::Answer,
                };
                let end = match expired {
                    // The upstream is what is waited for.
                    Expired::Idle if body.is_complete() => {
                        LocalReply::new(Reason::IdleTimeout).status(StatusCode::GATEWAY_TIMEOUT).into()
                    }
                    // The client is.
                    Expired::Stream if !body.is_complete() => {
                        LocalReply::new(Reason::MaxDuration).status(StatusCode::REQUEST_TIMEOUT).into()
                    }
                    expired => expired.into(),
                };
                (end, next)
            }
            Stop::Upstream(failure) => {
                match failure.kind {
                    Kind::Connect | Kind::ConnectTimeout => stats.connect_failures.inc(),
                    Kind::Overflow => {}
                    _ => stats.resets.inc(),
                }
                let next = retries.after_failure(&failure, rewinds, reused);
                // That a connection lay too long, or was one too many, is not the endpoint's fault.
                if next != Next::Reconnect && failure.kind != Kind::Overflow {
                    upstream.unanswered(&picked.endpoint, StatusCode::SERVICE_UNAVAILABLE);
                }
                (failure.into_reply(retries.repeated()).into(), next)
            }
        };
        if let Some(span) = span {
            let (reason, detail) = match &end {
                End::Reply(reply) => (reply.reason, reply.detail.as_deref()),
                End::Cut(reason, detail) => (*reason, detail.as_deref()),
            };
            span.failed(reason, detail.unwrap_or_default());
        }
        if retries.exhausted {
            self.exchange.flags.insert("URX");
        }
        match next {
            Next::Answer => Err(end),
            Next::Again(pause) => Ok(Outcome::Again(pause, picked)),
            Next::Reconnect => Ok(Outcome::Reconnect(picked)),
        }
    }

    /// Sends the answer's header to the client; says what follows it.
    async fn respond(
        &mut self,
        head: &Head,
        mut parts: Parts,
        session: &mut Session,
        body: &mut Body,
        upload: Progress,
    ) -> Result<(Follows, Progress), End> {
        let switches = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        let tunnel = switches || (head.connect.is_some() && parts.status.is_success());
        let agreed = parts.version == Version::HTTP_11 && forward::is_agreed(head, &parts.headers);
        if switches && !(head.upgrade && agreed) {
            let wrong = LocalReply::new(Reason::UpstreamProtocol).detail("101 to what was not asked for");
            return Err(wrong.into());
        }
        if head.upgrade && head.version == Version::HTTP_2 && parts.status.is_success() {
            // The client would take it for the tunnel (RFC 8441 5).
            let wrong =
                LocalReply::new(Reason::UpstreamProtocol).detail("an upgrade answered by something else");
            return Err(wrong.into());
        }
        let waited = self.exchange.upstream_time.unwrap_or_default();
        let http1 = &self.exchange.info.http.settings.http1;
        let trailers = session.passes_trailers() && (head.version == Version::HTTP_2 || http1.trailers);
        forward::sanitize_response(&mut parts, waited, trailers, &self.exchange.info.http.settings);
        self.tell_attempts(&mut parts.headers);
        for cookie in self.exchange.cookies.drain(..) {
            parts.headers.append(http::header::SET_COOKIE, cookie);
        }
        let is_head = head.method == http::Method::HEAD;
        let nothing = tunnel || is_bodyless(parts.status, is_head);
        let (payload, upload) = match self.exchange.policies.1 {
            0 if nothing || session.body_is_done() => (Payload::Nothing, upload),
            0 => (Payload::Streamed(Filters::default()), upload),
            // Apart, so that it is no part of every request's state.
            _ => Box::pin(self.response_policies(head, &mut parts, session, body, upload, nothing)).await?,
        };
        self.sign(&mut parts.headers);
        self.exchange.status = parts.status;
        // Unless a policy has made another answer of it.
        let grants = parts.status == StatusCode::SWITCHING_PROTOCOLS || parts.status.is_success();
        let refused = tunnel && !grants;
        let tunnel = tunnel && grants;
        let follows = match payload {
            _ if tunnel => Follows::Tunnel,
            // Over HTTP/2 data can come where HTTP allows none: it stays unread, and the stream is reset.
            Payload::Nothing => Follows::Nothing,
            Payload::Streamed(filters) if filters.is_empty() => Follows::Body,
            Payload::Streamed(filters) => Follows::Filtered(filters),
            Payload::Whole(whole, None) if whole.is_empty() => Follows::Nothing,
            Payload::Whole(whole, trailers) => Follows::Whole(whole, trailers),
        };
        if tunnel {
            forward::frame_tunnel(&mut parts);
            self.down.switch(parts)?;
            return Ok((follows, upload));
        }
        let end = matches!(follows, Follows::Nothing);
        forward::frame_response(&mut parts, head.version, is_head, end);
        if *self.drain.borrow() || refused || forward::is_close_delimited(&parts, head.version, is_head) {
            self.down.close_after();
        }
        self.down.respond(parts, end)?;
        Ok((follows, upload))
    }

    /// Says in an answer's fields how many tries there were, where the virtual host wants it.
    pub(super) fn tell_attempts(&self, headers: &mut HeaderMap) {
        if self.exchange.tells_attempts && self.exchange.attempts > 0 {
            headers.insert(X_ENVOY_ATTEMPT_COUNT, HeaderValue::from(self.exchange.attempts));
        }
    }

    /// Waits for `future`, as long as the client stays and the limits allow.
    pub(super) async fn wait<F: Future + ?Sized>(
        &mut self,
        body: &Body,
        mut future: Pin<Box<F>>,
    ) -> Result<F::Output, Stop> {
        let complete = body.is_complete();
        let (down, clock) = (&mut *self.down, &mut self.exchange.clock);
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if complete && let Poll::Ready(gone) = down.poll_left(cx) {
                return Poll::Ready(Err(Stop::Client(gone)));
            }
            clock.poll(cx).map(|expired| Err(Stop::Expired(expired)))
        })
        .await
    }
}

/// What comes after an answer's header.
enum Follows {
    Tunnel,
    Body,
    Filtered(Filters),
    Whole(Bytes, Option<HeaderMap>),
    Nothing,
}

enum Outcome {
    Delivered,
    Again(Duration, Picked),
    Reconnect(Picked),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Client(gone) => gone.into(),
            Stop::Expired(expired) => expired.into(),
            Stop::Upstream(failure) => failure.into_reply(false).into(),
            Stop::Drained => Reason::Drained.into(),
        }
    }
}

/// Moves what follows an answer's header.
async fn follow(pump: &mut Pump<'_>, follows: Follows) -> Result<(), Stop> {
    match follows {
        Follows::Tunnel => pump.tunnel().await,
        Follows::Body => pump.until_end(false).await,
        Follows::Filtered(filters) => pump.until_end_through(filters).await,
        Follows::Whole(whole, trailers) => pump.until_sent(whole, trailers).await,
        Follows::Nothing => pump.until_end(true).await,
    }
}

/// The end of an answer that had begun.
fn cut(stop: Stop) -> End {
    match stop {
        Stop::Client(Gone::Left(detail)) => End::Cut(Reason::ClientGone, Some(detail)),
        Stop::Client(Gone::Malformed(detail)) => End::Cut(Reason::BadRequest, Some(detail)),
        Stop::Client(Gone::Refused(reply)) => End::Cut(reply.reason, reply.detail),
        Stop::Expired(Expired::Idle) => End::Cut(Reason::IdleTimeout, None),
        Stop::Expired(Expired::Stream) => End::Cut(Reason::MaxDuration, None),
        Stop::Expired(Expired::Upstream) => End::Cut(Reason::UpstreamMaxDuration, None),
        Stop::Expired(Expired::Request) => End::Cut(Reason::RequestTimeout, None),
        Stop::Expired(Expired::Total | Expired::Try) => End::Cut(Reason::Timeout, None),
        Stop::Upstream(failure) => End::Cut(Reason::UpstreamTruncated, Some(failure.detail)),
        Stop::Drained => End::Cut(Reason::Drained, None),
    }
}

/// A circuit breaker's bound was met.
fn overflow(what: &str) -> Stop {
    Stop::Upstream(Failure::new(Kind::Overflow, format!("the circuit breaker allows no more {what}")))
}

/// When the upstream stopped taking the request before it went away, that says more than how it went away.
fn with_refusal(stop: Stop, refusal: Option<&Failure>) -> Stop {
    match (stop, refusal) {
        (Stop::Upstream(mut failure), Some(refusal)) => {
            failure.detail = format!("{}; request: {}", failure.detail, refusal.detail).into();
            Stop::Upstream(failure)
        }
        (stop, _) => stop,
    }
}

/// Where an endpoint's connections go. `http2`: the client speaks it.
pub(super) fn target(upstream: &Upstream, endpoint: &Endpoint, http2: bool) -> Target {
    let as_downstream = upstream.manner.http.as_downstream;
    Target {
        place: endpoint.address.clone(),
        epoch: upstream.connection_epoch(),
        http2: if as_downstream { http2 } else { upstream.http2 },
        tls: upstream.tls.as_ref().map(|tls| TlsTarget {
            config: tls.config.clone(),
            identity: tls.identity,
            name: upstream.server_name(tls, endpoint),
            chosen_by_request: as_downstream,
        }),
        manner: Arc::clone(&upstream.manner),
        proxied: None,
        breakers: upstream.breakers.clone(),
    }
}

/// Puts the span's context where the upstream looks for it, in place of the client's.
fn trace(span: &Client, outgoing: &mut Outgoing<'_>) {
    let Some((parent, state)) = span.context() else { return };
    outgoing.set(TRACEPARENT, parent);
    match state {
        Some(state) => outgoing.set(TRACESTATE, state),
        None => outgoing.leave_out(TRACESTATE),
    }
}
