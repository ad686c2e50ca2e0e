//! Rate limits: buckets in this process ([`local`]), and questions to a user's own server ([`global`]).

pub mod bucket;
pub(super) mod global;
pub(super) mod local;

use http::{HeaderName, HeaderValue};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The fields that tell a client what is left: limit with the policies behind it, requests, seconds.
fn told(limit: &str, remaining: u64, reset: u64) -> [(HeaderName, HeaderValue); 3] {
    let limit = HeaderValue::from_str(limit).unwrap_or(HeaderValue::from_static("0"));
    [(LIMIT, limit), (REMAINING, remaining.into()), (RESET, reset.into())]
}
