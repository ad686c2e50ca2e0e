//! A request's life, one short function per phase: admit, route, policies, forward or reply.
//!
//! Owns the order of the phases and how an exchange ends. Tries are `attempt`'s, texts and statuses `reply`'s.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora_core::server::ShutdownWatch;
use portcullis_shared::routing::RequestView;
use portcullis_shared::table::is_client_chain;
use tokio::sync::watch;

use super::body::Body;
use super::clock::Expired;
use super::downstream::{Downstream, Gone};
use super::exchange::Exchange;
use super::forward;
use super::pool::Pool;
use super::reply::{LocalReply, Reason};
use super::steer;
use super::strict::{self, Head};
use crate::policy::{Chain, Dynamic, Plan, registry};
use crate::runtime::{Action, Destination, Redirect, Route, Runtime, Target, VirtualHost};

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
            Gone::Refused(reply) => End::Reply(reply),
        }
    }
}

impl From<Expired> for End {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::Total => Reason::Timeout,
            Expired::Try => Reason::PerTryTimeout,
            Expired::Idle => Reason::IdleTimeout,
            Expired::Stream => Reason::MaxDuration,
            Expired::Upstream => Reason::UpstreamMaxDuration,
            Expired::Request => Reason::RequestTimeout,
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
    /// The worker itself goes down, and not only this connection.
    pub(super) end: &'a watch::Sender<bool>,
}

