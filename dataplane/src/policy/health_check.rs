//! The gateway answers for itself on one path, whatever the host.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{LocalReply, PlanBuilder, Policy, RequestCx, Verdict, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.HealthCheck";

#[derive(Debug)]
struct HealthCheck(Box<str>);

impl Policy for HealthCheck {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if cx.path() != &*self.0 {
            return Verdict::Continue;
        }
        Verdict::Reply(LocalReply {
            status: StatusCode::OK,
            reason: "health_check",
            flag: "-",
            headers: Vec::new(),
            body: Bytes::new(),
        })
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::HealthCheck = registry::decode(bytes)?;
    builder.push(TYPE_URL, Arc::new(HealthCheck(wire.path.into())));
    Ok(())
}
