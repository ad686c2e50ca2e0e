//! How HTTP is spoken to an upstream.

use std::time::Duration;

use portcullis_proto::table::v1 as wire;

use super::HeaderCase;
use super::field::millis;
use super::http::header_case;
use crate::Invalid;

/// The bounds of a window (RFC 9113 section 6.9.2): what a connection begins with, and the most there is.
const WINDOW: std::ops::RangeInclusive<u32> = 65_535..=2_147_483_647;

/// See the module. `None` = the worker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamHttp {
    /// The version that the client speaks.
    pub as_downstream: bool,
    /// Most fields of an answer.
    pub header_fields: Option<u32>,
    /// For each try, from its connection to its end; `None` = no limit.
    pub max_stream: Option<Duration>,
    /// How names of fields are written in HTTP/1 requests; `Preserve` is about those of answers.
    pub header_case: HeaderCase,
    /// HTTP/1 has trailers.
    pub trailers: bool,
    /// Receive window of a stream, in bytes.
    pub stream_window: Option<u32>,
    /// Receive window of an HTTP/2 connection.
    pub connection_window: Option<u32>,
    /// Streams on one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
}

impl TryFrom<wire::UpstreamHttp> for UpstreamHttp {
    type Error = Invalid;

    fn try_from(wire: wire::UpstreamHttp) -> Result<Self, Invalid> {
        let window = |field: &str, bytes: u32| match bytes {
            0 => Ok(None),
            bytes if WINDOW.contains(&bytes) => Ok(Some(bytes)),
            bytes => Err(Invalid::new(field, format!("{bytes} is not a window"))),
        };
        let some = |count: u32| Some(count).filter(|count| *count > 0);
        Ok(Self {
            as_downstream: wire.as_downstream,
            header_fields: some(wire.header_fields),
            max_stream: millis(wire.max_stream_ms),
            header_case: header_case(wire.header_case)?,
            trailers: wire.trailers,
            stream_window: window("stream_window", wire.stream_window)?,
            connection_window: window("connection_window", wire.connection_window)?,
            max_concurrent_streams: some(wire.max_concurrent_streams),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_default_and_windows_have_bounds() {
        let default = UpstreamHttp::try_from(wire::UpstreamHttp::default()).unwrap();
        assert_eq!(default, UpstreamHttp::default());
        let path = |wire: wire::UpstreamHttp| UpstreamHttp::try_from(wire).unwrap_err().path;
        assert_eq!(path(wire::UpstreamHttp { stream_window: 65_534, ..Default::default() }), "stream_window");
        let wide = wire::UpstreamHttp { connection_window: 1 << 31, ..Default::default() };
        assert_eq!(path(wide), "connection_window");
        assert_eq!(path(wire::UpstreamHttp { header_case: 9, ..Default::default() }), "header_case");
    }
}
