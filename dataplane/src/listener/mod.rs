//! Listening sockets, and what happens to a connection before its first request byte.
//!
//! Every data thread ([`thread`]) has its own sockets, bound with SO_REUSEPORT so that threads and workers share a port
//! without sharing anything else, and follows the published runtime: [`reconcile`] binds what is wanted and retires what
//! is not. A connection is counted ([`slots`]), its PROXY header is read ([`proxy_protocol`]), its filter chain chosen by
//! SNI, which lets it in or not ([`admission`]), and the TLS handshake done ([`tls`]), all of that in [`serve`]; then the
//! engine has it. [`Board`] is where the rest of the worker sees how the listeners are.
//!
//! Listeners and chains are looked up in the current runtime when a connection arrives: a change of certificates or
//! chains needs no new socket. This module must not know requests.

mod accept;
pub mod admission;
mod bind;
mod board;
mod options;
pub mod proxy_protocol;
mod reconcile;
mod serve;
mod slots;
pub mod thread;
mod tls;

pub use board::{Board, Listening};
pub use slots::{Slots, fit_to_open_files};
pub use thread::DataThread;
