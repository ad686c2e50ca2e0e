//! The Portcullis data plane worker: terminates TLS, routes, and talks to upstreams, as the tables that control
//! sends over the private protocol say.
//!
//! This library is the whole worker; the program `portcullis-dataplane` only reads its settings and calls
//! [`root::run`]. Nothing between accept and upstream passes an actor, a lock or a channel: requests read one pointer.

pub mod admin;
pub mod cache;
pub mod drain;
pub mod fuzzing;
pub mod handover;
pub mod held;
pub mod link;
pub mod listener;
pub mod loader;
pub mod notify;
pub mod overload;
pub mod policy;
pub mod proxy;
pub mod root;
pub mod runtime;
pub mod settings;
pub mod tcp;
pub mod telemetry;
pub mod tls;
pub mod upstream;
