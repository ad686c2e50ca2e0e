//! Collects a client's first message. Nothing of it is taken away: the bytes go in front of what comes after them.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hello::{self, Hello, parse};

/// Time for the message. Envoy's default for the same phase.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a connection's first message is not known. The name is a metric's label.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client took too long.
    #[error("no first message in time")]
    Timeout,
    /// The client says more than a first message may be.
    #[error("the first message is longer than {} bytes", hello::MOST)]
    TooLarge,
    /// The client went away.
    #[error("the client went away: {0}")]
    Gone(io::Error),
}

impl Error {
    /// A short word for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "hello_timeout",
            Self::TooLarge => "hello_too_large",
            Self::Gone(_) => "client_gone",
        }
    }
}

/// Reads behind `seen` until it is known what the client says first. The server name, if that is a TLS hello with one.
///
/// # Errors
/// It does not become known.
pub async fn server_name(tcp: &mut TcpStream, seen: &mut Vec<u8>) -> Result<Option<String>, Error> {
    timeout(PATIENCE, read(tcp, seen)).await.map_err(|_| Error::Timeout)?
}

async fn read(tcp: &mut TcpStream, seen: &mut Vec<u8>) -> Result<Option<String>, Error> {
    loop {
        match parse(seen) {
            Hello::Client(name) => return Ok(name),
            Hello::Other => return Ok(None),
            Hello::Incomplete if seen.len() >= hello::MOST => return Err(Error::TooLarge),
            Hello::Incomplete => {}
        }
        if tcp.read_buf(seen).await.map_err(Error::Gone)? == 0 {
            return Err(Error::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
