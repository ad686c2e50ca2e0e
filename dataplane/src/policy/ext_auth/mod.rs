//! Asks a user's own server whether a request may pass (Envoy's `ext_authz`): by gRPC or by a plain HTTP request.
//!
//! Owns the question, the reading of the answer and what it changes. It fails closed: a server that is not there, is
//! late or answers nonsense keeps the request out, unless the user has said otherwise.

mod change;
mod grpc;
mod http_service;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::metadata::Metadata;
use super::{Answer, LocalReply, PlanBuilder, Policy, RequestCx, ResponseCx, Resume, Verdict, registry};
use change::{Changes, ResponseChanges};
use grpc::Grpc;
use http_service::HttpService;

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.ExtAuth";

/// Where what a server notes stands among the metadata of a request.
const NAMESPACE: &str = "envoy.filters.http.ext_authz";

/// Bytes of an answer's body or message.
const ANSWER_BYTES: usize = 1024 * 1024;

/// What a level says.
#[derive(Debug)]
struct ExtAuth {
    /// The server tells upstreams by it who the user is, so that a client may not.
    user_id_header: Option<HeaderName>,
    /// None = requests pass unasked.
    check: Option<Arc<Check>>,
}

/// How a server is asked.
#[derive(Debug)]
struct Check {
    upstream: Arc<str>,
    timeout: Duration,
    failure_mode_allow: bool,
    status_on_error: StatusCode,
    body: Option<BodyRule>,
    clear_route_cache: bool,
    service: Service,
}

#[derive(Debug)]
enum Service {
    Grpc(Grpc),
    Http(HttpService),
}

/// How much of a request's body is sent to the server.
#[derive(Debug, Clone, Copy)]
struct BodyRule {
    max_bytes: usize,
    allow_partial: bool,
    as_bytes: bool,
}

/// The body as far as the server gets it.
#[derive(Debug, Clone)]
struct Sent {
    bytes: Bytes,
    /// There is more of it.
    partial: bool,
}

/// What came of a question.
#[derive(Debug)]
enum Decision {
    /// It may pass, with these changes.
    Allow(Box<Changes>),
    /// It may not; this is the answer.
    Deny(Denial),
    /// Nobody knows, because of this.
    Failed(Box<str>),
}

#[derive(Debug, PartialEq)]
struct Denial {
    status: StatusCode,
    /// What the server notes about the request.
    metadata: Option<prost_types::Struct>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Policy for ExtAuth {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if let Some(name) = &self.user_id_header {
            cx.headers.remove(name);
        }
        match &self.check {
            None => Verdict::Continue,
            Some(check) => match check.body {
                Some(rule) if cx.has_body && rule.allow_partial => Verdict::Start { limit: rule.max_bytes },
                Some(rule) if cx.has_body => Verdict::Body { limit: rule.max_bytes },
                _ => check.ask(cx, None),
            },
        }
    }

    fn request_body(&self, cx: &mut RequestCx<'_>, body: &mut Bytes) -> Verdict {
        match &self.check {
            Some(check) => check.ask(cx, Some(Sent { bytes: body.clone(), partial: false })),
            None => Verdict::Continue,
        }
    }

    fn request_start(&self, cx: &mut RequestCx<'_>, start: &Bytes, whole: bool) -> Verdict {
        match &self.check {
            Some(check) => {
                let most = check.body.map_or(0, |rule| rule.max_bytes);
                let bytes = start.slice(..start.len().min(most));
                let partial = !whole || bytes.len() < start.len();
                check.ask(cx, Some(Sent { bytes, partial }))
            }
            None => Verdict::Continue,
        }
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        if let Some(changes) = cx.slots.get::<ResponseChanges>() {
            changes.apply(cx.headers);
        }
        Answer::Continue
    }
}

