//! The worker's own log line: one JSON object per request.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use portcullis_shared::table::Place;

use super::json::{Object, address, timestamp};

/// One request. Fields without a value are left out.
#[derive(Debug)]
pub(in crate::proxy) struct Line<'a> {
    /// When the request header was complete, RFC 3339.
    pub(in crate::proxy) time: SystemTime,
    /// Listener that accepted the connection.
    pub(in crate::proxy) listener: &'a str,
    /// The client's address.
    pub(in crate::proxy) client: SocketAddr,
    /// Server name of the TLS handshake.
    pub(in crate::proxy) sni: Option<&'a str>,
    /// Version of TLS.
    pub(in crate::proxy) tls: Option<&'static str>,
    /// `HTTP/1.1` and so on.
    pub(in crate::proxy) protocol: &'static str,
    /// Method.
    pub(in crate::proxy) method: &'a str,
    /// `http` or `https`.
    pub(in crate::proxy) scheme: &'static str,
    /// Host or `:authority`.
    pub(in crate::proxy) authority: &'a str,
    /// Path with query, normalised, before any rewrite.
    pub(in crate::proxy) path: &'a str,
    /// What the client got; 499 when it left first.
    pub(in crate::proxy) status: u16,
    /// Why the gateway answered, or ended the request, itself.
    pub(in crate::proxy) reason: Option<&'static str>,
    /// What exactly happened.
    pub(in crate::proxy) detail: Option<&'a str>,
    /// Envoy's response flag, `-` for none.
    pub(in crate::proxy) flags: &'a str,
    /// Virtual host.
    pub(in crate::proxy) virtual_host: Option<&'a str>,
    /// Route.
    pub(in crate::proxy) route: Option<&'a str>,
    /// Upstream.
    pub(in crate::proxy) upstream: Option<&'a str>,
    /// Endpoint of the last try.
    pub(in crate::proxy) endpoint: Option<&'a Place>,
    /// Tries.
    pub(in crate::proxy) attempts: u32,
    /// From the request header to the end of the answer.
    pub(in crate::proxy) duration: Duration,
    /// From the last try's start to its response header.
    pub(in crate::proxy) upstream_time: Option<Duration>,
    /// Body bytes from the client.
    pub(in crate::proxy) bytes_received: usize,
    /// Body bytes to the client.
    pub(in crate::proxy) bytes_sent: usize,
    /// `x-request-id`.
    pub(in crate::proxy) request_id: Option<&'a str>,
    /// `user-agent`.
    pub(in crate::proxy) user_agent: Option<&'a str>,
    /// Trace that the request belongs to.
    pub(in crate::proxy) trace_id: Option<&'a str>,
}

impl Line<'_> {
    /// Appends it as a JSON object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.with("time", |out| timestamp(out, self.time));
        object.text("listener", self.listener);
        object.with("client", |out| address(out, self.client));
        object.some_text("sni", self.sni);
        object.some_text("tls", self.tls);
        object.text("protocol", self.protocol);
        object.text("method", self.method);
        object.text("scheme", self.scheme);
        object.text("authority", self.authority);
        object.text("path", self.path);
        object.number("status", u64::from(self.status));
        object.some_text("reason", self.reason);
        object.some_text("detail", self.detail);
        object.text("flags", self.flags);
        object.some_text("virtual_host", self.virtual_host);
        object.some_text("route", self.route);
        object.some_text("upstream", self.upstream);
        if let Some(endpoint) = self.endpoint {
            match endpoint {
                Place::Address(endpoint) => object.with("endpoint", |out| address(out, *endpoint)),
                Place::Pipe(path) => object.text("endpoint", path),
            }
        }
        object.number("attempts", u64::from(self.attempts));
        object.millis("duration_ms", self.duration);
        if let Some(took) = self.upstream_time {
            object.millis("upstream_ms", took);
        }
        object.number("bytes_received", self.bytes_received as u64);
        object.number("bytes_sent", self.bytes_sent as u64);
        object.some_text("request_id", self.request_id);
        object.some_text("user_agent", self.user_agent);
        object.some_text("trace_id", self.trace_id);
        object.end();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn line() -> Line<'static> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Line {
            time: SystemTime::UNIX_EPOCH,
            listener: "l",
            client: address,
            sni: None,
            tls: None,
            protocol: "HTTP/1.1",
            method: "GET",
            scheme: "http",
            authority: "a",
            path: "/",
            status: 200,
            reason: None,
            detail: None,
            flags: "-",
            virtual_host: None,
            route: None,
            upstream: None,
            endpoint: None,
            attempts: 0,
            duration: Duration::from_micros(1500),
            upstream_time: None,
            bytes_received: 0,
            bytes_sent: 0,
            request_id: None,
            user_agent: None,
            trace_id: None,
        }
    }

    #[test]
    fn a_line_is_one_object_without_empty_fields() {
        let mut text = Vec::new();
        Line { path: "/\"\n", ..line() }.write(&mut text);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let wanted = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "listener": "l", "client": "127.0.0.1:1", "protocol": "HTTP/1.1",
            "method": "GET", "scheme": "http", "authority": "a", "path": "/\"\n", "status": 200, "flags": "-",
            "attempts": 0, "duration_ms": 1.5, "bytes_received": 0, "bytes_sent": 0,
        });
        assert_eq!(value, wanted);
    }
}
