//! Questions to a user's own rate limit server (Envoy's RateLimitService, version 3): is this one request too many?
//!
//! Owns the descriptors that a request makes and the reading of the answer. There are two places for it in the order of
//! policies, before authentication and after it, with a message each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::extensions::common::ratelimit::v3 as descriptor;
use portcullis_proto::envoy::service::ratelimit::v3 as rls;
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::pattern;
use proto::rate_limit_action::Action as WireAction;
use proto::rate_limit_header::Value as WireValue;
use regex::Regex;
use rls::rate_limit_response::{Code, DescriptorStatus, rate_limit::Unit};

use super::told;
use crate::policy::metadata::Metadata;
use crate::policy::{
    Answer, LocalReply, PlanBuilder, Policy, RequestCx, ResponseCx, Resume, Verdict, registry,
};
use crate::proxy::callout::{GrpcCall, GrpcError};

pub(in crate::policy) const EARLY: &str = "/portcullis.policy.v1.EarlyRateLimit";
pub(in crate::policy) const REGULAR: &str = "/portcullis.policy.v1.RateLimit";

/// Where what a server notes stands among the metadata of a request.
const NAMESPACE: &str = "envoy.filters.http.ratelimit";
const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/// Bytes of an answer.
const ANSWER_BYTES: usize = 1024 * 1024;
const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
/// What Envoy calls itself under Gloo (`node.cluster`).
const SOURCE_CLUSTER: &str = "gateway";

#[derive(Debug)]
struct RateLimit(Arc<Rule>);

#[derive(Debug)]
struct Rule {
    upstream: Arc<str>,
    authority: Option<Box<str>>,
    domain: String,
    timeout: Duration,
    deny_on_fail: bool,
    headers: bool,
    descriptors: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    actions: Vec<Action>,
    /// Where a request may bring its limit.
    limit: Option<Path>,
}

/// A place in metadata.
#[derive(Debug)]
struct Path {
    namespace: String,
    keys: Vec<String>,
}

/// Gives one entry of a descriptor.
#[derive(Debug)]
enum Action {
    Header { name: Name, key: String, skip_if_absent: bool },
    RemoteAddress,
    Constant { key: String, value: String },
    HeaderMatch { value: String, expected: bool, headers: Vec<Condition> },
    DestinationCluster,
    Metadata { key: String, path: Path, of_route: bool, default: String },
}

/// What an action gives.
enum Given {
    Entry(Entry),
    Nothing,
    /// There is no question then.
    Missing,
}

/// A field, or what HTTP/2 would have as one.
#[derive(Debug)]
enum Name {
    Field(HeaderName),
    Method,
    Path,
    Authority,
    Scheme,
}

#[derive(Debug)]
struct Condition {
    name: Name,
    invert: bool,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Present(bool),
    Exact(String),
    Regex(Regex),
    Prefix(String),
    Suffix(String),
    Range(i64, i64),
}

/// What the response gets.
#[derive(Default)]
struct Told(Vec<(HeaderName, HeaderValue)>);

type Entry = descriptor::rate_limit_descriptor::Entry;

impl Policy for RateLimit {
    fn request(&self, cx: &mut RequestCx<'_>) -> Verdict {
        let rule = &self.0;
        let descriptors = rule.descriptors(cx);
        if descriptors.is_empty() {
            return Verdict::Continue;
        }
        let Some(upstream) = cx.runtime().upstream(&rule.upstream).cloned() else {
            return rule.failed("no such upstream");
        };
        let question = rls::RateLimitRequest { domain: rule.domain.clone(), descriptors, hits_addend: 0 };
        let call = GrpcCall {
            method: METHOD,
            authority: rule.authority.clone(),
            metadata: HeaderMap::new(),
            timeout: rule.timeout,
            answer_limit: ANSWER_BYTES,
        };
        let asking = cx.services.caller().unary(upstream, call, &question);
        let rule = rule.clone();
        Verdict::Wait(Box::pin(async move {
            let answer = asking.await;
            let resume: Resume = Box::new(move |cx| rule.decided(answer, cx));
            resume
        }))
    }

