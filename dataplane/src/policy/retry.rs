//! When a try is repeated, and after which pause. A setting of the engine, which makes the tries.
//!
//! The words are Envoy's, and so is their meaning. Whether a request *may* be sent again (its body is still held) is
//! the engine's question, not this module's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use smallvec::SmallVec;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Retry";

const DEFAULT_BASE: Duration = Duration::from_millis(25);

const DEFAULT_RESET_MAX: Duration = Duration::from_secs(300);

/// A set of retry conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryOn(u32);

impl RetryOn {
    /// Any 5xx, or no response at all.
    pub const FIVE_XX: Self = Self(1);
    /// 502, 503, 504, or no response at all.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// No response at all.
    pub const RESET: Self = Self(1 << 2);
    /// No response, and the request had not been sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    /// No connection.
    pub const CONNECT_FAILURE: Self = Self(1 << 4);
    /// The upstream says that it is rate limited (`x-envoy-ratelimited`).
    pub const RATE_LIMITED: Self = Self(1 << 5);
    /// 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 6);
    /// HTTP/2 REFUSED_STREAM.
    pub const REFUSED_STREAM: Self = Self(1 << 7);
    /// One of the listed statuses.
    pub const STATUS_CODES: Self = Self(1 << 8);
    /// gRPC status 1.
    pub const CANCELLED: Self = Self(1 << 9);
    /// gRPC status 4.
    pub const DEADLINE_EXCEEDED: Self = Self(1 << 10);
    /// gRPC status 13.
    pub const INTERNAL: Self = Self(1 << 11);
    /// gRPC status 8.
    pub const RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    /// gRPC status 14.
    pub const UNAVAILABLE: Self = Self(1 << 13);
    /// One of the listed fields is in the answer.
    pub const HEADERS: Self = Self(1 << 14);

    /// The condition of a word; words that are not known mean nothing, as in Envoy.
    fn of_word(word: &str) -> Self {
        match word.trim() {
            "5xx" => Self::FIVE_XX,
            "gateway-error" => Self::GATEWAY_ERROR,
            "reset" => Self::RESET,
            "reset-before-request" => Self::RESET_BEFORE_REQUEST,
            "connect-failure" => Self::CONNECT_FAILURE,
            "envoy-ratelimited" => Self::RATE_LIMITED,
            "retriable-4xx" => Self::RETRIABLE_4XX,
            "refused-stream" => Self::REFUSED_STREAM,
            "retriable-status-codes" => Self::STATUS_CODES,
            "cancelled" => Self::CANCELLED,
            "deadline-exceeded" => Self::DEADLINE_EXCEEDED,
            "internal" => Self::INTERNAL,
            "resource-exhausted" => Self::RESOURCE_EXHAUSTED,
            "unavailable" => Self::UNAVAILABLE,
            "retriable-headers" => Self::HEADERS,
            _ => Self::default(),
        }
    }

    /// Whether any condition of `other` is in this set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How a try ended without a response header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// No connection: refused, timed out, or the handshake failed.
    Connect,
    /// HTTP/2 REFUSED_STREAM: the upstream has done nothing.
    Refused,
    /// The connection or stream ended before anything of the request was sent.
    BeforeRequest,
    /// It ended later, or the limit of one try expired.
    AfterRequest,
}

/// When a try is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Conditions.
    pub on: RetryOn,
    /// Tries after the first.
    pub num_retries: u32,
    /// Limit of one try until its response header; none = the limit of the exchange alone.
    pub per_try_timeout: Option<Duration>,
    /// Pause before the first retry, at most.
    pub base_interval: Duration,
    /// Longest pause.
    pub max_interval: Duration,
    /// For `retriable-status-codes`.
    pub status_codes: SmallVec<[u16; 4]>,
    /// For `retriable-headers`.
    pub headers: Vec<HeaderName>,
    /// Fields of an answer that say when to come again; the first one that does counts.
    pub resets: SmallVec<[ResetHeader; 2]>,
    /// An answer that asks for a longer pause is not believed.
    pub reset_max: Duration,
}

