//! Values with a text form of their own: Go durations, bytes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration as Go's `time.ParseDuration` reads it (`1m2s`, `300ms`, `1.5h`, `0`), in nanoseconds; it may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub i64);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was given.
    #[error("a duration is needed, such as `300ms`, `1.5s` or `1m30s`; `0s` means zero")]
    Empty,
    /// A number without a unit.
    #[error("a duration needs a unit: write `{0}s` for seconds or `{0}ms` for milliseconds")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("unknown unit `{0}` in a duration: use ns, us, ms, s, m or h (a day is `24h`)")]
    Unit(String),
    /// Beyond about 292 years.
    #[error("the duration is too large")]
    Overflow,
    /// Anything else.
    #[error("not a duration: write for example `300ms`, `1.5s` or `1m30s`")]
    Syntax,
}

impl GoDuration {
    /// Reads the text form.
    pub fn parse(text: &str) -> Result<GoDuration, DurationError> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(GoDuration(0));
        }
        if rest.is_empty() {
            return Err(if text.is_empty() { DurationError::Empty } else { DurationError::Syntax });
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, tail) = rest.split_at(end);
            let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            if number.is_empty() || number == "." {
                return Err(DurationError::Syntax);
            }
            if unit.is_empty() {
                return Err(DurationError::NoUnit(text.to_owned()));
            }
            let scale: i128 = match unit {
                "ns" => 1,
                "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                other => return Err(DurationError::Unit(other.to_owned())),
            };
            total += scaled(number, scale)?;
            rest = tail;
        }
        let total = if negative { -total } else { total };
        i64::try_from(total).map(GoDuration).map_err(|_| DurationError::Overflow)
    }

    /// As a standard duration; `None` when negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// Whole milliseconds, rounded up so that a short duration does not become zero; `None` when negative.
    pub fn to_millis(self) -> Option<u64> {
        u64::try_from(self.0).ok().map(|nanos| nanos.div_ceil(1_000_000))
    }
}

/// `number` times `scale`, the fraction cut to whole nanoseconds.
fn scaled(number: &str, scale: i128) -> Result<i128, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return Err(DurationError::Syntax);
    }
    let whole: i128 =
        if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::Overflow)? };
    if whole > i128::from(i64::MAX) {
        return Err(DurationError::Overflow);
    }
    let mut value = whole * scale;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        value += i128::from(digit.saturating_sub(b'0')) * unit;
    }
    Ok(value)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        if rest == 0 {
            write!(f, "{sign}{seconds}s")
        } else {
            let fraction = format!("{rest:09}");
            write!(f, "{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
        }
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = GoDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `300ms`, `1.5s` or `1m30s`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                GoDuration::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Bytes, written in base64.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Bytes);

impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Base64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes in base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
                let bytes = super::super::decode::decode_base64(text);
                bytes.map(|bytes| Base64(bytes.into())).ok_or_else(|| E::custom("the value is not base64"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_as_go_reads_them() {
        let nanos = |text: &str| GoDuration::parse(text).map(|d| d.0);
        assert_eq!(nanos("300ms"), Ok(300_000_000));
        assert_eq!(nanos("1m2s"), Ok(62_000_000_000));
        assert_eq!(nanos("1h"), Ok(3_600_000_000_000));
        assert_eq!(nanos("1.5s"), Ok(1_500_000_000));
        assert_eq!(nanos(".5s"), Ok(500_000_000));
        assert_eq!(nanos("1.s"), Ok(1_000_000_000));
        assert_eq!(nanos("0"), Ok(0));
        assert_eq!(nanos("+0s"), Ok(0));
        assert_eq!(nanos("-1.5h"), Ok(-5_400_000_000_000));
        assert_eq!(nanos("2us3ns"), Ok(2_003));
        assert_eq!(nanos("2\u{b5}s"), Ok(2_000));
        assert_eq!(nanos(""), Err(DurationError::Empty));
        assert_eq!(nanos("10"), Err(DurationError::NoUnit("10".into())));
        assert_eq!(nanos("1d"), Err(DurationError::Unit("d".into())));
        assert_eq!(nanos("-"), Err(DurationError::Syntax));
        assert_eq!(nanos("s"), Err(DurationError::Syntax));
        assert_eq!(nanos("1.2.3s"), Err(DurationError::Syntax));
        assert_eq!(nanos("99999999999h"), Err(DurationError::Overflow));
    }

    #[test]
    fn durations_print_as_seconds() {
        assert_eq!(GoDuration(62_000_000_000).to_string(), "62s");
        assert_eq!(GoDuration(500_000_000).to_string(), "0.5s");
        assert_eq!(GoDuration(-1_500_000_000).to_string(), "-1.5s");
        assert_eq!(GoDuration(1).to_millis(), Some(1));
        assert_eq!(GoDuration(-1).to_std(), None);
    }
}
