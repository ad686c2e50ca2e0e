//! The engine's fixed limits: how long, how large and how many, in one place so that an operator's question has one
//! answer. Owns constants only; a limit that a user may set comes with the route or the upstream instead.

use std::time::Duration;

/// A downstream connection without a request is closed after this long. One hour, as Envoy: load balancers in front
/// keep their connections for minutes, and the side that sends requests should be the one that gives up first.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(3600);
/// From saying that a connection ends to ending it. Envoy's `drainTimeout` default.
pub const DRAIN: Duration = Duration::from_secs(5);
/// What stands for no limit of time: the timer's own bound is about two years.
pub const FOREVER: Duration = Duration::from_secs(86_400 * 365);
/// A downstream connection that is idle for this long gives its buffers back. Soon enough for memory, and too late to
/// cost a busy connection anything.
pub const SETTLED: Duration = Duration::from_secs(1);
/// A connection that never sends the first byte of its first request is closed after this long.
pub const FIRST_BYTE: Duration = Duration::from_secs(60);
/// From the first byte of an HTTP/1 request header to its last; later is 408.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a header, first line included; more is 431 in a request, 502 in an answer. Envoy's `maxRequestHeadersKb`
/// default, which is also its limit for answers.
pub const HEADER_BYTES: usize = 60 * 1024;
/// Fields of a header; more is 431 in a request, 502 in an answer. Envoy's `maxHeadersCount` default.
pub const HEADER_FIELDS: usize = 100;
/// Longest `content-length` that is believed, in digits: below 2^63 whatever the digits are.
pub const CONTENT_LENGTH_DIGITS: usize = 18;
/// Hexadecimal digits of a chunk's size, leading zeros included: below 2^60 whatever they are.
pub const CHUNK_SIZE_DIGITS: u8 = 15;
/// Bytes of all chunk extensions of one body: they are read past, and nobody is known to send any.
pub const CHUNK_EXTENSION_BYTES: usize = 4 * 1024;
/// Bytes of a trailer section. It may have as many fields as a header.
pub const TRAILER_BYTES: usize = 8 * 1024;

/// Nothing in either direction of a request for this long ends it. Envoy's `streamIdleTimeout` default.
pub const STREAM_IDLE: Duration = Duration::from_secs(300);
/// After an answer that came before the end of the request, so much time is given to the client to stop sending: a
/// socket closed over unread bytes would be reset before the client has read its answer.
pub const LINGER: Duration = Duration::from_secs(1);
/// Bytes of a request's rest that are read and thrown away after an answer of the gateway's own, so that the client keeps
/// its HTTP/1 connection. A longer rest costs more than a new connection.
pub const DISCARD: usize = 64 * 1024;
/// After one side of a tunnel has closed, silence from the other for this long ends it.
pub const HALF_CLOSED: Duration = Duration::from_secs(5);
/// Bytes queued for one peer at which the other peer is not read any more.
pub const QUEUE: usize = 16 * 1024;
/// Bytes of a body that are kept for retries, copies and policies where the listener does not say: a request that is longer
/// is not retried. Envoy's `perConnectionBufferLimitBytes` default.
pub const BUFFER: usize = 1024 * 1024;

/// Copies of requests under way on one data thread; more are not made.
pub const SHADOWS: u32 = 1024;

/// An idle connection to an endpoint is closed after this long. Shorter than what common servers use (60 to 75 s), so
/// that it is rarely the server that closes first.
pub const POOL_IDLE: Duration = Duration::from_secs(55);
/// Idle HTTP/1 connections kept per endpoint and data thread.
pub const POOL_SIZE: usize = 1024;
/// How often idle connections are looked at: closed ones are dropped, old ones closed.
pub const POOL_SWEEP: Duration = Duration::from_secs(5);
/// Streams on one HTTP/2 connection to an endpoint.
pub const H2_STREAMS: usize = 128;
/// Receive window of one such stream. All streams together fit the connection's window, so that a client that does
/// not read can never stop another client's answer on the same connection.
pub const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// Receive window of one HTTP/2 connection to an endpoint.
pub const H2_CONNECTION_WINDOW: u32 = H2_STREAM_WINDOW * H2_STREAMS as u32;
/// Bytes queued per downstream HTTP/2 stream inside the protocol library.
pub const H2_SEND_BUFFER: usize = 64 * 1024;
/// Concurrent requests on one downstream HTTP/2 connection.
pub const H2_DOWNSTREAM_STREAMS: u32 = 100;
/// Receive window of one downstream HTTP/2 stream: an upload moves so much per round trip. A window opens again only by
/// what the pump has taken, so an upstream that does not read still stops the client.
pub const H2_DOWNSTREAM_STREAM_WINDOW: u32 = 1024 * 1024;
/// Receive window of one downstream HTTP/2 connection, and so the most that its clients' unread bodies can hold of this
/// process's memory. The protocol library also allows small DATA frames by it: half of this, at 256 bytes a frame, may
/// wait unread (16,384 of them here) before it ends the connection as a flood. Streams of gRPC messages are such frames.
pub const H2_DOWNSTREAM_CONNECTION_WINDOW: u32 = 8 * H2_DOWNSTREAM_STREAM_WINDOW;
/// Informational answers to one request; an upstream that sends more never answers.
pub const INFORMATIONAL: u8 = 16;

/// Bytes of access log lines waiting for the writer; more are dropped and counted.
pub const LOG_BYTES: usize = 4 * 1024 * 1024;
/// So many bytes of access log lines are written at once.
pub const LOG_PIECE: usize = 64 * 1024;
/// Fewer wait this long for more to come.
pub const LOG_DELAY: Duration = Duration::from_millis(50);