/// A field that says when to come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetHeader {
    name: HeaderName,
    /// Its value is a moment, else a number of seconds.
    unix_timestamp: bool,
}

impl ResetHeader {
    fn pause(&self, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
        let mut values = headers.get_all(&self.name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let seconds = Duration::from_secs(value.to_str().ok()?.parse().ok()?);
        if !self.unix_timestamp {
            return Some(seconds);
        }
        UNIX_EPOCH.checked_add(seconds)?.duration_since(now).ok()
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            on: RetryOn::default(),
            num_retries: 1,
            per_try_timeout: None,
            base_interval: DEFAULT_BASE,
            max_interval: DEFAULT_BASE.saturating_mul(10),
            status_codes: SmallVec::new(),
            headers: Vec::new(),
            resets: SmallVec::new(),
            reset_max: DEFAULT_RESET_MAX,
        }
    }
}

/// The words of a list.
fn words(value: Option<&HeaderValue>) -> impl Iterator<Item = &str> {
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

impl Retry {
    /// Takes the fields out of a request by which a client asks for retries, and adds what they say. Whether the client
    /// may, has been decided.
    pub fn ask(&mut self, headers: &mut HeaderMap) {
        let [on, grpc_on, max, codes, names] = [
            "x-envoy-retry-on",
            "x-envoy-retry-grpc-on",
            "x-envoy-max-retries",
            "x-envoy-retriable-status-codes",
            "x-envoy-retriable-header-names",
        ]
        .map(|name| headers.remove(name));
        let more = words(on.as_ref()).chain(words(grpc_on.as_ref()));
        self.on = more.fold(self.on, |on, word| on.or(RetryOn::of_word(word)));
        if let Some(retries) = words(max.as_ref()).next().and_then(|text| text.parse().ok()) {
            self.num_retries = retries;
        }
        self.status_codes.extend(words(codes.as_ref()).filter_map(|text| text.parse::<u16>().ok()));
        self.headers
            .extend(words(names.as_ref()).filter_map(|text| HeaderName::from_bytes(text.as_bytes()).ok()));
    }

    /// It asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.on == RetryOn::default() && self.per_try_timeout.is_none()
    }

    /// Whether a response with this header asks for another try.
    #[must_use]
    pub fn wants_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let code = status.as_u16();
        // A rate limited upstream is asked again only on request: Envoy lets this header win over the status.
        if headers.contains_key("x-envoy-ratelimited") {
            return self.on.has(RetryOn::RATE_LIMITED);
        }
        if self.on.has(RetryOn::FIVE_XX) && status.is_server_error()
            || self.on.has(RetryOn::GATEWAY_ERROR) && matches!(code, 502..=504)
            || self.on.has(RetryOn::RETRIABLE_4XX) && code == 409
            || self.on.has(RetryOn::STATUS_CODES) && self.status_codes.contains(&code)
            || self.on.has(RetryOn::HEADERS) && self.headers.iter().any(|name| headers.contains_key(name))
        {
            return true;
        }
        // Trailers-only answers: the gRPC status is in the header.
        match headers.get("grpc-status").and_then(|value| value.to_str().ok()) {
            Some("1") => self.on.has(RetryOn::CANCELLED),
            Some("4") => self.on.has(RetryOn::DEADLINE_EXCEEDED),
            Some("8") => self.on.has(RetryOn::RESOURCE_EXHAUSTED),
            Some("13") => self.on.has(RetryOn::INTERNAL),
            Some("14") => self.on.has(RetryOn::UNAVAILABLE),
            _ => false,
        }
    }

    /// Whether a try that ended without a response header asks for another one.
    #[must_use]
    pub fn wants_reset(&self, reset: Reset) -> bool {
        let always = RetryOn::RESET.or(RetryOn::FIVE_XX).or(RetryOn::GATEWAY_ERROR);
        self.on.has(match reset {
            Reset::Connect => always.or(RetryOn::CONNECT_FAILURE).or(RetryOn::RESET_BEFORE_REQUEST),
            Reset::Refused => always.or(RetryOn::REFUSED_STREAM),
            Reset::BeforeRequest => always.or(RetryOn::RESET_BEFORE_REQUEST),
            Reset::AfterRequest => always,
        })
    }

    /// The pause that an answer asks for, if it is believed. Up to a half more keeps clients apart; `random` is in 0..1.
    #[must_use]
    pub fn asked_pause(&self, headers: &HeaderMap, now: SystemTime, random: f64) -> Option<Duration> {
        let pauses = self.resets.iter().filter_map(|reset| reset.pause(headers, now));
        let pause = pauses.into_iter().find(|pause| *pause <= self.reset_max)?;
        Some(pause.mul_f64(1.0 + random.clamp(0.0, 1.0) / 2.0))
    }

    /// Pause before retry number `retry` (1 is the first): a random part of an interval that doubles up to the
    /// longest. `random` is in 0..1.
    #[must_use]
    pub fn pause(&self, retry: u32, random: f64) -> Duration {
        let doubled = 1u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base_interval.saturating_mul(doubled).min(self.max_interval).mul_f64(random.clamp(0.0, 1.0))
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Retry = registry::decode(bytes)?;
    let base =
        if wire.base_interval_ms == 0 { DEFAULT_BASE } else { Duration::from_millis(wire.base_interval_ms) };
    let max = match wire.max_interval_ms {
        0 => base.saturating_mul(10),
        ms => Duration::from_millis(ms),
    };
    if max < base {
        return Err(Invalid::new("max_interval_ms", "is less than base_interval_ms"));
    }
    let mut status_codes = SmallVec::new();
    for (i, code) in wire.retriable_status_codes.iter().enumerate() {
        match u16::try_from(*code) {
            Ok(code @ 100..=599) => status_codes.push(code),
            _ => {
                return Err(Invalid::new(
                    format!("retriable_status_codes[{i}]"),
                    format!("bad status {code}"),
                ));
            }
        }
    }
    let on = wire
        .retry_on
        .iter()
        .flat_map(|words| words.split(','))
        .fold(RetryOn::default(), |set, word| set.or(RetryOn::of_word(word)));
    builder.retry(Retry {
        on,
        num_retries: wire.num_retries.max(1),
        per_try_timeout: (wire.per_try_timeout_ms > 0)
            .then(|| Duration::from_millis(wire.per_try_timeout_ms)),
        base_interval: base,
        max_interval: max,
        status_codes,
        headers: Vec::new(),
        resets: resets(&wire.reset_headers)?,
        reset_max: match wire.reset_max_interval_ms {
            0 => DEFAULT_RESET_MAX,
            ms => Duration::from_millis(ms),
        },
    });
    Ok(())
}

