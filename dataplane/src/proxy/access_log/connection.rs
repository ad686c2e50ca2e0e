//! The worker's own log line of a connection that was passed on. Its fields mean what those of requests mean.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use portcullis_shared::table::Place;

use super::json::{Object, address, timestamp};

/// One connection. Fields without a value are left out.
#[derive(Debug)]
pub(crate) struct ConnectionLine<'a> {
    /// When it was accepted.
    pub(crate) time: SystemTime,
    /// Listener that accepted it.
    pub(crate) listener: &'a str,
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// Server name that the client asked for.
    pub(crate) sni: Option<&'a str>,
    /// Version of TLS, where it ended here.
    pub(crate) tls: Option<&'static str>,
    /// The TCP host's name.
    pub(crate) host: &'a str,
    /// Why the gateway ended it.
    pub(crate) reason: Option<&'static str>,
    /// What exactly happened.
    pub(crate) detail: Option<&'a str>,
    /// Envoy's response flags, `-` for none.
    pub(crate) flags: &'a str,
    /// Upstream.
    pub(crate) upstream: Option<&'a str>,
    /// Endpoint of the last try.
    pub(crate) endpoint: Option<&'a Place>,
    /// Tries to connect.
    pub(crate) attempts: u32,
    /// From its beginning to its end.
    pub(crate) duration: Duration,
    /// Bytes from the client.
    pub(crate) received: u64,
    /// Bytes to the client.
    pub(crate) sent: u64,
}

impl ConnectionLine<'_> {
    /// Appends it as a JSON object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.with("time", |out| timestamp(out, self.time));
        object.text("listener", self.listener);
        object.with("client", |out| address(out, self.client));
        object.some_text("sni", self.sni);
        object.some_text("tls", self.tls);
        object.text("protocol", "TCP");
        object.text("tcp_host", self.host);
        object.some_text("reason", self.reason);
        object.some_text("detail", self.detail);
        object.text("flags", self.flags);
        object.some_text("upstream", self.upstream);
        if let Some(endpoint) = self.endpoint {
            match endpoint {
                Place::Address(endpoint) => object.with("endpoint", |out| address(out, *endpoint)),
                Place::Pipe(path) => object.text("endpoint", path),
            }
        }
        object.number("attempts", u64::from(self.attempts));
        object.millis("duration_ms", self.duration);
        object.number("bytes_received", self.received);
        object.number("bytes_sent", self.sent);
        object.end();
    }
}
