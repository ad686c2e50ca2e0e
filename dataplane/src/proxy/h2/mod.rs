//! HTTP/2 towards clients: a connection of the protocol library, driven by us, and the streams that come out of it.
//!
//! `connection` accepts streams and ends the connection, `stream` is one request with its answer. Frames, windows and
//! header compression are the library's; what a request must be is `strict`'s.

mod connection;
mod stream;

pub(super) use connection::serve;
pub(super) use stream::Stream;
