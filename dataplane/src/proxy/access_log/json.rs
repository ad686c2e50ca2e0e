//! Writes one flat JSON object into a buffer, for the access log: its keys are known and need no look, and hardly any value
//! needs escapes. Owns the forms of values that JSON has none for: moments, durations, addresses. What has a form in JSON
//! and is not plain is serde_json's.

use std::cell::Cell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::proxy::digits::decimal;

/// An object that is begun.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        Object { out, separator: b'{' }
    }

    /// `key` needs no escapes.
    fn key(&mut self, key: &str) {
        self.out.reserve(key.len() + 4);
        self.out.push(std::mem::replace(&mut self.separator, b','));
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        if is_plain(value) {
            self.out.reserve(value.len() + 2);
            self.out.push(b'"');
            self.out.extend_from_slice(value.as_bytes());
            self.out.push(b'"');
        } else {
            // A vector takes everything.
            let _ = serde_json::to_writer(&mut *self.out, value);
        }
    }

    pub(super) fn some_text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        decimal(self.out, value, 1);
    }

    /// Milliseconds; microseconds are exact enough, and their digits few.
    pub(super) fn millis(&mut self, key: &str, value: Duration) {
        self.key(key);
        let nanos = value.subsec_nanos();
        let micros =
            value.as_secs().saturating_mul(1_000_000).saturating_add(u64::from((nanos + 500) / 1000));
        decimal(self.out, micros / 1000, 1);
        self.out.push(b'.');
        decimal(self.out, micros % 1000, 3);
    }

    /// A text that `write` makes, without characters that need escapes.
    pub(super) fn with(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }

    pub(super) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// Nothing in it has to be escaped. All bytes are looked at, many at once.
fn is_plain(text: &str) -> bool {
    !text.bytes().fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\'))
}

/// `address:port`.
pub(super) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    let SocketAddr::V4(v4) = address else {
        let _ = write!(out, "{address}");
        return;
    };
    for (octet, after) in v4.ip().octets().into_iter().zip(*b"...:") {
        decimal(out, u64::from(octet), 1);
        out.push(after);
    }
    decimal(out, u64::from(v4.port()), 1);
}

thread_local! {
    /// The second that was shown last, and its text.
    static SECOND: Cell<(u64, [u8; 20])> = const { Cell::new((0, *b"1970-01-01T00:00:00.")) };
}

/// RFC 3339 with milliseconds.
pub(super) fn timestamp(out: &mut Vec<u8>, moment: SystemTime) {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = SECOND.get();
    if second != since.as_secs() {
        second = since.as_secs();
        text = shown(second);
        SECOND.set((second, text));
    }
    out.extend_from_slice(&text);
    decimal(out, u64::from(since.subsec_millis()), 3);
    out.push(b'Z');
}

/// A second since 1970-01-01, up to the point before its fraction; four digits for the year.
fn shown(second: u64) -> [u8; 20] {
    let (year, month, day) = civil(second / 86_400);
    let mut text = Vec::with_capacity(20);
    for (value, digits, after) in [
        (year % 10_000, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600 % 24, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
    ] {
        decimal(&mut text, value, digits);
        text.push(after);
    }
    text.try_into().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64, millis: u64) -> String {
        let mut out = Vec::new();
        timestamp(&mut out, SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_shown_as_rfc_3339() {
        assert_eq!(time(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_399, 7), "2000-02-28T23:59:59.007Z");
        assert_eq!(time(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(time(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_795_352_579, 250), "2026-11-22T13:02:59.250Z");
        assert_eq!(time(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn addresses_are_shown_as_rust_shows_them() {
        for shown in ["127.0.0.1:80", "0.10.255.100:65535", "[::1]:0", "[2001:db8::7]:443"] {
            let mut out = Vec::new();
            address(&mut out, shown.parse().unwrap());
            assert_eq!(out, shown.as_bytes());
        }
    }

    #[test]
    fn an_object_is_what_serde_json_reads_back() {
        let texts = ["", "plain", "\"quoted\" \\ back", "line\nbreak\u{1}\u{1f}", "\u{7f}ü€𝄞"];
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        texts.iter().for_each(|text| object.text("text", text));
        object.some_text("none", None);
        object.number("most", u64::MAX);
        object.number("zero", 0);
        object.millis("short", Duration::from_nanos(7_049_500));
        object.millis("long", Duration::from_secs(3600));
        object.end();
        let text = String::from_utf8(out).unwrap();
        let mut parts: Vec<String> =
            texts.iter().map(|text| format!("\"text\":{}", serde_json::to_string(text).unwrap())).collect();
        parts.extend(
            ["\"most\":18446744073709551615", "\"zero\":0", "\"short\":7.050", "\"long\":3600000.000"]
                .map(str::to_owned),
        );
        assert_eq!(text, format!("{{{}}}", parts.join(",")));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn an_object_without_fields_is_one() {
        let mut out = Vec::new();
        Object::begin(&mut out).end();
        assert_eq!(out, b"{}");
    }
}
