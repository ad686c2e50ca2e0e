//! The worker's own log line: one JSON object per request.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

/// One request. Fields without a value are left out.
#[derive(Debug, Serialize)]
pub(in crate::proxy) struct Line<'a> {
    /// When the request header was complete, RFC 3339.
    #[serde(serialize_with = "timestamp")]
    pub(in crate::proxy) time: SystemTime,
    /// Listener that accepted the connection.
    pub(in crate::proxy) listener: &'a str,
    /// The client's address.
    pub(in crate::proxy) client: SocketAddr,
    /// Server name of the TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) sni: Option<&'a str>,
    /// Version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) reason: Option<&'static str>,
    /// What exactly happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) detail: Option<&'a str>,
    /// Envoy's response flag, `-` for none.
    pub(in crate::proxy) flags: &'a str,
    /// Virtual host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) virtual_host: Option<&'a str>,
    /// Route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) route: Option<&'a str>,
    /// Upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) upstream: Option<&'a str>,
    /// Endpoint of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) endpoint: Option<SocketAddr>,
    /// Tries.
    pub(in crate::proxy) attempts: u32,
    /// From the request header to the end of the answer.
    #[serde(rename = "duration_ms", serialize_with = "millis")]
    pub(in crate::proxy) duration: Duration,
    /// From the last try's start to its response header.
    #[serde(rename = "upstream_ms", serialize_with = "some_millis", skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) upstream_time: Option<Duration>,
    /// Body bytes from the client.
    pub(in crate::proxy) bytes_received: usize,
    /// Body bytes to the client.
    pub(in crate::proxy) bytes_sent: usize,
    /// `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) request_id: Option<&'a str>,
    /// `user-agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) user_agent: Option<&'a str>,
    /// Trace that the request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::proxy) trace_id: Option<&'a str>,
}

pub(crate) fn timestamp<S: Serializer>(moment: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    to.collect_str(&format_args!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    ))
}

/// Gregorian date of a day since 1970-01-01: counted in years that begin in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

pub(crate) fn millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    // Microseconds are exact enough, and their digits few.
    to.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

fn some_millis<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    millis(&duration.unwrap_or_default(), to)
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

    fn shown(seconds: u64, millis: u64) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis);
        serde_json::to_value(Line { time, ..line() }).unwrap()["time"].as_str().unwrap().into()
    }

    #[test]
    fn times_are_shown_as_rfc_3339() {
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(shown(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(shown(1_795_352_579, 250), "2026-11-22T13:02:59.250Z");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_line_is_one_object_without_empty_fields() {
        let text = serde_json::to_string(&line()).unwrap();
        assert!(text.contains("\"duration_ms\":1.5"), "{text}");
        assert!(!text.contains("reason") && !text.contains("upstream"), "{text}");
    }
}
