//! A request's life, one short function per phase: admit, route, policies, forward or reply.
//!
//! Owns the order of the phases and how an exchange ends. Tries are `attempt`'s, texts and statuses `reply`'s.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Version};
use pingora_core::server::ShutdownWatch;
use portcullis_shared::routing::RequestView;

use super::clock::Expired;
use super::downstream::{Downstream, Gone};
use super::exchange::Exchange;
use super::forward;
use super::pool::Pool;
use super::reply::{LocalReply, Reason};
use super::strict::{self, Head};
use crate::policy::{Plan, Progress, RequestCx, ResponseCx};
use crate::runtime::{Action, Destination, Redirect, Route, Target, VirtualHost};

/// How an exchange ends when it does not end with an upstream's whole answer.
#[derive(Debug)]
pub(super) enum End {
    /// The gateway answers.
    Reply(Box<LocalReply>),
    /// An answer has begun and cannot be completed, or nobody is left to answer.
    Cut(Reason, Option<Box<str>>),
}

impl From<LocalReply> for End {
    fn from(reply: LocalReply) -> Self {
        End::Reply(Box::new(reply))
    }
}

impl From<Reason> for End {
    fn from(reason: Reason) -> Self {
        LocalReply::new(reason).into()
    }
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Left(detail) => End::Cut(Reason::ClientGone, Some(detail)),
            Gone::Malformed(detail) => LocalReply::bad_request(detail).into(),
        }
    }
}

impl From<Expired> for End {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::Total => Reason::Timeout,
            Expired::Try => Reason::PerTryTimeout,
            Expired::Life => Reason::StreamDuration,
            Expired::Idle => Reason::IdleTimeout,
        }
        .into()
    }
}

/// What the phases work on.
pub(super) struct Serving<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) down: &'a mut Downstream,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) drain: &'a ShutdownWatch,
}

impl Serving<'_> {
    /// Serves the request whose header was read. Gives back the head for the log, as far as there is one, and whether
    /// the client has its whole answer.
    pub(super) async fn run(mut self) -> (Option<Head>, bool) {
        let mut head = match self.admit() {
            Ok(head) => head,
            Err(reply) => return (None, self.reply(None, reply).await),
        };
        let ended = match self.route(&head) {
            Ok(route) => self.act(&mut head, &route).await,
            Err(end) => Err(end),
        };
        let whole = match ended {
            Ok(()) => true,
            Err(End::Reply(reply)) if !self.down.responded() => self.reply(Some(&head), *reply).await,
            Err(End::Reply(reply)) => self.cut(reply.reason, reply.detail),
            Err(End::Cut(reason, detail)) => self.cut(reason, detail),
        };
        (Some(head), whole)
    }

    fn cut(&mut self, reason: Reason, detail: Option<Box<str>>) -> bool {
        if !self.down.responded() {
            self.exchange.abandoned();
        }
        self.exchange.ended(reason, detail);
        false
    }

    fn admit(&mut self) -> Result<Head, LocalReply> {
        let mut head = match strict::admit(self.down, &self.exchange.info) {
            Ok(head) => head,
            Err(reply) => {
                self.exchange.refused(self.down.seen());
                return Err(reply);
            }
        };
        if let Err(reply) = forward::sanitize(&mut head) {
            self.exchange.refused_head(&head);
            return Err(reply);
        }
        self.exchange.admitted(&head);
        Ok(head)
    }

    /// Virtual host by host, then the first route that matches.
    fn route(&mut self, head: &Head) -> Result<Arc<Route>, End> {
        let runtime = &self.exchange.runtime;
        let config = runtime.route_config(&self.exchange.info.route_config).ok_or(Reason::NoVirtualHost)?;
        let host = config.find(&head.authority).ok_or(Reason::NoVirtualHost)?.clone();
        self.exchange.virtual_host = Some(host.clone());
        if let Some(invalid) = &host.rejected {
            return Err(LocalReply::new(Reason::ConfigRejected).detail(invalid.to_string()).into());
        }
        let view = RequestView {
            method: head.method.as_str(),
            scheme: head.scheme,
            authority: &head.authority,
            path: head.path(),
            query: head.target.query(),
            headers: &head.headers,
        };
        require_tls(&host, head)?;
        let route = host.route(&view).ok_or(Reason::NoRoute)?.clone();
        self.exchange.routed(head, &route);
        Ok(route)
    }

    async fn act(&mut self, head: &mut Head, route: &Arc<Route>) -> Result<(), End> {
        // Its own reference, so that what is picked from it does not hold the exchange.
        let runtime = self.exchange.runtime.clone();
        let (upstream, plan) = match &route.action {
            Action::Forward(target) => match target {
                Target::ClusterHeader(name) => (cluster(head, name), Cow::Borrowed(&route.plan)),
                Target::Destinations(list) => chosen(route, list.pick(fastrand::u64(..))),
                Target::Split(name) => {
                    let split = runtime.split(name).ok_or_else(|| missing(name))?;
                    chosen(route, split.destinations.pick(fastrand::u64(..)))
                }
            },
            Action::Redirect(_) | Action::DirectResponse(_) | Action::Closed(_) => {
                (None, Cow::Borrowed(&route.plan))
            }
        };
        let known = upstream.as_deref().and_then(|name| runtime.upstream(name)).cloned();
        self.exchange.upstream = known.clone();
        self.policies(head, &plan).await?;
        match &route.action {
            Action::Redirect(redirect) => Err(redirect_to(redirect, head, route).into()),
            Action::DirectResponse(direct) => Err(LocalReply::new(Reason::DirectResponse)
                .status(direct.status)
                .body(direct.body.clone())
                .into()),
            Action::Closed(invalid) => {
                Err(LocalReply::new(Reason::ConfigRejected).detail(invalid.to_string()).into())
            }
            Action::Forward(_) => match known {
                Some(upstream) => self.forward(head, route, &plan, &upstream).await,
                None => Err(missing(upstream.as_deref().unwrap_or("")).into()),
            },
        }
    }

    /// Runs the request side of the policies.
    async fn policies(&mut self, head: &mut Head, plan: &Plan) -> Result<(), End> {
        if plan.policies.is_empty() {
            return Ok(());
        }
        self.exchange.policies = (plan.policies.clone(), 0);
        let mut headers = std::mem::take(&mut head.headers);
        let mut slots = std::mem::take(&mut self.exchange.slots);
        let facts = self.exchange.facts(head);
        let mut cx = RequestCx { headers: &mut headers, facts: &facts, slots: &mut slots };
        let mut progress = plan.policies.request(&mut cx);
        while let Progress::Wait { at, waiting } = progress {
            // The policy's own deadline ends it.
            let resume = waiting.await;
            progress = plan.policies.resume(at, resume, &mut cx);
        }
        let (count, ended) = match progress {
            Progress::Reply { at, reply } => (at.saturating_add(1), Err(LocalReply::from(reply).into())),
            _ => (plan.policies.len(), Ok(())),
        };
        head.headers = headers;
        self.exchange.flags.extend(&slots.flags);
        self.exchange.slots = slots;
        self.exchange.policies.1 = count;
        ended
    }

    /// Runs the response side of those policies that saw the request, and signs.
    pub(super) fn policies_on_response(&mut self, head: &Head, parts: &mut http::response::Parts) {
        let (chain, count) = self.exchange.policies.clone();
        if count > 0 {
            let mut slots = std::mem::take(&mut self.exchange.slots);
            let facts = self.exchange.facts(head);
            chain.response_from(
                count,
                &mut ResponseCx {
                    status: parts.status,
                    headers: &mut parts.headers,
                    request_headers: &head.headers,
                    facts: &facts,
                    slots: &mut slots,
                },
            );
            self.exchange.slots = slots;
        }
        forward::sign(&mut parts.headers);
    }

    /// Answers; says whether the client has it all.
    async fn reply(&mut self, head: Option<&Head>, reply: LocalReply) -> bool {
        self.exchange.replied(&reply);
        if reply.reason.closes() || *self.drain.borrow() {
            self.down.close_after();
        } else {
            let rest = head.and_then(certain_length);
            std::future::poll_fn(|cx| self.down.discard(rest, cx)).await;
        }
        let (mut parts, body) = reply.into_response(head.is_some_and(|head| head.grpc));
        self.tell_attempts(&mut parts.headers);
        match head {
            Some(head) => self.policies_on_response(head, &mut parts),
            None => forward::sign(&mut parts.headers),
        }
        let version = head.map_or(Version::HTTP_11, |head| head.version);
        let is_head = head.is_some_and(|head| head.method == http::Method::HEAD);
        let end = body.is_empty() || is_head;
        forward::frame_response(
            &mut parts,
            if self.down.is_http2() { Version::HTTP_2 } else { version },
            is_head,
            end,
        );
        let sent = self.down.respond(parts, end);
        if sent.is_err() {
            return false;
        }
        if !end {
            self.down.push(body);
        }
        self.down.finish(None);
        self.exchange.clock.lift();
        self.exchange.clock.limit_life(None);
        let down = &mut *self.down;
        matches!(self.exchange.clock.run(std::future::poll_fn(|cx| down.poll_drain(cx))).await, Ok(Ok(())))
    }
}

