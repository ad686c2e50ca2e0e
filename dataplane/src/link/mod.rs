//! The worker's side of the private protocol: connects to control for as long as the process lives, tells what the
//! worker has, passes on what control sends, and answers.
//!
//! [`stage`] assembles the frames of a Delta, [`session`] is the protocol as a plain state machine, [`client`] is the
//! actor that owns the connection. What a table means is the loader's business; this module must not look into
//! resources, and must not touch what is being served when the connection ends.

pub mod client;
pub mod session;
pub mod stage;

pub use client::Link;
pub use session::{Outcome, Session, Step, Violation};
pub use stage::Transaction;

use tokio::time::Instant;

/// What the rest of the worker may know about the link.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Control answered and is alive.
    pub connected: bool,
    /// Control has sent everything it knew when the link was made.
    pub synced: bool,
    /// Since when `connected` is what it is; `None` before the first try.
    pub since: Option<Instant>,
    /// Why there is no connection.
    pub problem: Option<String>,
}
