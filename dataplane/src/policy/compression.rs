//! Answers are compressed for clients that take gzip.
//!
//! Which answers can be, is decided by their header alone; every such answer says by `vary` that it depends on what the
//! client takes. Compression goes with the pieces of the body: what has come in goes out at once.

use std::sync::Arc;

use bytes::Bytes;
use flate2::{Compress, Compression as Level, FlushCompress, Status};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderName, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{Answer, BodyError, BodyFilter, PlanBuilder, Policy, RequestCx, ResponseCx, Verdict, registry};
use crate::proxy::reply::GRPC_STATUS;

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Compression";

/// What is compressed when nothing is listed.
const USUAL: [&str; 8] = [
    "application/javascript",
    "application/json",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/plain",
    "text/xml",
];

/// Room that is always there for the compressor's own bytes.
const SPARE: usize = 256;

#[derive(Debug)]
struct Compression {
    level: Level,
    window_bits: u8,
    min_length: u64,
    content_types: Box<[Box<str>]>,
    disable_on_etag: bool,
    remove_accept_encoding: bool,
}

/// The client takes gzip.
struct Taken;

impl Policy for Compression {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        if takes_gzip(cx.headers.map()) {
            cx.slots.put(Taken);
        }
        if self.remove_accept_encoding {
            cx.headers.remove(&ACCEPT_ENCODING);
        }
        Verdict::Continue
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        if !cx.has_body || *cx.status == StatusCode::SWITCHING_PROTOCOLS || !self.suits(cx.headers.map()) {
            return Answer::Continue;
        }
        if let Some(vary) = vary(cx.headers.map()) {
            cx.headers.insert(&VARY, vary);
        }
        // The result of a call that has no answer stands in the header: no body follows.
        let no_body = cx.headers.map().contains_key(GRPC_STATUS) && is_any_grpc(cx.headers.map());
        if no_body || cx.slots.get::<Taken>().is_none() {
            return Answer::Continue;
        }
        cx.headers.insert(&CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        cx.headers.remove(&CONTENT_LENGTH);
        // A strong one promises these very bytes.
        if cx.headers.map().get(ETAG).is_some_and(|etag| !etag.as_bytes().starts_with(b"W/")) {
            cx.headers.remove(&ETAG);
        }
        cx.filters.push(Box::new(Gzip(Compress::new_gzip(self.level, self.window_bits))));
        Answer::Continue
    }
}

impl Compression {
    /// Whether an answer with these fields is one to compress, whatever the client takes.
    fn suits(&self, headers: &HeaderMap) -> bool {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let long = length.is_none_or(|length: u64| length >= self.min_length);
        let text = headers.get(CONTENT_TYPE).is_none_or(|value| self.suits_type(value));
        let fixed = headers.contains_key(CONTENT_ENCODING)
            // A part of what would be other bytes.
            || headers.contains_key(CONTENT_RANGE)
            || self.disable_on_etag && headers.contains_key(ETAG)
            || words(headers, &CACHE_CONTROL).any(|word| word.eq_ignore_ascii_case("no-transform"));
        long && text && !fixed
    }

    fn suits_type(&self, value: &HeaderValue) -> bool {
        let Ok(text) = value.to_str() else { return false };
        let main = text.split(';').next().unwrap_or_default().trim();
        let is = |wanted: &str| main.eq_ignore_ascii_case(wanted);
        match self.content_types.is_empty() {
            true => USUAL.iter().any(|wanted| is(wanted)),
            false => self.content_types.iter().any(|wanted| is(wanted)),
        }
    }
}

/// gRPC, or gRPC-web in either form.
fn is_any_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The members of a list, over all lines of the field.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// By RFC 9110 12.5.3: gzip, or anything, with a weight above 0 that is not below that of no coding.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for word in words(headers, &ACCEPT_ENCODING) {
        let mut parts = word.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
        let slot = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "*" => &mut any,
            "identity" => &mut identity,
            _ => continue,
        };
        slot.get_or_insert(weight);
    }
    let weight = gzip.or(any).unwrap_or(0.0);
    weight > 0.0 && identity.is_none_or(|identity| weight >= identity)
}

/// The field with this dependency in it; `None` where it is there already.
fn vary(headers: &HeaderMap) -> Option<HeaderValue> {
    let usual = HeaderValue::from_static("Accept-Encoding");
    if words(headers, &VARY).any(|word| word == "*" || word.eq_ignore_ascii_case("accept-encoding")) {
        return None;
    }
    let before: Vec<&str> = words(headers, &VARY).collect();
    if before.is_empty() {
        return Some(usual);
    }
    HeaderValue::from_str(&format!("{}, Accept-Encoding", before.join(", "))).ok()
}

/// One body on its way.
struct Gzip(Compress);

