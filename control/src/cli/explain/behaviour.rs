//! Policies in a few words each, for those that have no field of their own in an explanation.

use policy::text_match::How;
use portcullis_proto::policy::v1 as policy;
use prost::{Message, Name};
use prost_types::Any;
use std::time::Duration;

type Show = fn(&Any) -> Option<String>;

/// One per policy; a policy that changes nothing says nothing.
const SHOWN: &[Show] = &[
    |any| shown(any, fault),
    |any| shown(any, |early: policy::EarlyTransformation| transformation("early", early.stage)),
    |any| shown(any, cors),
    |any| shown(any, |regular: policy::Transformation| transformation("regular", regular.stage)),
    |any| shown(any, transcoder),
    |any| shown(any, csrf),
    |any| shown(any, buffer),
    |any| shown(any, upgrade),
    |any| shown(any, tracing),
    |any| shown(any, metadata),
    |any| shown(any, stream_limits),
    |any| shown(any, attempt_count),
    |any| shown(any, hash),
    |any| shown(any, ext_auth),
    |any| shown(any, local),
    |any| shown(any, early),
    |any| shown(any, regular),
    |any| shown(any, shadow),
    |any| shown(any, |it: policy::Buffer| format!("buffered up to {} bytes", it.max_request_bytes)),
    |any| shown(any, |it: policy::Compression| format!("compressed, level {}", it.level)),
    |any| {
        shown(
            any,
            |it: policy::GrpcWeb| if it.disabled { "gRPC-web passes".to_owned() } else { String::new() },
        )
    },
    |any| shown(any, |it: policy::HealthCheck| format!("{} answered by the gateway", it.path)),
    |any| shown(any, |_: policy::DynamicForwardProxy| "hosts of requests may be looked up".to_owned()),
];

/// What the policy does; `None` when it is not known here, empty when it does nothing.
pub(super) fn of(any: &Any) -> Option<String> {
    SHOWN.iter().find_map(|show| show(any))
}

/// Each that does something; one that is not known here by its type.
pub(super) fn all(policies: &[Any]) -> Vec<String> {
    let name = |any: &Any| any.type_url.rsplit('.').next().unwrap_or_default().to_owned();
    policies.iter().map(|any| of(any).unwrap_or_else(|| name(any))).filter(|text| !text.is_empty()).collect()
}

fn shown<M: Message + Name + Default>(any: &Any, show: impl Fn(M) -> String) -> Option<String> {
    if any.type_url != M::type_url() {
        return None;
    }
    M::decode(any.value.as_slice()).ok().map(show)
}

fn fault(fault: policy::Fault) -> String {
    let delay = (fault.delay_per_million > 0)
        .then(|| format!("{} delayed by {}", percent(fault.delay_per_million), duration(fault.delay_ms)));
    let abort = (fault.abort_per_million > 0)
        .then(|| format!("{} answered {}", percent(fault.abort_per_million), fault.abort_status));
    let parts: Vec<String> = delay.into_iter().chain(abort).collect();
    format!("faults: {}", parts.join(", "))
}

fn transcoder(transcoder: policy::GrpcJsonTranscoder) -> String {
    let services = transcoder.services.join(", ");
    let again =
        if transcoder.match_incoming_request_route { "" } else { ", on the route of their gRPC path" };
    format!("JSON requests are calls of {services}{again}")
}

fn hash(hash: policy::Hash) -> String {
    use policy::hash_key::Key;
    let key = |key: policy::HashKey| match key.key {
        Some(Key::Header(name)) => format!("header {name}"),
        Some(Key::Cookie(cookie)) => format!("cookie {}", cookie.name),
        Some(Key::SourceIp(_)) | None => "the client's address".to_owned(),
    };
    format!("endpoint by {}", hash.keys.into_iter().map(key).collect::<Vec<_>>().join(", "))
}

fn cors(cors: policy::Cors) -> String {
    let regexes = cors.origin_regexes.iter().map(|regex| format!("~{regex}"));
    let origins: Vec<String> = cors.origins.iter().cloned().chain(regexes).collect();
    let credentials = if cors.allow_credentials { ", with credentials" } else { "" };
    format!("cors for {}{credentials}", origins.join(", "))
}

fn csrf(csrf: policy::Csrf) -> String {
    let part = match (csrf.enforced_per_million, csrf.shadowed_per_million) {
        (0, 0) => return String::new(),
        (0, shadowed) => format!("{} only counted", percent(shadowed)),
        (enforced, _) => format!("{} checked", percent(enforced)),
    };
    let origins: Vec<String> = csrf.origins.iter().filter_map(|it| it.how.as_ref().map(text)).collect();
    let besides =
        if origins.is_empty() { String::new() } else { format!(", also from {}", origins.join(", ")) };
    format!("csrf: {part}{besides}")
}