fn resets(wire: &[proto::ResetHeader]) -> Result<SmallVec<[ResetHeader; 2]>, Invalid> {
    let one = |(i, reset): (usize, &proto::ResetHeader)| {
        let name = HeaderName::from_bytes(reset.name.as_bytes()).map_err(|_| {
            Invalid::new(format!("reset_headers[{i}].name"), format!("bad header name \"{}\"", reset.name))
        })?;
        Ok(ResetHeader { name, unix_timestamp: reset.unix_timestamp })
    };
    wire.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn retry(words: &[&str], codes: &[u32]) -> Retry {
        let wire = proto::Retry {
            retry_on: words.iter().map(|w| (*w).to_owned()).collect(),
            retriable_status_codes: codes.to_vec(),
            ..Default::default()
        };
        let mut builder = PlanBuilder::default();
        install(&wire.encode_to_vec(), &mut builder).expect("valid");
        (*builder.plan().retry.expect("set")).clone()
    }

    fn wants(retry: &Retry, status: u16) -> bool {
        retry.wants_response(StatusCode::from_u16(status).expect("status"), &HeaderMap::new())
    }

    #[test]
    fn statuses_follow_their_words() {
        let five = retry(&["5xx"], &[]);
        assert!(wants(&five, 500) && wants(&five, 503) && !wants(&five, 404));
        let gateway = retry(&["gateway-error"], &[]);
        assert!(wants(&gateway, 502) && !wants(&gateway, 500));
        assert!(wants(&retry(&["retriable-4xx"], &[]), 409));
        let listed = retry(&["retriable-status-codes"], &[418]);
        assert!(wants(&listed, 418) && !wants(&listed, 503));
        assert!(!wants(&retry(&["5xy"], &[]), 500), "a word that is not known means nothing");
    }

    #[test]
    fn resets_follow_their_words() {
        for word in ["5xx", "gateway-error", "reset"] {
            assert!(retry(&[word], &[]).wants_reset(Reset::AfterRequest), "{word}");
        }
        let connect = retry(&["connect-failure,refused-stream"], &[]);
        assert!(connect.wants_reset(Reset::Connect) && connect.wants_reset(Reset::Refused));
        assert!(!connect.wants_reset(Reset::AfterRequest));
        let early = retry(&["reset-before-request"], &[]);
        assert!(early.wants_reset(Reset::BeforeRequest) && !early.wants_reset(Reset::AfterRequest));
    }

    #[test]
    fn grpc_statuses_of_trailers_only_answers_count() {
        let retry = retry(&["unavailable"], &[]);
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "14".parse().expect("value"));
        assert!(retry.wants_response(StatusCode::OK, &headers));
        headers.insert("grpc-status", "13".parse().expect("value"));
        assert!(!retry.wants_response(StatusCode::OK, &headers));
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        let retry = retry(&["5xx"], &[]);
        let pauses: Vec<_> = (1..=6).map(|n| retry.pause(n, 1.0).as_millis()).collect();
        assert_eq!(pauses, [25, 50, 100, 200, 250, 250]);
        assert_eq!(retry.pause(40, 1.0).as_millis(), 250);
        assert_eq!(retry.pause(3, 0.0), Duration::ZERO);
        assert_eq!(retry.num_retries, 1, "zero retries mean one");
    }

    #[test]
    fn an_answer_may_ask_for_a_pause() {
        let header = |name: &str, unix_timestamp| proto::ResetHeader { name: name.into(), unix_timestamp };
        let wire = proto::Retry {
            reset_headers: vec![header("retry-after", false), header("x-reset", true)],
            reset_max_interval_ms: 60_000,
            ..Default::default()
        };
        let mut builder = PlanBuilder::default();
        install(&wire.encode_to_vec(), &mut builder).expect("valid");
        let retry = builder.plan().retry.expect("set");
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let asked = |fields: &[(&'static str, &'static str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("value")));
            retry.asked_pause(&fields.collect(), now, 1.0).map(|pause| pause.as_millis())
        };
        assert_eq!(asked(&[("retry-after", "2")]), Some(3000));
        assert_eq!(asked(&[("retry-after", "61"), ("x-reset", "1010")]), Some(15_000), "too long");
        assert_eq!(asked(&[("retry-after", "soon"), ("x-reset", "999")]), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn bad_numbers_are_refused() {
        let bad = proto::Retry { base_interval_ms: 50, max_interval_ms: 10, ..Default::default() };
        assert!(install(&bad.encode_to_vec(), &mut PlanBuilder::default()).is_err());
        let bad = proto::Retry { retriable_status_codes: vec![99], ..Default::default() };
        assert!(install(&bad.encode_to_vec(), &mut PlanBuilder::default()).is_err());
    }
}
