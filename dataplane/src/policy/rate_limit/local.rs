//! The bucket that a request's virtual host, route or listener has in this process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::bucket::{Bucket, Level, Rule};
use super::told;
use crate::policy::{Answer, LocalReply, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};

pub(in crate::policy) const TYPE_URL: &str = "/portcullis.policy.v1.LocalRateLimit";

#[derive(Debug)]
struct LocalRateLimit {
    bucket: Arc<Bucket>,
    per_connection: bool,
    headers: bool,
}

/// What the bucket had when the request came.
struct Seen(Level);

impl Policy for LocalRateLimit {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let own = self.per_connection.then(|| cx.services.buckets.of(&self.bucket));
        let bucket = own.as_ref().unwrap_or(&self.bucket);
        let free = bucket.take();
        if self.headers {
            cx.slots.put(Seen(bucket.level()));
        }
        if free {
            return Verdict::Continue;
        }
        Verdict::Reply(LocalReply {
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: "local_rate_limited",
            flag: "RL",
            headers: Vec::new(),
            body: Bytes::from_static(b"local_rate_limited"),
        })
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        if let Some(Seen(level)) = cx.slots.get() {
            // Rounded up: who comes back then is not too early.
            let seconds = level.reset.as_millis().div_ceil(1000);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            for (name, value) in told(&level.limit.to_string(), level.remaining.into(), seconds) {
                cx.headers.insert(&name, value);
            }
        }
        Answer::Continue
    }
}

/// The rule of a bucket that travelled.
pub(crate) fn rule(wire: &proto::TokenBucket) -> Result<Rule, Invalid> {
    if wire.max_tokens == 0 || wire.tokens_per_fill == 0 || wire.fill_interval_ms == 0 {
        return Err(Invalid::new("bucket", "has a zero in it"));
    }
    Ok(Rule {
        max: wire.max_tokens,
        per_fill: wire.tokens_per_fill,
        interval: Duration::from_millis(wire.fill_interval_ms),
    })
}

pub(in crate::policy) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::LocalRateLimit = registry::decode(bytes)?;
    let bucket = wire.bucket.ok_or_else(|| Invalid::new("bucket", "is not set"))?;
    let policy = LocalRateLimit {
        bucket: Bucket::shared(&wire.scope, rule(&bucket)?),
        per_connection: wire.per_connection,
        headers: wire.headers,
    };
    builder.push(TYPE_URL, Arc::new(policy));
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::policy::testing::{Request, Response, lines};
    use crate::policy::{Passed, Progress};

    fn plan(wire: &proto::LocalRateLimit) -> crate::policy::Plan {
        let mut builder = PlanBuilder::default();
        install(&wire.encode_to_vec(), &mut builder).expect("valid");
        builder.plan()
    }

    fn one_an_hour(scope: &str) -> proto::LocalRateLimit {
        let bucket = proto::TokenBucket { max_tokens: 1, tokens_per_fill: 1, fill_interval_ms: 3_600_000 };
        proto::LocalRateLimit {
            bucket: Some(bucket),
            scope: scope.into(),
            headers: true,
            ..Default::default()
        }
    }

    #[test]
    fn the_first_request_passes_and_the_second_is_told() {
        let plan = plan(&one_an_hour("first"));
        let mut request = Request::default();
        assert!(matches!(plan.policies.request(0, &mut request.cx()), Progress::Done));
        let Progress::Reply { reply, .. } = plan.policies.request(0, &mut request.cx()) else {
            panic!("passed")
        };
        assert_eq!((reply.status.as_u16(), reply.flag), (429, "RL"));
        let mut response = Response { slots: request.slots, ..Response::default() };
        assert!(matches!(plan.policies.response(1, &mut response.cx()), Passed::Done));
        let wanted = ["x-ratelimit-limit: 1", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 3600"];
        assert_eq!(lines(&response.headers), wanted);
    }

    #[test]
    fn a_connection_may_have_its_own() {
        let plan = plan(&proto::LocalRateLimit { per_connection: true, ..one_an_hour("connections") });
        for _ in 0..2 {
            let mut request = Request::default();
            assert!(matches!(plan.policies.request(0, &mut request.cx()), Progress::Done));
            assert!(matches!(plan.policies.request(0, &mut request.cx()), Progress::Reply { .. }));
        }
    }

    #[test]
    fn a_bucket_that_never_fills_is_refused() {
        let mut wire = one_an_hour("zero");
        wire.bucket = Some(proto::TokenBucket::default());
        assert!(install(&wire.encode_to_vec(), &mut PlanBuilder::default()).is_err());
    }
}