fn buffer(buffer: policy::BufferPerRoute) -> String {
    match buffer.disabled {
        true => "not buffered".to_owned(),
        false => format!("buffered up to {} bytes, if its listener buffers", buffer.max_request_bytes),
    }
}

fn upgrade(upgrade: policy::Upgrade) -> String {
    let allowed = |allowed: bool| if allowed { "allowed" } else { "refused" };
    let websocket = upgrade.websocket.map(|may| format!("websocket {}", allowed(may)));
    let ends = if upgrade.connect_terminates { ", ends here" } else { "" };
    let connect = upgrade.connect.map(|may| format!("CONNECT {}{ends}", allowed(may)));
    websocket.into_iter().chain(connect).collect::<Vec<_>>().join(", ")
}

fn metadata(metadata: policy::Metadata) -> String {
    let names: Vec<&str> = metadata.namespaces.iter().map(|it| it.name.as_str()).collect();
    format!("metadata of {}", names.join(", "))
}

fn tracing(tracing: policy::Tracing) -> String {
    let name = (!tracing.descriptor.is_empty()).then(|| format!("span {}", tracing.descriptor));
    let kept = tracing.no_propagation.then(|| "context not told to the upstream".to_owned());
    let part = |share: u32| percent(share.saturating_mul(100));
    let every = |it: &policy::tracing::Shares| [it.random, it.client, it.overall] == [10_000; 3];
    let shares = tracing.shares.filter(|it| !every(it)).map(|it| {
        let cap = if it.overall < 10_000 { format!(", at most {}", part(it.overall)) } else { String::new() };
        format!("{} of requests, {} of those that ask{cap}", part(it.random), part(it.client))
    });
    let parts: Vec<String> = name.into_iter().chain(kept).chain(shares).collect();
    if parts.is_empty() { String::new() } else { format!("traces: {}", parts.join(", ")) }
}

