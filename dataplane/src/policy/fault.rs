//! Faults that are put into requests: first a delay, then an abort, each drawn by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::chain::Resume;
use super::{LocalReply, PlanBuilder, Policy, RequestCx, Verdict, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Fault";

#[derive(Debug, Clone, Copy)]
struct Fault {
    delay: Part<Duration>,
    abort: Part<StatusCode>,
}

/// What happens to so many requests of a million.
#[derive(Debug, Clone, Copy)]
struct Part<T> {
    per_million: u32,
    what: T,
}

impl<T: Copy> Part<T> {
    fn draw(&self) -> Option<T> {
        (self.per_million > 0 && fastrand::u32(..1_000_000) < self.per_million).then_some(self.what)
    }
}

impl Policy for Fault {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let Some(pause) = self.delay.draw() else { return aborted(self.abort) };
        cx.slots.flags.insert("DI");
        let abort = self.abort;
        Verdict::Wait(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let resume: Resume = Box::new(move |_| aborted(abort));
            resume
        }))
    }
}

fn aborted(abort: Part<StatusCode>) -> Verdict {
    match abort.draw() {
        None => Verdict::Continue,
        Some(status) => Verdict::Reply(LocalReply {
            status,
            reason: "fault_abort",
            flag: "FI",
            headers: Vec::new(),
            body: Bytes::from_static(b"fault filter abort"),
        }),
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Fault = registry::decode(bytes)?;
    let what = match u16::try_from(wire.abort_status) {
        _ if wire.abort_per_million == 0 => StatusCode::OK,
        Ok(status @ 200..=599) => StatusCode::from_u16(status).unwrap_or_default(),
        _ => return Err(Invalid::new("abort_status", format!("{} is not in 200 to 599", wire.abort_status))),
    };
    builder.push(
        TYPE_URL,
        Arc::new(Fault {
            delay: Part { per_million: wire.delay_per_million, what: Duration::from_millis(wire.delay_ms) },
            abort: Part { per_million: wire.abort_per_million, what },
        }),
    );
    Ok(())
}
