//! Lists of transformations with their matchers.

use portcullis_proto::policy::v1 as wire;
use portcullis_proto::table::v1 as table;

use super::template::{self, Side};
use crate::compile::lower_matcher;
use crate::ir;
use crate::policy::Found;
use crate::resource::{
    Matcher, RequestResponseTransformations, ResponseMatch, Transformation, TransformationStages,
    Transformations,
};
use crate::translate::{self, Notes};

/// What a stage says for all of its transformations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) escape: bool,
    pub(super) log: bool,
}

impl Defaults {
    pub(super) fn of(stages: &TransformationStages) -> Self {
        Self {
            escape: stages.escape_characters.unwrap_or(false),
            log: stages.log_request_response_info.unwrap_or(false),
        }
    }
}

/// Adds the lists of a stage.
pub(super) fn lists<T>(
    found: &Found<'_, T>,
    field: &str,
    lists: &RequestResponseTransformations,
    defaults: Defaults,
    message: &mut wire::TransformationStage,
    notes: &mut Notes,
) {
    for (at, entry) in lists.request_transforms.iter().enumerate() {
        let field = format!("{field}.requestTransforms[{at}]");
        let matcher = entry.matcher.as_ref().map(|it| matcher(found, &format!("{field}.matcher"), it, notes));
        let request = one(found, &field, REQUEST, entry.request_transformation.as_ref(), defaults, notes);
        let response = one(found, &field, RESPONSE, entry.response_transformation.as_ref(), defaults, notes);
        message.requests.push(wire::RequestTransform {
            r#match: matcher.flatten(),
            clear_route: entry.clear_route_cache,
            request,
            response,
        });
    }
    for (at, entry) in lists.response_transforms.iter().enumerate() {
        let field = format!("{field}.responseTransforms[{at}]");
        message.responses.push(wire::ResponseTransform {
            headers: headers(found, &field, entry, notes),
            details: entry.response_code_details.clone(),
            response: one(found, &field, RESPONSE, entry.response_transformation.as_ref(), defaults, notes),
        });
    }
}

/// Adds the older form.
pub(super) fn old(
    found: &Found<'_, Transformations>,
    message: &mut wire::TransformationStage,
    notes: &mut Notes,
) {
    let value = found.value;
    let defaults = Defaults::default();
    message.requests.push(wire::RequestTransform {
        r#match: None,
        clear_route: value.clear_route_cache,
        request: one(found, "", REQUEST, value.request_transformation.as_ref(), defaults, notes),
        response: one(found, "", RESPONSE, value.response_transformation.as_ref(), defaults, notes),
    });
}

const REQUEST: (Side, &str) = (Side::Request, "requestTransformation");
const RESPONSE: (Side, &str) = (Side::Response, "responseTransformation");

fn one<T>(
    found: &Found<'_, T>,
    field: &str,
    (side, name): (Side, &str),
    value: Option<&Transformation>,
    defaults: Defaults,
    notes: &mut Notes,
) -> Option<wire::Transform> {
    let value = value?;
    let field = format!("{field}.{name}");
    let kind = if let Some(envelope) = &value.header_body_transform {
        let request_metadata = envelope.add_request_metadata;
        wire::transform::Kind::Envelope(wire::EnvelopeTransform { request_metadata })
    } else if let Some(content) = &value.transformation_template {
        let field = format!("{field}.transformationTemplate");
        wire::transform::Kind::Template(template::lower(found, &field, side, content, defaults, notes))
    } else {
        found.error(notes, &field, "a transformationTemplate or a headerBodyTransform is needed");
        return None;
    };
    Some(wire::Transform { kind: Some(kind), log: defaults.log || value.log_request_response_info })
}

/// A matcher of requests; one without a path is for all paths, and `caseSensitive` counts for nothing.
fn matcher<T>(found: &Found<'_, T>, field: &str, value: &Matcher, notes: &mut Notes) -> Option<table::Match> {
    let mut value = value.clone();
    value.case_sensitive = None;
    if value.path().is_none() {
        value.prefix = Some("/".to_owned());
    }
    match translate::lower_matcher(&value) {
        Ok(matcher) => Some(lower_matcher(&matcher)),
        Err(problems) => {
            for (inner, problem) in problems {
                found.error(notes, &format!("{field}.{inner}"), problem);
            }
            None
        }
    }
}

/// Tests on the headers of a response, checked as those of a request are.
fn headers<T>(
    found: &Found<'_, T>,
    field: &str,
    entry: &ResponseMatch,
    notes: &mut Notes,
) -> Vec<table::HeaderMatch> {
    let value =
        Matcher { prefix: Some("/".to_owned()), headers: entry.matchers.clone(), ..Matcher::default() };
    match translate::lower_matcher(&value) {
        Ok(matcher) => lower_matcher(&ir::Matcher { headers: matcher.headers, ..Default::default() }).headers,
        Err(problems) => {
            for (inner, problem) in problems {
                let inner = inner.strip_prefix("headers").unwrap_or(&inner);
                found.error(notes, &format!("{field}.matchers{inner}"), problem);
            }
            Vec::new()
        }
    }
}