    fn response(&self, cx: &mut ResponseCx<'_>) -> Answer {
        // Both places may have asked; the first of them that sees the response says it all.
        if let Some(Told(fields)) = cx.slots.get_mut::<Told>().map(std::mem::take) {
            for (name, value) in fields {
                cx.headers.append(&name, value);
            }
        }
        Answer::Continue
    }
}

impl Rule {
    fn descriptors(&self, cx: &RequestCx<'_>) -> Vec<descriptor::RateLimitDescriptor> {
        let one = |question: &Question| {
            let mut entries = Vec::with_capacity(question.actions.len());
            for action in &question.actions {
                match action.entry(cx) {
                    Given::Entry(entry) => entries.push(entry),
                    Given::Nothing => {}
                    Given::Missing => return None,
                }
            }
            let limit = question.limit.as_ref().and_then(|path| limit_of(path.find(cx.slots.get())?));
            (!entries.is_empty()).then_some(descriptor::RateLimitDescriptor { entries, limit })
        };
        self.descriptors.iter().filter_map(one).collect()
    }

    fn decided(&self, answer: Result<rls::RateLimitResponse, GrpcError>, cx: &mut RequestCx<'_>) -> Verdict {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.failed(&error.to_string()),
        };
        if let Some(noted) = answer.dynamic_metadata.clone() {
            Metadata::note_all(cx.slots, NAMESPACE, noted);
        }
        let mut fields = fields(&answer.response_headers_to_add);
        if self.headers {
            fields.extend(self::remaining(&answer.statuses));
        }
        match answer.overall_code() {
            Code::Unknown => self.failed("the answer has no code"),
            Code::Ok => {
                for (name, value) in self::fields(&answer.request_headers_to_add) {
                    cx.headers.append(&name, value);
                }
                if !fields.is_empty() {
                    match cx.slots.get_mut::<Told>() {
                        Some(Told(all)) => all.extend(fields),
                        None => cx.slots.put(Told(fields)),
                    }
                }
                Verdict::Continue
            }
            Code::OverLimit => {
                fields.push((RATE_LIMITED, HeaderValue::from_static("true")));
                Verdict::Reply(LocalReply {
                    status: StatusCode::TOO_MANY_REQUESTS,
                    reason: "request_rate_limited",
                    flag: "RL",
                    headers: fields,
                    body: answer.raw_body.into(),
                })
            }
        }
    }

    fn failed(&self, why: &str) -> Verdict {
        tracing::debug!(upstream = &*self.upstream, why, "the rate limit server gave no answer");
        if !self.deny_on_fail {
            return Verdict::Continue;
        }
        Verdict::Reply(LocalReply {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            reason: "rate_limiter_error",
            flag: "RLSE",
            headers: Vec::new(),
            body: Bytes::new(),
        })
    }
}

/// Fields that can be fields; framing is not the server's.
fn fields(list: &[core::HeaderValue]) -> Vec<(HeaderName, HeaderValue)> {
    let one = |header: &core::HeaderValue| {
        let name = HeaderName::from_bytes(header.key.to_ascii_lowercase().as_bytes()).ok()?;
        let bytes = if header.value.is_empty() { &header.raw_value[..] } else { header.value.as_bytes() };
        let framing = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::HOST];
        Some((name, HeaderValue::from_bytes(bytes).ok()?)).filter(|(name, _)| !framing.contains(name))
    };
    list.iter().filter_map(one).collect()
}

/// What is left of the limit that has least, with all limits behind it.
fn remaining(statuses: &[DescriptorStatus]) -> Vec<(HeaderName, HeaderValue)> {
    let limited: Vec<_> = statuses.iter().filter_map(|it| Some((it, it.current_limit.as_ref()?))).collect();
    let Some((least, limit)) = limited.iter().min_by_key(|(status, _)| status.limit_remaining) else {
        return Vec::new();
    };
    let mut text = limit.requests_per_unit.to_string();
    for (_, limit) in &limited {
        let Some(window) = seconds(limit.unit()) else { continue };
        text.push_str(&format!(", {};w={window}", limit.requests_per_unit));
        if !limit.name.is_empty() {
            text.push_str(&format!(";name=\"{}\"", limit.name));
        }
    }
    let reset = least.duration_until_reset.as_ref().map_or(0, |duration| duration.seconds);
    told(&text, least.limit_remaining.into(), u64::try_from(reset).unwrap_or(0)).into()
}

