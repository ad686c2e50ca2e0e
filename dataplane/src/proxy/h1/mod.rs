//! HTTP/1.1 and 1.0 on a connection, for both sides (RFC 9112).
//!
//! Heads are read strictly, because a request that two hops read differently is how requests are smuggled; whatever goes
//! out is written anew from what was understood. `head`, `framing`, `decode` and `encode` are pure functions over bytes;
//! `link` is a socket with its two buffers; `server` and `client` are the two ends of a connection built from them.
//!
//! A connection reuses its buffers: in the steady state a request costs one read and one write on each side, and no
//! timer. Must not know routes, policies or retries.

mod client;
pub(super) mod date;
mod decode;
mod encode;
mod framing;
mod head;
mod link;
mod queue;
mod server;
pub(super) mod spare;
mod trailers;

#[cfg(test)]
mod tests;

pub(super) use client::{Among, Broken, Came, Client, Io as ClientIo, Open, header_fields};
pub(super) use framing::{Framing, content_length, is_bodyless};
pub(super) use server::{Io as ServerIo, NoBody, NoRequest, Server};
pub(super) use trailers::sanitize as sanitize_trailers;

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It breaks a rule.
    Malformed(&'static str),
    /// The header is larger than the limits allow.
    TooLarge(&'static str),
    /// The request target alone is larger than a header may be.
    TargetTooLong,
    /// A transfer coding other than `chunked` alone.
    Coding,
    /// A version of HTTP that is not spoken here.
    Version,
}

impl Invalid {
    /// What is wrong, for the log.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Invalid::Malformed(detail) | Invalid::TooLarge(detail) => detail,
            Invalid::TargetTooLong => "the target is too long",
            Invalid::Coding => "a transfer coding other than chunked",
            Invalid::Version => "neither HTTP/1.1 nor HTTP/1.0",
        }
    }
}
