//! Callouts: requests that the gateway makes itself, to an upstream of the table, while it serves a client's or beside it.
//!
//! They go over the data thread's own connections, with the upstream's TLS, endpoints and counts. Owns one exchange from
//! the pick of an endpoint to the last byte of the answer, its deadline and the limit of its size. Must not know what is
//! asked or what an answer means: policies do.

mod grpc;

pub use grpc::{Code, GrpcCall, GrpcError};

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Version};
use portcullis_shared::table::HttpSettings;

use super::Services;
use super::attempt::target;
use super::connect::Target;
use super::failure::{Failure, Kind};
use super::forward::Outgoing;
use super::limits;
use super::pool::Pool;
use super::reply::LocalReply;
use super::retry::{Next, Retries};
use super::strict::Head;
use super::upstream::Upstream as Session;
use crate::upstream::{Bound, Picked, Upstream};

/// Makes callouts over the connections of one data thread. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    pool: Arc<Pool>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

/// A request of the gateway's own.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub target: PathAndQuery,
    /// Host or `:authority`; none = the upstream's name.
    pub authority: Option<Box<str>>,
    /// Its fields. Host and framing among them do not count.
    pub headers: HeaderMap,
    /// The whole body; empty = none.
    pub body: Bytes,
    /// For everything together: endpoints, connection, request and answer.
    pub timeout: Duration,
    /// Most bytes of the answer's body.
    pub answer_limit: usize,
    /// The answer's body is of no interest: it is read and dropped, however long it is.
    pub discard: bool,
}

/// What a callout was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Called {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
    /// What came after it, over HTTP/2.
    pub trailers: HeaderMap,
}

/// Why a callout has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nowhere to send it.
    #[error("upstream \"{0}\" has no endpoint")]
    NoEndpoint(Arc<str>),
    /// Not within the call's time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection, or the exchange on it, failed.
    #[error("{0}")]
    Failed(Box<str>),
    /// The answer's body is larger than the call allows.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The upstream has as much to do as it may.
    #[error("the circuit breaker allows no more")]
    Overflow,
    /// It cannot be put into a request.
    #[error("malformed request")]
    Malformed,
}

impl From<LocalReply> for CallError {
    fn from(_: LocalReply) -> Self {
        CallError::Malformed
    }
}

/// What one try came to.
enum Ended {
    Failed(Failure, bool),
    Error(CallError),
}

impl From<CallError> for Ended {
    fn from(error: CallError) -> Self {
        Ended::Error(error)
    }
}

impl Services {
    /// Callouts over the connections of the request's data thread.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(self.pool.clone())
    }
}

impl Caller {
    /// Callouts over the connections of `pool`.
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Caller { pool }
    }

    /// Sends `call` to an endpoint of `upstream`. A connection that turns out to be stale is replaced; there is no other
    /// retry. Dropping the future gives the exchange up.
    pub fn call(
        &self,
        upstream: Arc<Upstream>,
        call: Call,
    ) -> impl Future<Output = Result<Called, CallError>> + Send + 'static {
        let pool = self.pool.clone();
        async move {
            let limit = call.timeout;
            match tokio::time::timeout(limit, exchange(&pool, &upstream, call)).await {
                Ok(answer) => answer,
                Err(_) => {
                    upstream.stats.timeouts.inc();
                    Err(CallError::Timeout(limit))
                }
            }
        }
    }
}

async fn exchange(pool: &Arc<Pool>, upstream: &Arc<Upstream>, call: Call) -> Result<Called, CallError> {
    if !upstream.is_ready() {
        upstream.wait_ready().await;
    }
    let mut picked = upstream.pick(&[]).ok_or_else(|| CallError::NoEndpoint(upstream.name.clone()))?;
    let head = Head {
        method: call.method,
        version: Version::HTTP_11,
        scheme: if upstream.tls.is_some() { "https" } else { "http" },
        authority: call.authority.unwrap_or_else(|| (*upstream.name).into()),
        target: call.target,
        headers: call.headers,
        body: !call.body.is_empty(),
        length: (!call.body.is_empty()).then_some(call.body.len() as u64),
        grpc: false,
        upgrade: false,
        connect: None,
        came: None,
    };
    let mut retries = Retries::new(None, &upstream.breakers, &head.method);
    let mut fresh = false;
    loop {
        let began = Instant::now();
        let one = Try { pool, upstream, picked: &picked, head: &head, body: &call.body, fresh };
        match one.run(call.answer_limit, call.discard).await {
            Ok(answer) => {
                upstream.stats.responses.inc(answer.status);
                upstream.stats.time.observe(began.elapsed());
                return Ok(answer);
            }
            Err(Ended::Error(error)) => return Err(error),
            Err(Ended::Failed(failure, reused)) => {
                match failure.kind {
                    Kind::Connect | Kind::ConnectTimeout => upstream.stats.connect_failures.inc(),
                    _ => upstream.stats.resets.inc(),
                }
                if retries.after_failure(&failure, true, reused) != Next::Reconnect {
                    return Err(CallError::Failed(failure.detail));
                }
                // The endpoint may have gone with its connection.
                picked = upstream.pick(&[]).unwrap_or(picked);
                fresh = true;
            }
        }
    }
}

