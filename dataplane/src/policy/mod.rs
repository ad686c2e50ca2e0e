//! Policies: what a worker does to a request or a response beside routing it.
//!
//! Owns the `Policy` trait, the chain that runs policies in compiled order, and the plan that a route's policies add
//! up to. Control decides which policies run and in which order; this module obeys. A policy is one folder here plus
//! one line in `registry`; the request engine never names one. Must not know protobuf beyond the registry, must not do
//! I/O: what has to be asked elsewhere is asked through [`Services`].

mod answer;
pub mod attempt_count;
mod buffer;
mod chain;
mod compression;
mod cors;
pub mod csrf;
mod cx;
mod dynamic_forward;
mod ext_auth;
mod facts;
mod fault;
mod filter;
mod flags;
mod grpc_json_transcoder;
mod grpc_web;
pub mod hash;
mod headers;
mod health_check;
pub mod host_rewrite;
pub mod metadata;
pub mod path_rewrite;
mod plan;
pub(crate) mod rate_limit;
pub mod registry;
pub mod retry;
mod shadow;
mod slots;
pub mod stream_limits;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod timeout;
pub mod tracing;
pub mod transformation;
pub mod upgrade;

pub use attempt_count::AttemptCount;
pub use chain::{Chain, Passed, Progress, Resume, Waiting};
pub use cx::{Headers, Line, RequestCx, ResponseCx, Services};
pub use dynamic_forward::{Dynamic, SavedAddress};
pub use facts::{Facts, TlsFacts};
pub(crate) use filter::joined;
pub use filter::{BodyError, BodyFilter, Filters};
pub use flags::Flags;
pub use hash::Hash;
pub use headers::Early;
pub(crate) use headers::values;
pub use host_rewrite::HostRewrite;
pub use path_rewrite::PathRewrite;
pub use plan::{DEFAULT_TOTAL_TIMEOUT, Plan, PlanBuilder};
pub use rate_limit::bucket::{self, Own};
pub use retry::{Reset, Retry};
pub use shadow::Shadow;
pub use slots::Slots;
pub use stream_limits::StreamLimits;
pub use tracing::Tracing;
pub use upgrade::Upgrade;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// One behaviour, immutable and shared by every request of the routes that use it.
///
/// State that belongs to one request lives in [`Slots`]. Nothing here may lock or block: a policy that has to wait
/// says so with [`Verdict::Wait`].
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// Runs before the request goes upstream, in compiled order.
    fn request(&self, _cx: &mut RequestCx<'_>) -> Verdict {
        Verdict::Continue
    }

    /// Runs when the whole body is here, after [`Verdict::Body`]. The engine announces the length that it has then.
    fn request_body(&self, _cx: &mut RequestCx<'_>, _body: &mut Bytes) -> Verdict {
        Verdict::Continue
    }

    /// Runs when the beginning of the body is here, after [`Verdict::Start`]; `whole` = there is no more of it.
    fn request_start(&self, _cx: &mut RequestCx<'_>, _start: &Bytes, _whole: bool) -> Verdict {
        Verdict::Continue
    }

    /// Runs before the response goes to the client, in reverse order; also on local replies.
    fn response(&self, _cx: &mut ResponseCx<'_>) -> Answer {
        Answer::Continue
    }

    /// [`Policy::response`] runs on every answer of a route that forwards, also of the gateway's own to requests that an
    /// earlier policy has kept from this one. Such a policy wants the header only.
    fn sees_every_answer(&self) -> bool {
        false
    }

    /// Runs when the whole body is here, after [`Answer::Body`], and the trailers with it. The engine announces the length
    /// that it has then.
    fn response_body(&self, _cx: &mut ResponseCx<'_>, _body: &mut Bytes) -> Answer {
        Answer::Continue
    }
}

/// What a policy decided about a request.
pub enum Verdict {
    /// Go on with the next policy.
    Continue,
    /// Answer now; later policies do not see the request.
    Reply(LocalReply),
    /// Await this, then let what it returns decide.
    Wait(Waiting),
    /// Read the whole body, then go on with [`Policy::request_body`]. A longer one is answered with 413.
    Body {
        /// In bytes.
        limit: usize,
    },
    /// Read so much of the body, or more if that is what comes, then go on with [`Policy::request_start`].
    Start {
        /// In bytes.
        limit: usize,
    },
}

/// What a policy decided about a response.
#[derive(Debug)]
pub enum Answer {
    /// Go on with the next policy.
    Continue,
    /// Read the whole body, then go on with [`Policy::response_body`]. A longer one is replaced by a 500.
    Body {
        /// In bytes.
        limit: usize,
    },
    /// This goes to the client in its place, through the policies that are left.
    Reply(LocalReply),
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Continue => f.write_str("Continue"),
            Self::Reply(reply) => f.debug_tuple("Reply").field(reply).finish(),
            Self::Wait(_) => f.write_str("Wait"),
            Self::Body { limit } => write!(f, "Body({limit})"),
            Self::Start { limit } => write!(f, "Start({limit})"),
        }
    }
}

/// An answer that the gateway gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// Status of the answer.
    pub status: StatusCode,
    /// Stable snake case word for log, span and metric.
    pub reason: &'static str,
    /// Envoy's response flag; "-" for none.
    pub flag: &'static str,
    /// Extra headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The whole body.
    pub body: Bytes,
}
