//! Until when an OCSP response may be stapled (RFC 6960, section 4.2.1).
//!
//! Reads just enough of it: that it is an answer, and its times. Its signature is the client's to verify.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::der_parser::asn1_rs::{Any, Class, FromDer, GeneralizedTime, Tag};

/// When a response is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Staple {
    from: SystemTime,
    /// None = the responder always has newer information; it counts as valid.
    until: Option<SystemTime>,
}

/// Object identifier of a basic response, 1.3.6.1.5.5.7.48.1.1, in DER.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

impl Staple {
    /// Reads a response.
    pub(super) fn parse(der: &[u8]) -> Result<Self, &'static str> {
        const BAD: &str = "is not an OCSP response";
        let response = Reader::new(der).inside(Tag::Sequence).ok_or(BAD)?;
        let (status, rest) = response.take(Tag::Enumerated).ok_or(BAD)?;
        if status != [0] {
            return Err("is an OCSP response that says it has no answer");
        }
        let bytes = rest.context(0).and_then(|bytes| bytes.inside(Tag::Sequence)).ok_or(BAD)?;
        let (kind, rest) = bytes.take(Tag::Oid).ok_or(BAD)?;
        if kind != BASIC {
            return Err("is an OCSP response of an unknown kind");
        }
        let (basic, _) = rest.take(Tag::OctetString).ok_or(BAD)?;
        times(basic).ok_or(BAD)
    }

    /// Whether it may be stapled at `now`.
    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// The times of the first single response.
fn times(basic: &[u8]) -> Option<Staple> {
    let data = Reader::new(basic).inside(Tag::Sequence)?.inside(Tag::Sequence)?;
    // [0] version is there only when it is not the default.
    let data = data.skip_context(0);
    // responderID is [1] or [2], producedAt a time.
    let data = data.skip_any()?;
    let (_, data) = data.take(Tag::GeneralizedTime)?;
    let single = data.inside(Tag::Sequence)?.inside(Tag::Sequence)?;
    // certID and certStatus.
    let single = single.skip_any()?.skip_any()?;
    let (from, rest) = single.time()?;
    let until = match rest.context(0) {
        Some(inner) => Some(inner.time()?.0),
        None => None,
    };
    Some(Staple { from, until })
}

/// What is left of a DER structure.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    fn any(self) -> Option<(Any<'a>, Self)> {
        let (rest, any) = Any::from_der(self.0).ok()?;
        Some((any, Self(rest)))
    }

    fn skip_any(self) -> Option<Self> {
        self.any().map(|(_, rest)| rest)
    }

    fn take(self, tag: Tag) -> Option<(&'a [u8], Self)> {
        let (any, rest) = self.any()?;
        (any.class() == Class::Universal && any.tag() == tag).then_some((any.data, rest))
    }

    fn inside(self, tag: Tag) -> Option<Self> {
        self.take(tag).map(|(content, _)| Self(content))
    }

    fn context(self, number: u32) -> Option<Self> {
        let (any, _) = self.any()?;
        (any.class() == Class::ContextSpecific && any.tag().0 == number).then_some(Self(any.data))
    }

    fn skip_context(self, number: u32) -> Self {
        if self.context(number).is_some() { self.skip_any().unwrap_or(self) } else { self }
    }

    fn time(self) -> Option<(SystemTime, Self)> {
        let (rest, time) = GeneralizedTime::from_der(self.0).ok()?;
        let seconds = u64::try_from(time.utc_datetime().ok()?.unix_timestamp()).ok()?;
        Some((UNIX_EPOCH + Duration::from_secs(seconds), Self(rest)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        let length = u8::try_from(content.len()).expect("short");
        let mut out = vec![tag];
        if length >= 0x80 {
            out.push(0x81);
        }
        out.push(length);
        out.extend(content);
        out
    }

    fn time(text: &str) -> Vec<u8> {
        der(0x18, &[text.as_bytes()])
    }

    /// A response for one certificate, valid from 2024 until `until`.
    pub(crate) fn response(status: u8, until: Option<&str>) -> Vec<u8> {
        let next = until.map(|until| der(0xa0, &[&time(until)])).unwrap_or_default();
        let single = der(0x30, &[&der(0x30, &[]), &der(0x80, &[]), &time("20240101000000Z"), &next]);
        let data = der(0x30, &[&der(0xa2, &[]), &time("20240101000000Z"), &der(0x30, &[&single])]);
        let basic = der(0x30, &[&data, &der(0x30, &[]), &der(0x03, &[&[0]])]);
        let bytes = der(0x30, &[&der(0x06, &[BASIC]), &der(0x04, &[&basic])]);
        der(0x30, &[&der(0x0a, &[&[status]]), &der(0xa0, &[&bytes])])
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const YEAR_2023: u64 = 1_672_531_200;
    const YEAR_2024: u64 = 1_704_067_200;
    const YEAR_2025: u64 = 1_735_689_600;

    #[test]
    fn a_staple_is_valid_between_its_times() {
        let staple = Staple::parse(&response(0, Some("20250101000000Z"))).expect("response");
        let valid = |seconds| staple.is_valid(at(seconds));
        assert!(!valid(YEAR_2023) && valid(YEAR_2024) && valid(YEAR_2025 - 1) && !valid(YEAR_2025));
        let endless = Staple::parse(&response(0, None)).expect("response");
        assert!(endless.is_valid(at(YEAR_2025 * 2)));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(Staple::parse(&response(6, None)).is_err());
        assert!(Staple::parse(b"").is_err());
        let whole = response(0, Some("20250101000000Z"));
        for cut in 0..whole.len() {
            assert!(Staple::parse(&whole[..cut]).is_err());
        }
    }
}
