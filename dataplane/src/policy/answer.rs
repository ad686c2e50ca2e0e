//! The gateway answers in place of the upstream: what stands in for one broken member of a weighted list.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{LocalReply, PlanBuilder, Policy, RequestCx, Verdict, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Answer";

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Policy for Answer {
    fn request(&self, _cx: &mut RequestCx<'_>) -> Verdict {
        Verdict::Reply(LocalReply {
            status: self.status,
            reason: "invalid_route_replaced",
            flag: "-",
            headers: Vec::new(),
            body: self.body.clone(),
        })
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Answer = registry::decode(bytes)?;
    let status = u16::try_from(wire.status)
        .ok()
        .filter(|status| (200..600).contains(status))
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| Invalid::new("status", format!("{} is not in 200 to 599", wire.status)))?;
    builder.push(TYPE_URL, Arc::new(Answer { status, body: wire.body.into() }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_status_that_no_answer_may_have_is_refused() {
        let mut builder = PlanBuilder::default();
        let wire = proto::Answer { status: 404, body: "broken".into() };
        assert!(install(&wire.encode_to_vec(), &mut builder).is_ok());
        assert_eq!(builder.plan().policies.len(), 1);
        let wire = proto::Answer { status: 101, body: String::new() };
        assert_eq!(install(&wire.encode_to_vec(), &mut builder).map_err(|e| e.path), Err("status".into()));
    }
}
