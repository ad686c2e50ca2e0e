//! Requests go on when they are complete, so that a slow client costs an upstream nothing.
//!
//! The listener's policy does it; what a route says about it stands before it and is only a word to it.

use std::sync::Arc;

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, Policy, RequestCx, Verdict, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Buffer";
pub(super) const PER_ROUTE_TYPE_URL: &str = "/portcullis.policy.v1.BufferPerRoute";

#[derive(Debug)]
struct Buffer {
    limit: usize,
}

/// In the place of the listener's limit; none = requests go on as they come.
#[derive(Debug, Clone, Copy)]
struct PerRoute(Option<usize>);

impl Policy for Buffer {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let limit = cx.slots.get::<PerRoute>().map_or(Some(self.limit), |route| route.0);
        match limit {
            Some(limit) if cx.has_body => Verdict::Body { limit },
            _ => Verdict::Continue,
        }
    }
}

impl Policy for PerRoute {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if cx.has_body {
            cx.slots.put(*self);
        }
        Verdict::Continue
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Buffer = registry::decode(bytes)?;
    builder.push(TYPE_URL, Arc::new(Buffer { limit: limit(wire.max_request_bytes)? }));
    Ok(())
}

pub(super) fn install_per_route(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::BufferPerRoute = registry::decode(bytes)?;
    let limit = if wire.disabled { None } else { Some(limit(wire.max_request_bytes)?) };
    builder.push(PER_ROUTE_TYPE_URL, Arc::new(PerRoute(limit)));
    Ok(())
}

fn limit(bytes: u32) -> Result<usize, Invalid> {
    let limit = usize::try_from(bytes).ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| Invalid::new("max_request_bytes", "must be above 0"))
}