/// The length of a body that comes without being asked for.
fn certain_length(head: &Head) -> Option<usize> {
    if head.headers.contains_key(http::header::EXPECT) {
        return None;
    }
    head.headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn require_tls(host: &VirtualHost, head: &Head) -> Result<(), End> {
    if !host.require_tls || head.scheme == "https" {
        return Ok(());
    }
    let any = portcullis_shared::routing::PathMatcher::Connect;
    let redirect = Redirect::to_https();
    let location = redirect.location(head.scheme, &head.authority, head.path(), head.target.query(), &any);
    Err(located(LocalReply::new(Reason::TlsRequired), location).into())
}

fn redirect_to(redirect: &Redirect, head: &Head, route: &Route) -> LocalReply {
    let matched = &route.matcher.path;
    let location = redirect.location(head.scheme, &head.authority, head.path(), head.target.query(), matched);
    located(LocalReply::new(Reason::Redirect).status(redirect.status), location)
}

fn located(reply: LocalReply, location: String) -> LocalReply {
    match HeaderValue::try_from(location) {
        Ok(location) => reply.header(http::header::LOCATION, location),
        Err(_) => LocalReply::bad_request("the location would be malformed"),
    }
}

fn missing(upstream: &str) -> LocalReply {
    LocalReply::new(Reason::NoCluster).detail(format!("no upstream \"{upstream}\""))
}

fn cluster(head: &Head, name: &HeaderName) -> Option<Arc<str>> {
    head.headers.get(name).and_then(|value| value.to_str().ok()).map(Arc::from)
}

fn chosen<'a>(route: &'a Route, destination: Option<&'a Destination>) -> (Option<Arc<str>>, Cow<'a, Plan>) {
    match destination {
        Some(destination) => (Some(destination.upstream.clone()), route.plan_for(destination)),
        None => (None, Cow::Borrowed(&route.plan)),
    }
}