fn stream_limits(limits: policy::StreamLimits) -> String {
    let limit = |name: &str, value: Option<u64>| {
        value.map(
            |ms| if ms == 0 { format!("no limit of {name}") } else { format!("{name} {}", duration(ms)) },
        )
    };
    let grpc = limits.grpc_timeout_max_ms.map(|max| match max {
        0 => "life as grpc-timeout says".to_owned(),
        max => format!("life as grpc-timeout says, up to {}", duration(max)),
    });
    let parts = [limit("silence", limits.idle_ms), limit("life", limits.max_ms), grpc];
    format!("stream: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn attempt_count(count: policy::AttemptCount) -> String {
    match (count.request, count.response) {
        (true, true) => "number of tries told to the upstream and the client".to_owned(),
        (true, false) => "number of tries told to the upstream".to_owned(),
        (false, _) => "number of tries told to the client".to_owned(),
    }
}

/// `transformation (early): requests: set x-a, body replaced; responses with :status: remove x-b`.
fn transformation(stage: &str, content: Option<policy::TransformationStage>) -> String {
    let content = content.unwrap_or_default();
    let clear = |on: bool| if on { Some("route chosen again".to_owned()) } else { None };
    let requests = content.requests.iter().flat_map(|rule| {
        let some = if rule.r#match.is_some() { " that match" } else { "" };
        let request = rule.request.as_ref().map(changes).into_iter().flatten().chain(clear(rule.clear_route));
        let request: Vec<String> = request.collect();
        let response: Vec<String> = rule.response.as_ref().map(changes).unwrap_or_default();
        let said = |what: &str, list: Vec<String>| {
            (!list.is_empty()).then(|| format!("{what}{some}: {}", list.join(", ")))
        };
        [said("requests", request), said("their responses", response)]
    });
    let responses = content.responses.iter().map(|rule| {
        let names: Vec<&str> = rule.headers.iter().map(|header| header.name.as_str()).collect();
        let on = if names.is_empty() { String::new() } else { format!(" by {}", names.join(" and ")) };
        let list = rule.response.as_ref().map(changes).unwrap_or_default();
        (!list.is_empty()).then(|| format!("responses{on}: {}", list.join(", ")))
    });
    let parts: Vec<String> = requests.chain(responses).flatten().collect();
    if parts.is_empty() { String::new() } else { format!("transformation ({stage}): {}", parts.join("; ")) }
}

fn changes(transform: &policy::Transform) -> Vec<String> {
    use policy::template_transform::Body;
    let template = match &transform.kind {
        Some(policy::transform::Kind::Template(template)) => template,
        Some(policy::transform::Kind::Envelope(_)) => return vec!["headers and body as JSON".to_owned()],
        None => return Vec::new(),
    };
    let body = template.body.as_ref().and_then(|body| match body {
        Body::Replace(_) => Some("body replaced".to_owned()),
        Body::Passthrough(_) => None,
        Body::MergeExtractors(_) => Some("extractors merged into the body".to_owned()),
        Body::MergeKeys(keys) => {
            let keys: Vec<&str> = keys.keys.iter().map(|key| key.key.as_str()).collect();
            Some(format!("body keys {}", keys.join(", ")))
        }
    });
    let set = template.set.iter().map(|header| format!("set {}", header.name));
    let remove = template.remove.iter().map(|name| format!("remove {name}"));
    let append = template.append.iter().map(|header| format!("add {}", header.name));
    let metadata = template.metadata.iter().map(|it| format!("metadata {}:{}", it.namespace, it.key));
    set.chain(remove).chain(append).chain(body).chain(metadata).collect()
}

fn ext_auth(auth: policy::ExtAuth) -> String {
    if auth.disabled {
        return String::new();
    }
    let otherwise = if auth.failure_mode_allow { ", passes without an answer" } else { "" };
    format!("auth asked of {} within {}{otherwise}", auth.upstream, duration(auth.timeout_ms))
}

fn local(limit: policy::LocalRateLimit) -> String {
    let bucket = limit.bucket.unwrap_or_default();
    let (tokens, interval) = (bucket.tokens_per_fill, duration(bucket.fill_interval_ms));
    let each = if limit.per_connection { " for each connection" } else { "" };
    format!("{} requests at once, {tokens} more each {interval}{each}", bucket.max_tokens)
}

fn early(early: policy::EarlyRateLimit) -> String {
    early.limit.map(|limit| asked(&limit, "before authentication")).unwrap_or_default()
}

fn regular(limit: policy::RateLimit) -> String {
    asked(&limit, "after authentication")
}

fn asked(limit: &policy::RateLimit, place: &str) -> String {
    let otherwise = if limit.deny_on_fail { "denied" } else { "passes" };
    let count = limit.descriptors.len();
    format!(
        "rate limit asked of {} {place}, {count} descriptors, {otherwise} without an answer",
        limit.upstream
    )
}

fn shadow(shadow: policy::Shadow) -> String {
    format!("{} copied to {}", percent(shadow.per_million), shadow.upstream)
}

fn text(how: &How) -> String {
    match how {
        How::Exact(text) => text.clone(),
        How::Prefix(text) => format!("{text}.."),
        How::Suffix(text) => format!("..{text}"),
        How::Regex(text) => format!("~{text}"),
    }
}

/// `12.5%`.
fn percent(per_million: u32) -> String {
    format!("{}%", f64::from(per_million) / 10_000.0)
}

fn duration(milliseconds: u64) -> String {
    humantime::format_duration(Duration::from_millis(milliseconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any<M: Name>(message: &M) -> Any {
        Any { type_url: M::type_url(), value: message.encode_to_vec() }
    }

    #[test]
    fn policies_are_told_in_a_few_words() {
        let fault = policy::Fault {
            delay_per_million: 125_000,
            delay_ms: 1500,
            abort_per_million: 1_000_000,
            abort_status: 418,
        };
        assert_eq!(of(&any(&fault)).unwrap(), "faults: 12.5% delayed by 1s 500ms, 100% answered 418");
        let cors = policy::Cors {
            origins: vec!["https://a".into()],
            origin_regexes: vec!["https://.*".into()],
            allow_credentials: true,
            ..Default::default()
        };
        assert_eq!(of(&any(&cors)).unwrap(), "cors for https://a, ~https://.*, with credentials");
        let suffix = policy::TextMatch { how: Some(How::Suffix(".b".into())), ignore_case: false };
        let csrf =
            policy::Csrf { enforced_per_million: 1_000_000, shadowed_per_million: 0, origins: vec![suffix] };
        assert_eq!(of(&any(&csrf)).unwrap(), "csrf: 100% checked, also from ...b");
        let header = |name: &str| policy::HeaderTemplate { name: name.into(), text: "{{ x }}".into() };
        let template = policy::TemplateTransform {
            set: vec![header("x-a")],
            remove: vec!["x-b".into()],
            body: Some(policy::template_transform::Body::Replace("{}".into())),
            ..Default::default()
        };
        let kind = Some(policy::transform::Kind::Template(template));
        let request = policy::RequestTransform {
            request: Some(policy::Transform { kind, log: false }),
            clear_route: true,
            ..Default::default()
        };
        let stage = policy::TransformationStage { requests: vec![request], ..Default::default() };
        assert_eq!(
            of(&any(&policy::EarlyTransformation { stage: Some(stage) })).unwrap(),
            "transformation (early): requests: set x-a, remove x-b, body replaced, route chosen again"
        );
        assert_eq!(of(&any(&policy::Transformation::default())).unwrap(), "");
        assert_eq!(of(&any(&policy::Csrf::default())).unwrap(), "");
        assert_eq!(of(&Any::default()), None);
    }
}
