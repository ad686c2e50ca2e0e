//! The actions of a rate limit, checked: what a question to the server consists of.

use http::HeaderName;
use portcullis_proto::policy::v1 as wire;
use portcullis_shared::routing::pattern;
use wire::rate_limit_action as on;

use super::Found;
use crate::resource::{
    MetadataKey, MetadataSource, RateLimitAction, RateLimitActions, RateLimitHeaderMatcher,
    RateLimitHeaderValueMatch, RateLimitMetadata,
};
use crate::translate::Notes;

/// One action of a list, for what is said about it.
struct Place<'a, 's> {
    limits: &'a Found<'s, Vec<RateLimitActions>>,
    path: String,
    notes: &'a mut Notes,
}

impl Place<'_, '_> {
    fn error(&mut self, inside: &str, message: impl Into<String>) {
        self.limits.error(self.notes, &format!("{}{inside}", self.path), message);
    }

    /// Gloo's words for what is not there.
    fn needs(&mut self, field: &str, text: &str) -> Option<String> {
        if text.is_empty() {
            self.error(&format!(".{field}"), format!("Missing required field in ratelimit action: {field}"));
            return None;
        }
        Some(text.to_owned())
    }

    fn header(&mut self, field: &str, name: &str) -> Option<String> {
        let name = self.needs(field, name)?;
        if [":method", ":path", ":authority", ":scheme"].contains(&name.as_str()) {
            return Some(name);
        }
        let lower = HeaderName::from_bytes(name.as_bytes()).ok().map(|name| name.to_string());
        if lower.is_none() {
            self.error(&format!(".{field}"), format!("[{name}] is not a header name"));
        }
        lower
    }
}

/// Tells the server that a question is a set; Gloo's word for it.
const SET: &str = "solo.setDescriptor.uniqueValue";

/// The questions of one item. Nothing where something is wrong with it.
pub(super) fn descriptors(
    limits: &Found<'_, Vec<RateLimitActions>>,
    at: usize,
    limit: &RateLimitActions,
    notes: &mut Notes,
) -> Vec<wire::Descriptor> {
    if limit.actions.is_empty() && limit.set_actions.is_empty() {
        limits.error(notes, &format!("[{at}].actions"), "rate limits: at least one action is needed");
        return Vec::new();
    }
    let mut place = Place { limits, path: format!("[{at}].limit"), notes };
    let from = limit.limit.as_ref().map(|limit| {
        let key = limit.dynamic_metadata.as_ref().and_then(|it| it.metadata_key.as_ref());
        metadata_path("dynamicMetadata.metadataKey", key, &mut place)
    });
    let mut all = Vec::new();
    for (field, list) in [("actions", &limit.actions), ("setActions", &limit.set_actions)] {
        if list.is_empty() {
            continue;
        }
        let mut actions = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let path = format!("[{at}].{field}[{index}]");
            actions.push(action(value, &mut Place { limits, path, notes }));
        }
        let Some(mut actions) = actions.into_iter().collect::<Option<Vec<on::Action>>>() else { continue };
        if field == "setActions" {
            actions.insert(0, on::Action::GenericKey(SET.to_owned()));
        }
        skip_absent_of_sets(&mut actions);
        let actions = actions.into_iter().map(|action| wire::RateLimitAction { action: Some(action) });
        let limit = from.clone().flatten();
        all.push(wire::Descriptor { actions: actions.collect(), limit });
    }
    if from == Some(None) { Vec::new() } else { all }
}

/// A set is asked for with the headers that are there, also one that a user has written by hand.
fn skip_absent_of_sets(actions: &mut [on::Action]) {
    if !actions.iter().any(|action| matches!(action, on::Action::GenericKey(value) if value == SET)) {
        return;
    }
    for action in actions {
        if let on::Action::RequestHeaders(headers) = action {
            headers.skip_if_absent = true;
        }
    }
}