fn seconds(unit: Unit) -> Option<u64> {
    const DAY: u64 = 86_400;
    match unit {
        Unit::Unknown => None,
        Unit::Second => Some(1),
        Unit::Minute => Some(60),
        Unit::Hour => Some(3600),
        Unit::Day => Some(DAY),
        Unit::Week => Some(7 * DAY),
        Unit::Month => Some(30 * DAY),
        Unit::Year => Some(365 * DAY),
    }
}

impl Path {
    fn new(wire: proto::MetadataPath) -> Self {
        Path { namespace: wire.namespace, keys: wire.keys }
    }

    fn find<'m>(&self, metadata: Option<&'m Metadata>) -> Option<&'m serde_json::Value> {
        metadata?.find(&self.namespace, self.keys.iter().map(String::as_str))
    }
}

/// `{"requests_per_unit": 10, "unit": "HOUR"}` as the limit of a question.
fn limit_of(value: &serde_json::Value) -> Option<descriptor::rate_limit_descriptor::RateLimitOverride> {
    let requests = value.get("requests_per_unit")?.as_u64()?;
    let unit = Unit::from_str_name(value.get("unit")?.as_str()?)?;
    Some(descriptor::rate_limit_descriptor::RateLimitOverride {
        requests_per_unit: u32::try_from(requests).unwrap_or(u32::MAX),
        unit: unit.into(),
    })
}

impl Action {
    fn entry(&self, cx: &RequestCx<'_>) -> Given {
        let entry = |key: &str, value: &str| Given::Entry(Entry { key: key.into(), value: value.into() });
        match self {
            Action::Header { name, key, skip_if_absent } => match name.value(cx) {
                Some(value) => entry(key, &String::from_utf8_lossy(value)),
                None if *skip_if_absent => Given::Nothing,
                None => Given::Missing,
            },
            Action::RemoteAddress => {
                entry("remote_address", &cx.facts.client.ip().to_canonical().to_string())
            }
            Action::Constant { key, value } => entry(key, value),
            Action::HeaderMatch { value, expected, headers } => {
                let all = headers.iter().all(|condition| condition.holds(cx));
                if all == *expected { entry("header_match", value) } else { Given::Missing }
            }
            Action::DestinationCluster => {
                cx.facts.upstream.map_or(Given::Missing, |name| entry("destination_cluster", name))
            }
            Action::Metadata { key, path, of_route, default } => {
                let all = if *of_route { cx.facts.metadata } else { cx.slots.get() };
                let found = path.find(all).and_then(serde_json::Value::as_str).unwrap_or_default();
                match [found, default].into_iter().find(|text| !text.is_empty()) {
                    Some(text) => entry(key, text),
                    None => Given::Missing,
                }
            }
        }
    }
}

impl Name {
    fn new(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            ":method" => Name::Method,
            ":path" => Name::Path,
            ":authority" | "host" => Name::Authority,
            ":scheme" => Name::Scheme,
            _ => Name::Field(
                HeaderName::from_bytes(text.as_bytes())
                    .map_err(|_| Invalid::new("name", format!("bad header name \"{text}\"")))?,
            ),
        })
    }

    fn value<'a>(&self, cx: &'a RequestCx<'_>) -> Option<&'a [u8]> {
        match self {
            Name::Field(name) => cx.headers.map().get(name).map(HeaderValue::as_bytes),
            Name::Method => Some(cx.method().as_bytes()),
            Name::Path => Some(cx.path().as_bytes()),
            Name::Authority => Some(cx.authority().as_bytes()),
            Name::Scheme => Some(cx.facts.scheme.as_bytes()),
        }
    }
}

impl Condition {
    fn holds(&self, cx: &RequestCx<'_>) -> bool {
        let found = self.name.value(cx);
        let holds = match (&self.value, found) {
            (Value::Present(wanted), found) => found.is_some() == *wanted,
            // A field that is not there has no value that could fit or not.
            (_, None) => return false,
            (Value::Exact(text), Some(value)) => value == text.as_bytes(),
            (Value::Prefix(text), Some(value)) => value.starts_with(text.as_bytes()),
            (Value::Suffix(text), Some(value)) => value.ends_with(text.as_bytes()),
            (Value::Regex(regex), Some(value)) => {
                std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text))
            }
            (Value::Range(start, end), Some(value)) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
        };
        holds != self.invert
    }
}