impl Gzip {
    fn run(&mut self, piece: &[u8], flush: FlushCompress) -> Result<Bytes, BodyError> {
        let mut out = Vec::with_capacity(piece.len() / 2 + SPARE);
        let mut rest = piece;
        loop {
            if out.capacity() - out.len() < SPARE {
                out.reserve(out.capacity().max(SPARE));
            }
            let before = self.0.total_in();
            let status = self.0.compress_vec(rest, &mut out, flush).map_err(|error| BodyError {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                reason: "compression_failed",
                detail: error.to_string().into(),
            })?;
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            // Room that was left over says that there was no more to come.
            let flushed = rest.is_empty() && out.len() < out.capacity();
            if status == Status::StreamEnd || (flushed && !matches!(flush, FlushCompress::Finish)) {
                return Ok(out.into());
            }
        }
    }
}

impl BodyFilter for Gzip {
    fn data(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Result<(), BodyError> {
        out.push(self.run(&piece, FlushCompress::Sync)?);
        Ok(())
    }

    fn end(
        &mut self,
        trailers: Option<HeaderMap>,
        out: &mut Vec<Bytes>,
    ) -> Result<Option<HeaderMap>, BodyError> {
        out.push(self.run(&[], FlushCompress::Finish)?);
        Ok(trailers)
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Compression = registry::decode(bytes)?;
    let window_bits = u8::try_from(wire.window_bits).ok().filter(|bits| (9..=15).contains(bits));
    if !(1..=9).contains(&wire.level) {
        return Err(Invalid::new("level", format!("{} is not in 1 to 9", wire.level)));
    }
    builder.push(
        TYPE_URL,
        Arc::new(Compression {
            level: Level::new(wire.level),
            window_bits: window_bits.ok_or_else(|| {
                Invalid::new("window_bits", format!("{} is not in 9 to 15", wire.window_bits))
            })?,
            min_length: wire.min_length,
            content_types: wire.content_types.into_iter().map(Box::from).collect(),
            disable_on_etag: wire.disable_on_etag,
            remove_accept_encoding: wire.remove_accept_encoding,
        }),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::policy::testing::map;

    #[test]
    fn what_a_client_takes_follows_its_weights() {
        for (field, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("br", false),
            ("gzip;q=0", false),
            ("*;q=1, gzip;q=0", false),
            ("gzip;q=0.5, identity", false),
            ("GZIP ; q=1.0, identity;q=0.9", true),
            ("gzip;q=x", false),
        ] {
            assert_eq!(takes_gzip(&map(&[("accept-encoding", field)])), takes, "{field}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn an_answer_without_a_body_stays_without_one() {
        use crate::policy::testing::{Request, Response};
        let gzip = Compression {
            level: Level::new(6),
            window_bits: 12,
            min_length: 30,
            content_types: [Box::from("application/grpc")].into_iter().collect(),
            disable_on_etag: false,
            remove_accept_encoding: false,
        };
        for (status, compressed) in [(None, true), (Some(("grpc-status", "5")), false)] {
            let mut request = Request::with(&[("accept-encoding", "gzip")]);
            assert!(matches!(gzip.request(&mut request.cx()), Verdict::Continue));
            let mut response = Response { slots: request.slots, ..Response::default() };
            let fields: Vec<_> = status.into_iter().chain([("content-type", "application/grpc")]).collect();
            response.headers = map(&fields);
            assert!(matches!(gzip.response(&mut response.cx()), Answer::Continue));
            assert_eq!(response.headers["vary"], "Accept-Encoding");
            assert_eq!(response.headers.contains_key("content-encoding"), compressed);
            assert_eq!(response.filters.is_empty(), !compressed);
        }
    }

    #[test]
    fn vary_is_completed_once() {
        let vary = |fields: &[(&'static str, &'static str)]| vary(&map(fields));
        assert_eq!(vary(&[]).unwrap(), "Accept-Encoding");
        assert_eq!(vary(&[("vary", "origin"), ("vary", "x-a")]).unwrap(), "origin, x-a, Accept-Encoding");
        assert_eq!(vary(&[("vary", "a, accept-encoding")]), None);
        assert_eq!(vary(&[("vary", "*")]), None);
    }

    #[test]
    fn every_piece_comes_out_as_it_goes_in_and_the_whole_is_gzip() {
        let mut filter = Gzip(Compress::new_gzip(Level::new(6), 12));
        let mut seed = 1u64;
        let mut noise = |count: usize| -> Bytes {
            std::iter::repeat_with(|| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .take(count)
            .collect()
        };
        let pieces =
            [Bytes::from_static(b"hello "), noise(100_000), Bytes::from(vec![b'a'; 300_000]), noise(1)];
        let mut all = Vec::new();
        for piece in &pieces {
            let mut out = Vec::new();
            filter.data(piece.clone(), &mut out).unwrap();
            all.extend(out.concat());
            let mut back = vec![0; 6];
            flate2::read::GzDecoder::new(all.as_slice()).read_exact(&mut back).unwrap();
            assert_eq!(back, b"hello ");
        }
        let mut out = Vec::new();
        filter.end(None, &mut out).unwrap();
        all.extend(out.concat());
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(all.as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, pieces.concat());
    }
}
