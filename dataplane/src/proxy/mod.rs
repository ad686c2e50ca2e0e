//! The request engine: one task per request on Pingora's HTTP sessions, from the request header to the last byte of the
//! answer.
//!
//! Owns everything between an accepted connection and an upstream's socket: strict request checks, routing through the
//! pinned runtime, policies, tries, bodies, replies, spans, the access log and the request metrics. Must not lock,
//! await an actor or read configuration in a request's path: a request reads one pointer and works on what it got.

mod authority;
mod body;
mod clock;
pub mod conn;
mod connect;
mod downstream;
mod failure;
mod forward;
mod lazy;
pub mod limits;
mod outbox;
mod path;
mod pool;
mod pump;
pub mod reply;
mod strict;
mod upstream;
mod wire;

use std::sync::Arc;

use pingora_core::server::ShutdownWatch;

pub use conn::{Conn, ConnInfo, Socket, TlsFacts};
pub use reply::{LocalReply, Reason};

/// What all engines of one worker share.
pub struct Shared {}

/// One per data thread: it holds that thread's upstream connections.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Call inside the data thread's tokio runtime.
    pub fn new(shared: Arc<Shared>) -> Self {
        Engine { shared }
    }

    /// Serves one connection to its end. `drain` becomes true when the connection shall end: idle it closes at once,
    /// else after its current requests.
    pub async fn serve(self: &Arc<Self>, conn: Conn, drain: &ShutdownWatch) {
        let _ = (conn, drain, &self.shared);
    }
}
