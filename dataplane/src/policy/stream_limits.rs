//! How long a request may be silent, and how long it may live. Settings of the engine, which measures.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
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

    /// What upstreams are told in the place of a call's `grpc-timeout`, where that decides.
    #[must_use]
    pub fn announced(&self, headers: &HeaderMap) -> Option<Duration> {
        let grpc = self.grpc?;
        match asked(headers) {
            Some(asked) => Some(grpc.most.map_or(asked, |most| asked.min(most))),
            None => self.life.flatten(),
        }
    }
}

/// How long a client of gRPC waits, and what upstreams are told about it.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A limit in the form of `grpc-timeout`, in milliseconds as long as those have eight digits.
#[must_use]
pub fn grpc_timeout(limit: Duration) -> HeaderValue {
    let millis = limit.as_millis();
    let units = [(1, 'm'), (1000, 'S'), (60_000, 'M'), (3_600_000, 'H')];
    let (count, unit) = units
        .into_iter()
        .map(|(size, unit)| (millis / size, unit))
        .find(|(count, _)| *count < 100_000_000)
        .unwrap_or((99_999_999, 'H'));
    // Digits and a letter.
    HeaderValue::try_from(format!("{count}{unit}")).unwrap_or(HeaderValue::from_static("99999999H"))
}

/// What `grpc-timeout` says: up to eight digits and a unit.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
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
    fn upstreams_are_told_the_limit_that_holds() {
        let limits = |most_ms: u64| StreamLimits {
            idle: None,
            life: Some(Some(Duration::from_secs(3))),
            grpc: Some(GrpcTimeout {
                most: (most_ms > 0).then(|| Duration::from_millis(most_ms)),
                offset: Duration::ZERO,
            }),
        };
        let told = |most_ms: u64, header: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, HeaderValue::from_static(header));
            limits(most_ms).announced(&headers).map(grpc_timeout)
        };
        for (most, header, wanted) in [
            (400, "1S", "400m"),
            (400, "100000u", "100m"),
            (0, "1H", "3600000m"),
            (0, "1234H", "4442400S"),
            (400, "x", "3000m"),
        ] {
            assert_eq!(told(most, header).unwrap(), wanted, "{header}");
        }
        assert_eq!(StreamLimits::default().announced(&HeaderMap::new()), None);
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
