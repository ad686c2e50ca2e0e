//! Requests that change something must come from a page of the same host.
//!
//! The host of `origin`, or of `referer` where that says nothing, is compared with the host that the request is for and
//! with the further hosts of the configuration.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, ORIGIN, REFERER};
use http::{HeaderMap, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::text::TextMatcher;
use super::{LocalReply, PlanBuilder, Policy, RequestCx, Verdict, registry};
use crate::upstream::Counter;

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Csrf";

/// What was seen, on all routes of this worker; shadowed requests are counted as they would have been.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests of a host that is fine.
    pub valid: Counter,
    /// Requests of another host, or of none.
    pub invalid: Counter,
    /// Of the latter, those that do not say where they come from.
    pub missing: Counter,
}

/// See [`Counts`].
pub static COUNTS: Counts =
    Counts { valid: Counter::new(), invalid: Counter::new(), missing: Counter::new() };

#[derive(Debug)]
struct Csrf {
    enforced_per_million: u32,
    shadowed_per_million: u32,
    origins: Box<[TextMatcher]>,
}

impl Policy for Csrf {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if !matches!(cx.facts.method, "POST" | "PUT" | "DELETE" | "PATCH") {
            return Verdict::Continue;
        }
        let enforced = drawn(self.enforced_per_million);
        if !enforced && !drawn(self.shadowed_per_million) {
            return Verdict::Continue;
        }
        let headers = cx.headers.map();
        let source = host(headers, &ORIGIN).or_else(|| host(headers, &REFERER));
        match source {
            Some(source) if self.allows(source, cx.facts.authority) => {
                COUNTS.valid.inc();
                return Verdict::Continue;
            }
            Some(_) => COUNTS.invalid.inc(),
            None => {
                COUNTS.missing.inc();
                COUNTS.invalid.inc();
            }
        }
        if !enforced {
            return Verdict::Continue;
        }
        Verdict::Reply(LocalReply {
            status: StatusCode::FORBIDDEN,
            reason: "csrf_origin_mismatch",
            flag: "-",
            headers: Vec::new(),
            body: Bytes::from_static(b"Invalid origin"),
        })
    }
}

impl Csrf {
    fn allows(&self, source: &str, target: &str) -> bool {
        source == target || self.origins.iter().any(|origin| origin.fits(source))
    }
}

fn drawn(per_million: u32) -> bool {
    per_million > 0 && fastrand::u32(..1_000_000) < per_million
}

/// Host and port of a URL; of what is none, all of it. `None` when there is nothing.
fn host<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())?;
    let Some((_, rest)) = text.split_once("://") else { return Some(text) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    Some(if host.is_empty() { text } else { host })
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Csrf = registry::decode(bytes)?;
    let origins = wire.origins.into_iter().enumerate();
    let origins = origins
        .map(|(at, origin)| TextMatcher::try_from(origin).map_err(|e| e.under(format!("origins[{at}]"))));
    let policy = Csrf {
        enforced_per_million: wire.enforced_per_million,
        shadowed_per_million: wire.shadowed_per_million,
        origins: origins.collect::<Result<_, _>>()?,
    };
    builder.push(TYPE_URL, Arc::new(policy));
    Ok(())
}
