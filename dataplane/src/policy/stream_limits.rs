//! How long a request may be silent, and how long it may live. Settings of the engine, which measures.

use std::time::Duration;

use http::HeaderMap;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.StreamLimits";

/// See the module. An absent field leaves the listener's limit as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamLimits {
    /// Longest silence; `Some(None)` = no limit.
    pub idle: Option<Option<Duration>>,
    /// From the request header to the end of the answer; `Some(None)` = no limit.
    life: Option<Option<Duration>>,
    /// `grpc-timeout` decides about the life.
    grpc: Option<GrpcTimeout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GrpcTimeout {
    /// It is not believed beyond this.
    most: Option<Duration>,
    offset: Duration,
}

impl StreamLimits {
    /// The longest life of a request with these fields; `Some(None)` = no limit.
    #[must_use]
    pub fn life(&self, headers: &HeaderMap) -> Option<Option<Duration>> {
        let asked = self.grpc.and_then(|grpc| Some((grpc, asked(headers)?)));
        let Some((grpc, asked)) = asked else { return self.life };
        let limit = grpc.most.map_or(asked, |most| asked.min(most));
        // An offset that leaves nothing is none.
        Some(Some(limit.checked_sub(grpc.offset).filter(|rest| !rest.is_zero()).unwrap_or(limit)))
    }
}

/// What `grpc-timeout` says: up to eight digits and a unit.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.saturating_mul(3600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::StreamLimits = registry::decode(bytes)?;
    let limit = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
    let offset = Duration::from_millis(wire.grpc_timeout_offset_ms);
    builder.stream_limits(StreamLimits {
        idle: wire.idle_ms.map(limit),
        life: wire.max_ms.map(limit),
        grpc: wire.grpc_timeout_max_ms.map(|most| GrpcTimeout { most: limit(most), offset }),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(grpc: Option<(u64, u64)>, header: &'static str) -> Option<Option<Duration>> {
        let limits = StreamLimits {
            idle: None,
            life: Some(Some(Duration::from_secs(60))),
            grpc: grpc.map(|(most, offset)| GrpcTimeout {
                most: (most > 0).then(|| Duration::from_millis(most)),
                offset: Duration::from_millis(offset),
            }),
        };
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", header.parse().expect("value"));
        limits.life(&headers)
    }

    #[test]
    fn a_grpc_timeout_decides_where_it_may() {
        let millis = |ms| Some(Some(Duration::from_millis(ms)));
        assert_eq!(life(None, "1S"), millis(60_000));
        assert_eq!(life(Some((0, 0)), "1S"), millis(1000));
        assert_eq!(life(Some((500, 0)), "1S"), millis(500));
        assert_eq!(life(Some((0, 100)), "1S"), millis(900));
        assert_eq!(life(Some((0, 1000)), "1S"), millis(1000));
        for not_one in ["", "S", "1", "123456789S", "1x", "-1S", "1\u{e4}"] {
            assert_eq!(life(Some((0, 0)), not_one), millis(60_000), "{not_one:?}");
        }
    }

    #[test]
    fn units_are_those_of_grpc() {
        for (text, micros) in
            [("1H", 3_600_000_000), ("2M", 120_000_000), ("3m", 3_000), ("4u", 4), ("5000n", 5)]
        {
            assert_eq!(life(Some((0, 0)), text), Some(Some(Duration::from_micros(micros))), "{text}");
        }
    }
}