pub(in crate::policy) fn install_early(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::EarlyRateLimit = registry::decode(bytes)?;
    let limit = wire.limit.ok_or_else(|| Invalid::new("limit", "is not set"))?;
    builder.push(EARLY, Arc::new(RateLimit(Arc::new(rule(limit).map_err(|e| e.under("limit"))?))));
    Ok(())
}

pub(in crate::policy) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::RateLimit = registry::decode(bytes)?;
    builder.push(REGULAR, Arc::new(RateLimit(Arc::new(rule(wire)?))));
    Ok(())
}

fn rule(wire: proto::RateLimit) -> Result<Rule, Invalid> {
    let descriptors = wire.descriptors.iter().enumerate().map(|(i, descriptor)| {
        let actions = descriptor.actions.iter().enumerate();
        let actions = actions.map(|(j, it)| action(it).map_err(|e| e.under(format!("actions[{j}]"))));
        let actions: Result<Vec<Action>, Invalid> = actions.collect();
        let actions = actions.map_err(|e| e.under(format!("descriptors[{i}]")))?;
        Ok(Question { actions, limit: descriptor.limit.clone().map(Path::new) })
    });
    if wire.upstream.is_empty() && !wire.descriptors.is_empty() {
        return Err(Invalid::new("upstream", "is empty"));
    }
    Ok(Rule {
        upstream: wire.upstream.into(),
        authority: Some(wire.authority).filter(|text| !text.is_empty()).map(Into::into),
        domain: wire.domain,
        timeout: Duration::from_millis(wire.timeout_ms.max(1)),
        deny_on_fail: wire.deny_on_fail,
        headers: wire.headers,
        descriptors: descriptors.collect::<Result<_, _>>()?,
    })
}

fn action(wire: &proto::RateLimitAction) -> Result<Action, Invalid> {
    let constant = |key: &str, value: &str| Action::Constant { key: key.to_owned(), value: value.to_owned() };
    Ok(match wire.action.as_ref().ok_or_else(|| Invalid::new("action", "is not set"))? {
        WireAction::RequestHeaders(it) => {
            let name = Name::new(&it.header_name)?;
            Action::Header { name, key: it.descriptor_key.clone(), skip_if_absent: it.skip_if_absent }
        }
        WireAction::RemoteAddress(_) => Action::RemoteAddress,
        WireAction::GenericKey(value) => constant("generic_key", value),
        WireAction::DestinationCluster(_) => Action::DestinationCluster,
        WireAction::SourceCluster(_) => constant("source_cluster", SOURCE_CLUSTER),
        WireAction::Metadata(it) => Action::Metadata {
            key: it.descriptor_key.clone(),
            path: Path::new(it.path.clone().ok_or_else(|| Invalid::new("metadata.path", "is not set"))?),
            of_route: it.of_route,
            default: it.default_value.clone(),
        },
        WireAction::HeaderValueMatch(it) => {
            let headers = it.headers.iter().enumerate();
            let headers = headers.map(|(i, it)| condition(it).map_err(|e| e.under(format!("headers[{i}]"))));
            Action::HeaderMatch {
                value: it.descriptor_value.clone(),
                expected: !it.expect_mismatch,
                headers: headers.collect::<Result<_, _>>()?,
            }
        }
    })
}

fn condition(wire: &proto::RateLimitHeader) -> Result<Condition, Invalid> {
    let value = match wire.value.as_ref().ok_or_else(|| Invalid::new("value", "is not set"))? {
        WireValue::Present(wanted) => Value::Present(*wanted),
        WireValue::Exact(text) => Value::Exact(text.clone()),
        WireValue::Prefix(text) => Value::Prefix(text.clone()),
        WireValue::Suffix(text) => Value::Suffix(text.clone()),
        WireValue::Regex(text) => Value::Regex(pattern::full(text).map_err(|e| Invalid::new("regex", e))?),
        WireValue::Range(range) => Value::Range(range.start, range.end),
    };
    Ok(Condition { name: Name::new(&wire.name)?, invert: wire.invert, value })
}