/// One try.
struct Try<'a> {
    pool: &'a Arc<Pool>,
    upstream: &'a Upstream,
    picked: &'a Picked,
    head: &'a Head,
    body: &'a Bytes,
    /// Not on a connection that was used before.
    fresh: bool,
}

impl Try<'_> {
    async fn run(self, limit: usize, discard: bool) -> Result<Called, Ended> {
        self.upstream.stats.requests.inc();
        let breakers = &self.upstream.breakers;
        let target = target(self.upstream, &self.picked.endpoint, self.upstream.http2);
        let header = Outgoing::new(self.head, &HttpSettings::default())
            .seal(target.http2, target.tls.is_some(), false)
            .map_err(|reply| Ended::Error(reply.into()))?;
        let idle = if self.fresh { None } else { self.pool.idle(&target, tokio::time::Instant::now()) };
        let (lease, reused) = match idle {
            Some(lease) => (lease, true),
            None => {
                let _pending = breakers.take(Bound::Pending).ok_or(CallError::Overflow)?;
                let acquired = self.pool.acquire(&target, self.fresh).await;
                acquired.map_err(|failure| Ended::Failed(failure, false))?
            }
        };
        let Some(_active) = breakers.take(Bound::Requests) else {
            self.pool.give_back(&target, lease);
            return Err(CallError::Overflow.into());
        };
        let failed = |failure| Ended::Failed(failure, reused);
        let mut session = Session::new(lease, &target.manner);
        session.send_header(header, self.head.body).map_err(failed)?;
        if self.head.body {
            session.push(self.body.clone());
        }
        session.finish(None).map_err(failed)?;
        let mut reading = Reading::new(limit, discard);
        std::future::poll_fn(|cx| reading.poll(&mut session, cx)).await.map_err(|ended| match ended {
            // An answer had begun: whatever the call was for, it was taken.
            Ended::Failed(failure, _) if reading.begun() => Ended::Error(CallError::Failed(failure.detail)),
            Ended::Failed(failure, _) => Ended::Failed(failure, reused),
            ended => ended,
        })?;
        self.release(session, &target, reading.sent);
        Ok(reading.answer)
    }

    fn release(&self, session: Session, target: &Target, sent: bool) {
        // A request that the upstream did not want to its end leaves a connection that means nothing.
        if sent {
            session.release(self.pool, target);
        }
    }
}

/// How far an exchange has come.
struct Reading {
    limit: usize,
    discard: bool,
    informed: u8,
    at: Stage,
    /// The whole request is out.
    sent: bool,
    /// The upstream stopped taking the request; its answer may come all the same.
    refused: bool,
    body: BytesMut,
    answer: Called,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Body,
    Trailers,
}

impl Reading {
    fn new(limit: usize, discard: bool) -> Self {
        Reading {
            limit,
            discard,
            informed: 0,
            at: Stage::Header,
            sent: false,
            refused: false,
            body: BytesMut::new(),
            answer: Called::default(),
        }
    }

    fn begun(&self) -> bool {
        self.at != Stage::Header
    }

    fn poll(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if !self.sent && !self.refused {
            match session.poll_drain(cx) {
                Poll::Ready(Ok(())) => self.sent = true,
                Poll::Ready(Err(_)) => self.refused = true,
                Poll::Pending => {}
            }
        }
        let failed = |failure| Ended::Failed(failure, false);
        loop {
            match self.at {
                Stage::Header => {
                    let header = ready!(session.poll_header(cx)).map_err(failed)?;
                    if header.status.is_informational() {
                        self.informed += 1;
                        if header.status == StatusCode::SWITCHING_PROTOCOLS
                            || self.informed > limits::INFORMATIONAL
                        {
                            let failure = Failure::new(Kind::Protocol, "no answer, but informational ones");
                            return Poll::Ready(Err(failed(failure)));
                        }
                        continue;
                    }
                    self.answer.status = header.status;
                    self.answer.headers = header.headers;
                    self.at = if session.body_is_done() { Stage::Trailers } else { Stage::Body };
                }
                Stage::Body => match ready!(session.poll_piece(cx)).map_err(failed)? {
                    Some(_) if self.discard => {}
                    Some(piece) if self.body.len().saturating_add(piece.len()) > self.limit => {
                        return Poll::Ready(Err(CallError::TooLarge(self.limit).into()));
                    }
                    // Most answers are one piece.
                    Some(piece) => self.body.extend_from_slice(&piece),
                    None => self.at = Stage::Trailers,
                },
                Stage::Trailers => {
                    let trailers = ready!(session.poll_trailers(cx)).map_err(failed)?;
                    self.answer.trailers = trailers.unwrap_or_default();
                    self.answer.body = std::mem::take(&mut self.body).freeze();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