impl Serving<'_> {
    /// Serves the request whose header was read. Gives back the head for the log, as far as there is one, and whether
    /// the client has its whole answer.
    pub(super) async fn run(mut self) -> (Option<Head>, bool) {
        let mut head = match self.admit() {
            Ok(head) => head,
            Err(reply) => return (None, self.reply(None, reply).await),
        };
        let ended = self.act(&mut head).await;
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
        if self.exchange.shared.overload.is_full() {
            self.exchange.refused(self.down.seen());
            return Err(Reason::Overload.into());
        }
        let mut head = match strict::admit(self.down, &self.exchange.info) {
            Ok(head) => head,
            Err(reply) => {
                self.exchange.info.refused.fetch_add(1, Ordering::Relaxed);
                self.exchange.refused(self.down.seen());
                return Err(reply);
            }
        };
        let info = self.exchange.info.clone();
        if let Some(early) = &info.http.early_headers {
            let mut headers = std::mem::take(&mut head.headers);
            early.apply(&mut headers, &self.exchange.facts(&head), info.metadata.as_deref());
            head.headers = headers;
        }
        match forward::sanitize(&mut head, &info) {
            Ok(client) => self.exchange.admitted(client),
            Err(reply) => {
                self.exchange.refused_head(&head);
                return Err(reply);
            }
        }
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
        if !is_client_chain(host.client_chain.as_deref(), &self.exchange.info.chain) {
            return Err(Reason::Misdirected.into());
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

    /// What the route says, after its policies and the listener's.
    async fn act(&mut self, head: &mut Head) -> Result<(), End> {
        // Its own reference, so that what is picked from it does not hold the exchange.
        let runtime = self.exchange.runtime.clone();
        let listener = runtime
            .listener_policies(&self.exchange.info.route_config)
            .or_else(|| registry::default_for(&head.headers));
        let mut body = Body::new(head.body, self.exchange.info.http.buffer_limit);
        let mut route = match self.route(head) {
            Ok(route) => route,
            Err(end) => {
                if let Some(chain) = listener {
                    // A new route is looked for below, where there was one.
                    Box::pin(self.request_policies(head, &mut body, chain, 0)).await?;
                }
                return Err(end);
            }
        };
        let mut ran: Option<(Chain, usize)> = None;
        loop {
            let (upstream, plan) = choose(head, &route, &runtime)?;
            if head.connect.is_some() {
                let listener = || self.exchange.info.http.allows_connect();
                let forwards = matches!(route.action, Action::Forward(_) | Action::Closed(_));
                if !forwards || !plan.upgrade.connect.unwrap_or_else(listener) {
                    return Err(Reason::ConnectNotAllowed.into());
                }
            }
            if head.upgrade
                && !strict::upgrades(head).all(|protocol| {
                    let listener = || self.exchange.info.http.allows_upgrade(&protocol);
                    plan.upgrade.allows(&protocol).unwrap_or_else(listener)
                })
            {
                return Err(Reason::UpgradeFailed.into());
            }
            let mut known = upstream.as_deref().and_then(|name| runtime.upstream(name)).cloned();
            self.exchange.upstream = known.clone();
            let plan = match known.as_ref().and_then(|upstream| upstream.over.as_deref()) {
                Some(over) => Cow::Owned(plan.with(over)),
                None => plan,
            };
            if !plan.policies.is_empty() || listener.is_some() {
                let mut chain = listener.map_or_else(|| plan.policies.clone(), |all| plan.policies.on(all));
                let mut from = 0;
                if let Some((before, at)) = &ran {
                    (chain, from) = (before.rerouted(*at, &chain), at.saturating_add(1));
                }
                // Apart, so that it is no part of every request's state.
                let again = Box::pin(self.request_policies(head, &mut body, &chain, from)).await?;
                if let Some(at) = again {
                    ran = Some((chain, at));
                    route = self.route(head)?;
                    continue;
                }
            }
            if let Some(Dynamic(found)) = self.exchange.slots.get() {
                known = Some(found.clone());
                self.exchange.upstream = known.clone();
            }
            return match &route.action {
                Action::Redirect(redirect) => Err(redirect_to(redirect, head, &route).into()),
                Action::DirectResponse(direct) => Err(LocalReply::new(Reason::DirectResponse)
                    .status(direct.status)
                    .body(direct.body.clone())
                    .into()),
                Action::Closed(invalid) => {
                    Err(LocalReply::new(Reason::ConfigRejected).detail(invalid.to_string()).into())
                }
                Action::Forward(_) => match known {
                    Some(upstream) => {
                        let steered = !self.exchange.info.http.settings.client.internal.is_empty();
                        let plan = if steered { steer::steered(plan, &mut head.headers) } else { plan };
                        self.forward(head, body, &route, &plan, &upstream).await
                    }
                    None => Err(missing(upstream.as_deref().unwrap_or("")).into()),
                },
            };
        }
    }

    /// The last fields of an answer, after its policies.
    pub(super) fn sign(&mut self, headers: &mut HeaderMap) {
        forward::sign(headers, &self.exchange.info.http.settings);
        self.exchange.answered(headers);
    }

    /// Answers; says whether the client has it all.
    async fn reply(&mut self, head: Option<&Head>, reply: LocalReply) -> bool {
        let reply = if self.exchange.attempts > 1 { reply.retried() } else { reply };
        self.exchange.replied(&reply);
        let connect = head.is_some_and(|head| head.connect.is_some());
        if reply.reason.closes() || connect || *self.drain.borrow() {
            self.down.close_after();
        } else {
            let rest = head.and_then(certain_length);
            std::future::poll_fn(|cx| self.down.discard(rest, cx)).await;
        }
        let of_the_stream = reply.reason.is_of_the_stream();
        let (mut parts, mut body) = reply.into_response(head.is_some_and(|head| head.grpc));
        if !of_the_stream {
            self.tell_attempts(&mut parts.headers);
        }
        if let Some(head) = head {
            let before = parts.status;
            self.local_policies(head, &mut parts, &mut body);
            if parts.status != before {
                self.exchange.status = parts.status;
            }
            self.exchange.shown_status = Some(parts.status);
        }
        self.sign(&mut parts.headers);
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

/// Upstream and plan for one request of a route.
fn choose<'a>(
    head: &Head,
    route: &'a Route,
    runtime: &'a Runtime,
) -> Result<(Option<Arc<str>>, Cow<'a, Plan>), End> {
    let Action::Forward(target) = &route.action else { return Ok((None, Cow::Borrowed(&route.plan))) };
    Ok(match target {
        Target::ClusterHeader(name) => (cluster(head, name), Cow::Borrowed(&route.plan)),
        Target::Dynamic => (None, Cow::Borrowed(&route.plan)),
        Target::Destinations(list) => chosen(route, list.pick(fastrand::u64(..))),
        Target::Split(name) => {
            let split = runtime.split(name).ok_or_else(|| missing(name))?;
            chosen(route, split.destinations.pick(fastrand::u64(..)))
        }
    })
}

fn chosen<'a>(route: &'a Route, destination: Option<&'a Destination>) -> (Option<Arc<str>>, Cow<'a, Plan>) {
    match destination {
        Some(destination) => (Some(destination.upstream.clone()), route.plan_for(destination)),
        None => (None, Cow::Borrowed(&route.plan)),
    }
}
