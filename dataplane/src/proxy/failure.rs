//! How a try can end without a response header, in the terms that retries and replies are decided by.
//!
//! Owns the translation from the errors of sockets and protocol libraries. Must not decide anything: `retry` says
//! whether to try again, `reply` what the client gets.

use std::io;

use super::h1::Broken;
use super::reply::{LocalReply, Reason};

/// A try that gave no response header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// For the log and the span.
    pub(super) detail: Box<str>,
    /// Envoy's words for it.
    cause: &'static str,
}

/// What a [`Failure`] allows to conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// A circuit breaker refused it.
    Overflow,
    /// The connection ended before anything of the request was sent.
    Unsent,
    /// The upstream says that it has done nothing with the request.
    Refused,
    /// The connection or stream ended; the upstream may have acted.
    Reset,
    /// The answer is not HTTP.
    Protocol,
}

impl Failure {
    pub(super) fn new(kind: Kind, detail: impl Into<Box<str>>) -> Self {
        let cause = match kind {
            Kind::Connect => "remote connection failure",
            Kind::ConnectTimeout => "connection timeout",
            Kind::Overflow => "overflow",
            Kind::Protocol => "protocol error",
            Kind::Unsent | Kind::Refused | Kind::Reset => "connection termination",
        };
        Failure { kind, detail: detail.into(), cause }
    }

    /// An error of a socket in use.
    pub(super) fn of_io(error: &io::Error) -> Self {
        Failure::new(Kind::Reset, error.to_string())
    }

    /// An answer over HTTP/1 that does not come to its end.
    pub(super) fn of_h1(broken: Broken) -> Self {
        match broken {
            Broken::Lost(detail) => Failure::new(Kind::Reset, detail),
            Broken::Invalid(invalid) => Failure::new(Kind::Protocol, invalid.detail()),
        }
    }

    /// An error of an HTTP/2 stream.
    pub(super) fn of_h2(error: &h2::Error) -> Self {
        let by_peer = error.is_remote();
        let kind = match error.reason() {
            // RFC 9113 8.7: neither was processed.
            Some(h2::Reason::REFUSED_STREAM) if by_peer => Kind::Refused,
            Some(h2::Reason::NO_ERROR) if by_peer && error.is_go_away() => Kind::Refused,
            Some(h2::Reason::PROTOCOL_ERROR) if !by_peer => Kind::Protocol,
            _ => Kind::Reset,
        };
        let mut failure = Failure::new(kind, error.to_string());
        if by_peer && error.is_reset() {
            failure.cause = match kind {
                Kind::Refused => "remote refused stream reset",
                _ => "remote reset",
            };
        }
        failure
    }

    /// The reply when no further try is made; `again`: there was one before.
    pub(super) fn into_reply(self, again: bool) -> LocalReply {
        let when = if again { "retried and the latest reset reason" } else { "reset reason" };
        let text =
            format!("upstream connect error or disconnect/reset before headers. {when}: {}", self.cause);
        LocalReply::new(self.reason()).body(text).detail(self.detail)
    }

    /// The reason of the reply when no further try is made.
    pub(super) fn reason(&self) -> Reason {
        match self.kind {
            Kind::Connect => Reason::ConnectFailed,
            Kind::ConnectTimeout => Reason::ConnectTimeout,
            Kind::Overflow => Reason::Overflow,
            Kind::Unsent | Kind::Refused | Kind::Reset => Reason::UpstreamReset,
            Kind::Protocol => Reason::UpstreamProtocol,
        }
    }

    /// The upstream cannot have acted on the request.
    pub(super) fn nothing_done(&self) -> bool {
        matches!(self.kind, Kind::Connect | Kind::ConnectTimeout | Kind::Unsent | Kind::Refused)
    }
}