#[cfg(test)]
mod tests {
    use proto::rate_limit_action as on;
    use rls::rate_limit_response::RateLimit as Limit;

    use super::*;
    use crate::policy::testing::{Request, lines, map};

    fn of(actions: Vec<WireAction>) -> Rule {
        let actions =
            actions.into_iter().map(|action| proto::RateLimitAction { action: Some(action) }).collect();
        let limit = Some(proto::MetadataPath { namespace: "ns".into(), keys: vec!["limit".into()] });
        let descriptors = vec![proto::Descriptor { actions, limit }];
        rule(proto::RateLimit { upstream: "rls".into(), descriptors, ..Default::default() }).expect("valid")
    }

    fn entries(rule: &Rule, request: &mut Request) -> Option<Vec<String>> {
        let descriptors = rule.descriptors(&request.cx());
        let entries = descriptors.into_iter().next()?.entries;
        Some(entries.into_iter().map(|entry| format!("{}={}", entry.key, entry.value)).collect())
    }

    fn header(name: &str, key: &str) -> on::RequestHeaders {
        on::RequestHeaders { header_name: name.into(), descriptor_key: key.into(), skip_if_absent: false }
    }

    #[test]
    fn metadata_is_an_entry_or_its_default_or_no_question() {
        let metadata = |keys: &[&str], of_route, default: &str| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            WireAction::Metadata(on::Metadata {
                descriptor_key: "m".into(),
                path: Some(proto::MetadataPath { namespace: "ns".into(), keys }),
                of_route,
                default_value: default.into(),
            })
        };
        let mut request = Request::default();
        Metadata::note(&mut request.slots, "ns", "user", serde_json::json!({"id": "ann", "age": 7}));
        let mut one = |action| entries(&of(vec![action]), &mut request);
        let given = |text: &str| Some(vec![format!("m={text}")]);
        assert_eq!(one(metadata(&["user", "id"], false, "none")), given("ann"));
        assert_eq!(one(metadata(&["user", "age"], false, "none")), given("none"), "texts only");
        assert_eq!(one(metadata(&["user", "id"], true, "none")), given("none"), "the route has none");
        assert_eq!(one(metadata(&["user", "name"], false, "")), None);
    }

    #[test]
    fn a_request_may_bring_its_limit() {
        let rule = of(vec![WireAction::GenericKey("k".into())]);
        let mut request = Request::default();
        let mut limit = |value| {
            Metadata::note(&mut request.slots, "ns", "limit", value);
            let limit = rule.descriptors(&request.cx()).remove(0).limit?;
            Some((limit.requests_per_unit, limit.unit))
        };
        use serde_json::json;
        assert_eq!(limit(json!({"requests_per_unit": 5, "unit": "HOUR"})), Some((5, 3)));
        assert_eq!(limit(json!({"requests_per_unit": 5, "unit": "YEARS"})), None);
        assert_eq!(limit(json!("5")), None);
    }

    #[test]
    fn actions_make_a_descriptor_in_their_order() {
        let header = header(":path", "p");
        let rule = of(vec![
            WireAction::GenericKey("k".into()),
            WireAction::RemoteAddress(on::RemoteAddress {}),
            WireAction::RequestHeaders(header),
            WireAction::DestinationCluster(on::DestinationCluster {}),
            WireAction::SourceCluster(on::SourceCluster {}),
        ]);
        let wanted = [
            "generic_key=k",
            "remote_address=10.1.2.3",
            "p=/p?q=1",
            "destination_cluster=petstore_gloo-system",
            "source_cluster=gateway",
        ];
        assert_eq!(entries(&rule, &mut Request::default()), Some(wanted.map(String::from).to_vec()));
    }

    #[test]
    fn a_header_that_is_not_there_makes_no_descriptor() {
        let rule = |skip_if_absent| {
            let header = on::RequestHeaders { skip_if_absent, ..header("x-a", "a") };
            of(vec![WireAction::GenericKey("k".into()), WireAction::RequestHeaders(header)])
        };
        let skipped = entries(&rule(true), &mut Request::default());
        assert_eq!(skipped, Some(vec!["generic_key=k".into()]));
        let rule = rule(false);
        assert_eq!(entries(&rule, &mut Request::default()), None);
        let there = entries(&rule, &mut Request::with(&[("x-a", "1")]));
        assert_eq!(there, Some(vec!["generic_key=k".into(), "a=1".into()]));
    }

    #[test]
    fn header_conditions_decide_about_an_entry() {
        use WireValue::{Exact, Prefix, Present, Range, Regex, Suffix};
        let range = |start, end| Range(proto::rate_limit_header::Range { start, end });
        let matches = |value: WireValue, invert: bool, expect_mismatch: bool, headers| {
            let header = proto::RateLimitHeader { name: "x-n".into(), invert, value: Some(value) };
            let headers_of = vec![header];
            let action =
                on::HeaderValueMatch { descriptor_value: "m".into(), expect_mismatch, headers: headers_of };
            let rule = of(vec![WireAction::HeaderValueMatch(action)]);
            entries(&rule, &mut Request::with(headers)).is_some()
        };
        let there: &[_] = &[("x-n", "15")];
        for (value, holds) in [
            (Present(true), true),
            (Present(false), false),
            (Exact("15".into()), true),
            (Exact("1".into()), false),
            (Prefix("1".into()), true),
            (Suffix("5".into()), true),
            (Suffix("1".into()), false),
            (Regex("[0-9]+".into()), true),
            (Regex("[0-9]".into()), false),
            (range(10, 16), true),
            (range(10, 15), false),
        ] {
            assert_eq!(matches(value.clone(), false, false, there), holds, "{value:?}");
            assert_eq!(matches(value.clone(), true, false, there), !holds, "{value:?} inverted");
            assert_eq!(matches(value.clone(), false, true, there), !holds, "{value:?} not expected");
        }
        assert!(!matches(Exact("15".into()), true, false, &[]), "no value, inverted or not");
        assert!(matches(Present(true), true, false, &[]));
    }

    fn answer(code: Code) -> rls::RateLimitResponse {
        let status = |remaining, per_unit, unit: Unit| DescriptorStatus {
            limit_remaining: remaining,
            current_limit: Some(Limit {
                requests_per_unit: per_unit,
                unit: unit.into(),
                name: String::new(),
            }),
            duration_until_reset: Some(prost_types::Duration { seconds: 9, nanos: 0 }),
            ..Default::default()
        };
        rls::RateLimitResponse {
            overall_code: code.into(),
            statuses: vec![status(5, 10, Unit::Minute), status(2, 3, Unit::Hour)],
            response_headers_to_add: vec![core::HeaderValue {
                key: "X-Plan".into(),
                value: "free".into(),
                raw_value: vec![],
            }],
            ..Default::default()
        }
    }

    #[test]
    fn the_answer_lets_pass_denies_or_is_none() {
        let rule = Rule { headers: true, ..of(vec![WireAction::GenericKey("k".into())]) };
        let mut request = Request::default();
        assert!(matches!(rule.decided(Ok(answer(Code::Ok)), &mut request.cx()), Verdict::Continue));
        let told =
            request.slots.get::<Told>().map(|told| told.0.iter().cloned().collect()).unwrap_or_default();
        let wanted = [
            "x-plan: free",
            "x-ratelimit-limit: 3, 10;w=60, 3;w=3600",
            "x-ratelimit-remaining: 2",
            "x-ratelimit-reset: 9",
        ];
        assert_eq!(lines(&told), wanted);
        let Verdict::Reply(reply) = rule.decided(Ok(answer(Code::OverLimit)), &mut request.cx()) else {
            panic!("passed")
        };
        assert_eq!((reply.status.as_u16(), reply.flag), (429, "RL"));
        assert!(reply.headers.contains(&(RATE_LIMITED, HeaderValue::from_static("true"))));

        assert!(matches!(rule.failed("x"), Verdict::Continue));
        let rule = Rule { deny_on_fail: true, ..rule };
        for verdict in [rule.failed("x"), rule.decided(Ok(answer(Code::Unknown)), &mut request.cx())] {
            let Verdict::Reply(reply) = verdict else { panic!("passed") };
            assert_eq!((reply.status.as_u16(), reply.flag), (500, "RLSE"));
        }
        assert!(map(&[]).is_empty());
    }
}