impl Check {
    fn ask(self: &Arc<Self>, cx: &mut RequestCx<'_>, body: Option<Sent>) -> Verdict {
        let Some(upstream) = cx.runtime().upstream(&self.upstream).cloned() else {
            return self.decided(Decision::Failed(format!("no upstream \"{}\"", self.upstream).into()), cx);
        };
        let caller = cx.services.caller();
        let check = self.clone();
        let resume = |decision| -> Resume { Box::new(move |cx| check.decided(decision, cx)) };
        Verdict::Wait(match &self.service {
            Service::Grpc(grpc) => {
                let as_bytes = self.body.is_some_and(|rule| rule.as_bytes);
                let question = grpc.question(cx, body.as_ref(), as_bytes);
                let asking = caller.unary(upstream, grpc.call(self.timeout), &question);
                let began = Instant::now();
                Box::pin(async move {
                    let answer = asking.await;
                    resume(grpc::decision(answer, began.elapsed()))
                })
            }
            Service::Http(service) => match service.call(cx, body, self.timeout) {
                Ok(call) => {
                    let asking = caller.call(upstream, call);
                    let check = self.clone();
                    Box::pin(async move {
                        let answer = asking.await;
                        resume(match &check.service {
                            Service::Http(service) => service.decision(answer),
                            Service::Grpc(_) => Decision::Failed("asked by HTTP, read as gRPC".into()),
                        })
                    })
                }
                Err(why) => return self.decided(Decision::Failed(why), cx),
            },
        })
    }

    fn decided(&self, decision: Decision, cx: &mut RequestCx<'_>) -> Verdict {
        match decision {
            Decision::Allow(mut changes) => {
                if let Some(fields) = changes.metadata.take() {
                    Metadata::note_all(cx.slots, NAMESPACE, fields);
                }
                if changes.apply(cx).is_err() {
                    return self.decided(Decision::Failed("a change that no request can have".into()), cx);
                }
                *cx.reroute |= self.clear_route_cache && changes.touch_request();
                if !changes.response.is_empty() {
                    cx.slots.put(changes.response);
                }
                Verdict::Continue
            }
            Decision::Deny(denial) => {
                if let Some(fields) = denial.metadata {
                    Metadata::note_all(cx.slots, NAMESPACE, fields);
                }
                Verdict::Reply(LocalReply {
                    status: denial.status,
                    reason: "ext_authz_denied",
                    flag: "UAEX",
                    headers: denial.headers,
                    body: denial.body,
                })
            }
            Decision::Failed(why) => {
                tracing::debug!(upstream = &*self.upstream, %why, "the auth server gave no answer");
                if self.failure_mode_allow {
                    return Verdict::Continue;
                }
                Verdict::Reply(LocalReply {
                    status: self.status_on_error,
                    reason: "ext_authz_error",
                    flag: "UAEX",
                    headers: Vec::new(),
                    body: Bytes::new(),
                })
            }
        }
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::ExtAuth = registry::decode(bytes)?;
    let user_id_header =
        Some(&wire.user_id_header).filter(|name| !name.is_empty()).map(|text| name(text, "user_id_header"));
    let user_id_header = user_id_header.transpose()?;
    let check = if wire.disabled { None } else { Some(Arc::new(check(wire)?)) };
    builder.push(TYPE_URL, Arc::new(ExtAuth { user_id_header, check }));
    Ok(())
}

fn check(wire: proto::ExtAuth) -> Result<Check, Invalid> {
    let status = match wire.status_on_error {
        0 => Ok(StatusCode::FORBIDDEN),
        code => u16::try_from(code).map_err(drop).and_then(|code| StatusCode::from_u16(code).map_err(drop)),
    };
    let body = wire.body.map(|body| BodyRule {
        max_bytes: usize::try_from(body.max_bytes).unwrap_or(usize::MAX),
        allow_partial: body.allow_partial,
        as_bytes: body.as_bytes,
    });
    let extensions = wire.context_extensions.into_iter().map(|it| (it.key, it.value)).collect();
    let service = match wire.service {
        Some(proto::ext_auth::Service::Grpc(grpc)) => Service::Grpc(Grpc::new(grpc, extensions)),
        Some(proto::ext_auth::Service::Http(http)) => {
            Service::Http(HttpService::new(http).map_err(|e| e.under("http"))?)
        }
        None => return Err(Invalid::new("service", "is not set")),
    };
    if wire.upstream.is_empty() {
        return Err(Invalid::new("upstream", "is empty"));
    }
    Ok(Check {
        upstream: wire.upstream.into(),
        timeout: Duration::from_millis(wire.timeout_ms.max(1)),
        failure_mode_allow: wire.failure_mode_allow,
        status_on_error: status.map_err(|()| Invalid::new("status_on_error", "is not a status"))?,
        body,
        clear_route_cache: wire.clear_route_cache,
        service,
    })
}

fn name(text: &str, field: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new(field, format!("bad header name \"{text}\"")))
}
