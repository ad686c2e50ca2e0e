//! The supervision kit: what our processes need of ractor, encoded once.
//!
//! A *supervisor* runs named children one-for-one: a child that fails is started again after a backoff, and when one
//! child fails too often the supervisor itself fails, so that the next level up decides; a root that fails ends the
//! process (systemd or the kubelet start it again). Facts of ractor that this module hides:
//!
//! * its default supervision handler stops the supervisor when a child exits, so [`Supervisor`] brings its own;
//! * a failing `pre_start` is returned to the spawner and is no supervision event, so a failed start is counted here
//!   like any other failure;
//! * `pre_start` runs inside the supervisor's handler, so children do no I/O there;
//! * `post_stop` does not run after a panic, so what a child owns is released by `Drop`;
//! * mailboxes are unbounded, so state travels on `tokio::sync::watch` topics and [`wake`] sends at most one message
//!   at a time.
//!
//! State that must survive a restart is never kept in a child: it lives on topics owned by the process's root.

mod backoff;
mod body;
mod child;
#[cfg(debug_assertions)]
mod faults;
mod supervisor;
pub mod wake;

pub use backoff::Backoff;
pub use body::BoxError;
pub use child::ChildSpec;
pub use supervisor::{Budget, Restarts, Supervisor, SupervisorMsg, run_root};

#[cfg(test)]
mod tests;