fn metadata_path(
    field: &str,
    key: Option<&MetadataKey>,
    place: &mut Place<'_, '_>,
) -> Option<wire::MetadataPath> {
    let namespace = place.needs(&format!("{field}.key"), key.map_or("", |it| &it.key));
    let path = key.map_or(&[][..], |it| &it.path);
    if path.is_empty() {
        place.needs(&format!("{field}.path"), "");
    }
    let keys = path.iter().map(|segment| segment.key.clone()).collect();
    namespace.filter(|_| !path.is_empty()).map(|namespace| wire::MetadataPath { namespace, keys })
}

fn action(value: &RateLimitAction, place: &mut Place<'_, '_>) -> Option<on::Action> {
    if value.source_cluster.is_some() {
        return Some(on::Action::SourceCluster(on::SourceCluster {}));
    }
    if value.destination_cluster.is_some() {
        return Some(on::Action::DestinationCluster(on::DestinationCluster {}));
    }
    if let Some(headers) = &value.request_headers {
        let name = place.header("requestHeaders.headerName", &headers.header_name);
        let key = place.needs("requestHeaders.descriptorKey", &headers.descriptor_key);
        return Some(on::Action::RequestHeaders(on::RequestHeaders {
            header_name: name?,
            descriptor_key: key?,
            skip_if_absent: false,
        }));
    }
    if value.remote_address.is_some() {
        return Some(on::Action::RemoteAddress(on::RemoteAddress {}));
    }
    if let Some(key) = &value.generic_key {
        return place.needs("genericKey.descriptorValue", &key.descriptor_value).map(on::Action::GenericKey);
    }
    if let Some(value) = &value.header_value_match {
        return header_value_match(value, place);
    }
    if let Some(value) = &value.metadata {
        return metadata(value, place);
    }
    place.error("", "rate limits: the action is empty");
    None
}

fn header_value_match(value: &RateLimitHeaderValueMatch, place: &mut Place<'_, '_>) -> Option<on::Action> {
    let descriptor_value = place.needs("headerValueMatch.descriptorValue", &value.descriptor_value);
    if value.headers.is_empty() {
        place.needs("headerValueMatch.headers", "")?;
    }
    let headers = value.headers.iter().enumerate().map(|(at, it)| condition(at, it, place));
    // All of them, for what is wrong with each.
    let headers: Vec<Option<wire::RateLimitHeader>> = headers.collect();
    Some(on::Action::HeaderValueMatch(on::HeaderValueMatch {
        descriptor_value: descriptor_value?,
        expect_mismatch: value.expect_match == Some(false),
        headers: headers.into_iter().collect::<Option<_>>()?,
    }))
}

fn condition(
    at: usize,
    matcher: &RateLimitHeaderMatcher,
    place: &mut Place<'_, '_>,
) -> Option<wire::RateLimitHeader> {
    use wire::rate_limit_header::{Range, Value};
    let field = format!("headerValueMatch.headers[{at}]");
    let name = place.header(&format!("{field}.name"), &matcher.name)?;
    let value = if let Some(text) = &matcher.exact_match {
        Value::Exact(text.clone())
    } else if let Some(text) = &matcher.regex_match {
        if let Err(problem) = pattern::full(text) {
            place.error(&format!(".{field}.regexMatch"), problem);
            return None;
        }
        Value::Regex(text.clone())
    } else if let Some(range) = &matcher.range_match {
        Value::Range(Range { start: range.start, end: range.end })
    } else if let Some(wanted) = matcher.present_match {
        Value::Present(wanted)
    } else if let Some(text) = &matcher.prefix_match {
        Value::Prefix(text.clone())
    } else if let Some(text) = &matcher.suffix_match {
        Value::Suffix(text.clone())
    } else {
        Value::Present(true)
    };
    Some(wire::RateLimitHeader { name, invert: matcher.invert_match, value: Some(value) })
}

fn metadata(value: &RateLimitMetadata, place: &mut Place<'_, '_>) -> Option<on::Action> {
    let key = place.needs("metadata.descriptorKey", &value.descriptor_key);
    let path = metadata_path("metadata.metadataKey", value.metadata_key.as_ref(), place);
    Some(on::Action::Metadata(on::Metadata {
        descriptor_key: key?,
        path: Some(path?),
        of_route: value.source == MetadataSource::RouteEntry,
        default_value: value.default_value.clone(),
    }))
}
