//! The ways in which a session ends, and what the worker is told.

use std::time::Duration;

use tonic::{Code, Status};

use super::frames::FrameError;
use super::state::AnswerError;

/// A worker that says nothing for this long is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// A worker that does not agree on the digest after this many resets gets a new session.
pub(super) const RESETS: u32 = 3;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the worker closed the stream")]
    Closed,
    #[error("control is stopping")]
    Stopping,
    #[error("the worker said nothing for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the worker takes no frames")]
    Stuck,
    #[error("the stream broke: {0}")]
    Stream(String),
    #[error("protocol error: {0}")]
    Protocol(String),
    #[error("not allowed: {0}")]
    Forbidden(String),
    #[error("the worker's table stays different after {RESETS} resets")]
    Drift,
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the root is gone")]
    Root(#[from] tokio::sync::watch::error::RecvError),
}

impl End {
    /// The status that ends the stream; `None` when nobody is there to read it, or a Goodbye was said.
    pub(super) fn status(&self) -> Option<Status> {
        let code = match self {
            Self::Closed | Self::Stopping | Self::Stream(_) | Self::Stuck | Self::Root(_) => return None,
            Self::Silent => Code::DeadlineExceeded,
            Self::Protocol(_) | Self::Answer(_) => Code::InvalidArgument,
            Self::Forbidden(_) => Code::PermissionDenied,
            Self::Drift => Code::FailedPrecondition,
            Self::Frame(_) => Code::Internal,
        };
        Some(Status::new(code, self.to_string()))
    }
}
