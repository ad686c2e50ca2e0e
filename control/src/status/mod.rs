//! What is said about each object, and how far the workers follow.
//!
//! Merges the report of the last build with the rollout. Rows are computed when somebody asks; the actor here only logs
//! what changes, so that a rejected object is seen without asking. Never in the path of a configuration change.

mod actor;
mod row;
mod served;
#[cfg(test)]
mod tests;

pub use actor::run;
pub use row::{Listeners, Row, listeners, rows, workers};
pub use served::Served;
