//! Runs the policies of a request, and on its answer.
//!
//! Owns what a policy may ask of the engine: to wait, to have a whole body, another route, another answer. Must not know
//! any policy.

use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method};

use super::Services;
use super::body::{Body, NotWhole};
use super::h1::is_bodyless;
use super::phases::{End, Serving};
use super::pump::{Progress as Upload, Pump};
use super::reply::{LocalReply, Reason};
use super::strict::Head;
use super::upstream::Upstream as Session;
use crate::policy::{Chain, Filters, Line, Passed, Progress, RequestCx, ResponseCx, Resume};
use crate::runtime::Action;

/// Where the request side goes on.
enum Next {
    From(usize),
    Resume(usize, Resume),
    Body(usize, Bytes),
    Start(usize, Bytes),
}

/// The body of an answer, after its policies.
pub(super) enum Payload {
    /// There is none, whatever the header says of its length.
    Nothing,
    /// Passed on as it comes, through these.
    Streamed(Filters),
    /// All here.
    Whole(Bytes, Option<HeaderMap>),
}

impl Serving<'_> {
    /// Runs the request side of `chain` from the policy at `from`. Gives the place of a policy that wants the route to
    /// be chosen again; then those behind it have not run.
    pub(super) async fn request_policies(
        &mut self,
        head: &mut Head,
        body: &mut Body,
        chain: &Chain,
        from: usize,
    ) -> Result<Option<usize>, End> {
        if from >= chain.len() {
            return Ok(None);
        }
        let services = Services {
            runtime: self.exchange.runtime.clone(),
            pool: self.pool.clone(),
            buckets: self.exchange.info.buckets.clone(),
        };
        let mut next = Next::From(from);
        loop {
            let progress = self.step(head, body, chain, next, &services)?;
            self.exchange.policies = match &progress {
                Progress::Done => (chain.clone(), chain.len()),
                Progress::Reply { at, .. } | Progress::Reroute { at } => {
                    (chain.clone(), at.saturating_add(1))
                }
                // The one that waits gave no answer, so it need not see one.
                Progress::Wait { at, .. } | Progress::Body { at, .. } | Progress::Start { at, .. } => {
                    (chain.clone(), *at)
                }
            };
            next = match progress {
                Progress::Done => return Ok(None),
                Progress::Reroute { at } => return Ok(Some(at)),
                Progress::Reply { reply, .. } => return Err(LocalReply::from(reply).into()),
                Progress::Wait { at, waiting } => Next::Resume(at, self.wait(body, waiting).await?),
                Progress::Body { at, limit } => Next::Body(at, self.whole_request(head, body, limit).await?),
                Progress::Start { at, limit } => {
                    Next::Start(at, self.start_of_request(head, body, limit).await?)
                }
            };
        }
    }

    /// Runs policies until one of them wants something, and makes their changes good.
    fn step(
        &mut self,
        head: &mut Head,
        body: &mut Body,
        chain: &Chain,
        next: Next,
        services: &Services,
    ) -> Result<Progress, End> {
        let mut headers = std::mem::take(&mut head.headers);
        let mut slots = std::mem::take(&mut self.exchange.slots);
        let (mut line, mut filters, mut reroute) = (Line::default(), Filters::default(), false);
        let mut replaced = None;
        let facts = self.exchange.facts(head);
        let mut cx = RequestCx {
            headers: &mut headers,
            facts: &facts,
            slots: &mut slots,
            line: &mut line,
            has_body: head.body,
            filters: &mut filters,
            reroute: &mut reroute,
            services,
        };
        let progress = match next {
            Next::From(at) => chain.request(at, &mut cx),
            Next::Resume(at, resume) => chain.resume(at, resume, &mut cx),
            Next::Start(at, start) => chain.request_start(at, (&start, body.is_complete()), &mut cx),
            Next::Body(at, mut whole) => {
                let progress = chain.request_body(at, &mut whole, &mut cx);
                replaced = Some(whole);
                progress
            }
        };
        head.headers = headers;
        self.exchange.flags.extend(&slots.flags);
        self.exchange.slots = slots;
        head.change(line);
        if let Some(whole) = replaced {
            body.replace(whole);
            head.announce(body.length());
        }
        if !filters.is_empty() && head.body {
            body.filter(filters).map_err(LocalReply::from)?;
            head.announce(body.length());
        }
        Ok(progress)
    }

    /// Reads the whole body of the request.
    async fn whole_request(&mut self, head: &Head, body: &mut Body, limit: usize) -> Result<Bytes, End> {
        if !body.expected {
            return Ok(Bytes::new());
        }
        if head.length.is_some_and(|length| length > limit as u64) {
            return Err(Reason::BodyTooLarge.into());
        }
        if !body.invited {
            body.invited = true;
            self.invite(head);
        }
        let mut whole = BytesMut::new();
        let (down, clock) = (&mut *self.down, &mut self.exchange.clock);
        std::future::poll_fn(move |cx| {
            let before = whole.len();
            match body.poll_whole(&mut whole, limit, down, cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(std::mem::take(&mut whole).freeze())),
                Poll::Ready(Err(NotWhole::TooLong)) => return Poll::Ready(Err(Reason::BodyTooLarge.into())),
                Poll::Ready(Err(NotWhole::Gone(gone))) => return Poll::Ready(Err(gone.into())),
                Poll::Pending => {}
            }
            if whole.len() > before {
                clock.touch();
            }
            // An invitation may still wait to be sent.
            if let Poll::Ready(Err(gone)) = down.poll_drain(cx) {
                return Poll::Ready(Err(gone.into()));
            }
            clock.poll(cx).map(|expired| Err(expired.into()))
        })
        .await
    }

    /// Reads the beginning of the body of the request, which stays in front of the rest.
    async fn start_of_request(&mut self, head: &Head, body: &mut Body, limit: usize) -> Result<Bytes, End> {
        if !body.expected {
            return Ok(Bytes::new());
        }
        if !body.invited {
            body.invited = true;
            self.invite(head);
        }
        let mut start = BytesMut::new();
        let (down, clock) = (&mut *self.down, &mut self.exchange.clock);
        std::future::poll_fn(|cx| {
            let before = start.len();
            if let Poll::Ready(read) = body.poll_start(&mut start, limit, down, cx) {
                return Poll::Ready(read.map_err(End::from));
            }
            if start.len() > before {
                clock.touch();
            }
            if let Poll::Ready(Err(gone)) = down.poll_drain(cx) {
                return Poll::Ready(Err(gone.into()));
            }
            clock.poll(cx).map(|expired| Err(expired.into()))
        })
        .await?;
        let start = start.freeze();
        body.put_back(start.clone());
        Ok(start)
    }

    /// Runs the response side of the policies that saw the request, on an answer of the upstream.
    pub(super) async fn response_policies(
        &mut self,
        head: &Head,
        parts: &mut Parts,
        session: &mut Session,
        body: &mut Body,
        mut upload: Upload,
        nothing: bool,
    ) -> Result<(Payload, Upload), End> {
        let done = nothing || session.body_is_done();
        let mut filters = Filters::default();
        let mut whole = done.then_some((Bytes::new(), None));
        let mut replaced = false;
        let mut passed = self.response_step(head, parts, None, &mut filters, !nothing, false);
        loop {
            let (at, limit) = match passed {
                Passed::Done => break,
                Passed::Body { at, limit } => (at, limit),
                Passed::Reply { at, reply } => {
                    self.exchange.policies.1 = at;
                    return Err(LocalReply::from(reply).into());
                }
            };
            // Whatever goes wrong now, this policy has had its turn.
            let seen = std::mem::replace(&mut self.exchange.policies.1, at);
            let (mut bytes, mut trailers) = match whole.take() {
                Some((bytes, trailers)) => filters.whole(bytes, trailers).map_err(LocalReply::from)?,
                None => {
                    let mut pump = Pump::resume(self.down, session, body, &mut self.exchange.clock, upload);
                    let collected = pump.collect(limit, &mut filters).await?;
                    upload = pump.suspend();
                    filters = Filters::default();
                    collected.ok_or(Reason::ResponseTooLarge)?
                }
            };
            self.exchange.policies.1 = seen;
            let here = Some((at, &mut bytes, &mut trailers));
            passed = self.response_step(head, parts, here, &mut filters, !nothing, false);
            whole = Some((bytes, trailers));
            replaced = true;
        }
        let payload = match whole {
            _ if nothing => Payload::Nothing,
            None => Payload::Streamed(filters),
            Some((bytes, trailers)) => {
                replaced |= !filters.is_empty();
                let (bytes, trailers) = filters.whole(bytes, trailers).map_err(LocalReply::from)?;
                if replaced {
                    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
                    parts.headers.remove(TRANSFER_ENCODING);
                }
                return Ok((Payload::Whole(bytes, trailers), upload));
            }
        };
        if matches!(&payload, Payload::Streamed(filters) if !filters.is_empty()) {
            parts.headers.remove(CONTENT_LENGTH);
        }
        Ok((payload, upload))
    }

    /// The same on an answer of the gateway's own.
    pub(super) fn local_policies(&mut self, head: &Head, parts: &mut Parts, body: &mut Bytes) {
        let nothing = |parts: &Parts| is_bodyless(parts.status, head.method == Method::HEAD);
        let mut filters = Filters::default();
        let mut changed = false;
        self.late_policies(head, parts, &mut filters, !nothing(parts));
        let mut passed = self.response_step(head, parts, None, &mut filters, !nothing(parts), true);
        loop {
            passed = match passed {
                Passed::Done => break,
                Passed::Body { at, .. } => {
                    changed = true;
                    filtered(&mut filters, parts, body);
                    let here = Some((at, &mut *body, &mut None));
                    self.response_step(head, parts, here, &mut filters, !nothing(parts), true)
                }
                Passed::Reply { at, reply } => {
                    let reply = LocalReply::from(reply);
                    self.exchange.replied(&reply);
                    (*parts, *body) = reply.into_response(head.grpc);
                    (filters, changed) = (Filters::default(), false);
                    self.exchange.policies.1 = at;
                    self.response_step(head, parts, None, &mut filters, !nothing(parts), true)
                }
            };
        }
        changed |= !filters.is_empty();
        if changed && !nothing(parts) {
            filtered(&mut filters, parts, body);
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
    }

    /// Runs what is done to every answer of a route that forwards, also where an earlier policy kept the request from it.
    fn late_policies(&mut self, head: &Head, parts: &mut Parts, filters: &mut Filters, has_body: bool) {
        let forwards =
            self.exchange.route.as_ref().is_some_and(|route| matches!(route.action, Action::Forward(_)));
        let (chain, seen) = &self.exchange.policies;
        // As in Envoy, a preflight is answered with the fields of CORS alone.
        let preflight = self.exchange.reason == Some(Reason::Policy("cors_preflight"));
        if !forwards || preflight || !chain.has_late(*seen) {
            return;
        }
        let (chain, seen) = (chain.clone(), *seen);
        self.with_response(head, parts, (filters, &mut None), (has_body, true), |cx| chain.late(seen, cx));
    }

    /// Runs policies until one of them wants something.
    fn response_step(
        &mut self,
        head: &Head,
        parts: &mut Parts,
        whole: Option<(usize, &mut Bytes, &mut Option<HeaderMap>)>,
        filters: &mut Filters,
        has_body: bool,
        local: bool,
    ) -> Passed {
        if self.exchange.policies.1 == 0 {
            return Passed::Done;
        }
        let (chain, count) = self.exchange.policies.clone();
        let mut none = None;
        let (whole, trailers) = match whole {
            Some((at, body, trailers)) => (Some((at, body)), trailers),
            None => (None, &mut none),
        };
        self.with_response(head, parts, (filters, trailers), (has_body, local), |cx| match whole {
            None => chain.response(count, cx),
            Some((at, body)) => chain.response_body(at, body, cx),
        })
    }

    fn with_response<T>(
        &mut self,
        head: &Head,
        parts: &mut Parts,
        (filters, trailers): (&mut Filters, &mut Option<HeaderMap>),
        (has_body, local): (bool, bool),
        run: impl FnOnce(&mut ResponseCx<'_>) -> T,
    ) -> T {
        let mut slots = std::mem::take(&mut self.exchange.slots);
        let facts = self.exchange.facts(head);
        let mut cx = ResponseCx {
            status: &mut parts.status,
            headers: &mut parts.headers,
            request_headers: &head.headers,
            facts: &facts,
            slots: &mut slots,
            has_body,
            filters,
            trailers,
            local,
            details: self.exchange.reason.map_or("via_upstream", Reason::details),
        };
        let result = run(&mut cx);
        self.exchange.slots = slots;
        result
    }
}

/// Passes the body of an answer of the gateway's own through `filters`.
fn filtered(filters: &mut Filters, parts: &mut Parts, body: &mut Bytes) {
    match filters.whole(std::mem::take(body), None) {
        Ok((whole, _)) => *body = whole,
        // It was text of the gateway's own: an empty answer says as much.
        Err(error) => parts.status = error.status,
    }
}
