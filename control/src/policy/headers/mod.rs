//! `headerManipulation`: every level runs, so the levels are put in order and not merged.
//!
//! The order is destination, route, virtual host, and so an overwriting virtual host has the last word; a Gateway may
//! reverse it. Inside a level removals precede additions.

use http::{HeaderName, HeaderValue};
use portcullis_proto::policy::v1 as wire;
use portcullis_shared::format::Format;

use super::{Found, Levels, Policy};
use crate::ir;
use crate::resource::{HeaderManipulation, HeaderValueOption};
use crate::translate::Notes;

/// The policy.
pub struct Headers;

impl Policy for Headers {
    fn option(&self) -> &'static str {
        "headerManipulation"
    }

    fn on_destinations(&self) -> bool {
        true
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let field = "headerManipulation";
        let destination = levels.in_destination(field, |options| options.header_manipulation.as_ref());
        if levels.destination.is_some() && destination.is_none() {
            // The route's own list holds for this destination.
            return None;
        }
        let mut found = [
            destination,
            levels.in_route(field, |options| options.header_manipulation.as_ref()),
            levels.in_host(field, |options| options.header_manipulation.as_ref()),
        ];
        if levels.most_specific_headers_win {
            found.reverse();
        }
        let mut message = wire::Headers::default();
        for level in found.iter().flatten() {
            let (request, response) = both(level, notes);
            message.request.extend(request);
            message.response.extend(response);
        }
        (message != wire::Headers::default()).then(|| super::wire(&message))
    }
}

fn both(
    level: &Found<'_, HeaderManipulation>,
    notes: &mut Notes,
) -> (Option<wire::HeaderLevel>, Option<wire::HeaderLevel>) {
    let value = level.value;
    let request = one(
        level,
        (&value.request_headers_to_remove, ".requestHeadersToRemove"),
        (&value.request_headers_to_add, ".requestHeadersToAdd"),
        notes,
    );
    let response = one(
        level,
        (&value.response_headers_to_remove, ".responseHeadersToRemove"),
        (&value.response_headers_to_add, ".responseHeadersToAdd"),
        notes,
    );
    (request, response)
}

fn one(
    level: &Found<'_, HeaderManipulation>,
    (remove, remove_field): (&[String], &str),
    (add, add_field): (&[HeaderValueOption], &str),
    notes: &mut Notes,
) -> Option<wire::HeaderLevel> {
    let mut message = wire::HeaderLevel::default();
    for (at, name) in remove.iter().enumerate() {
        match checked(name) {
            Ok(name) => message.remove.push(name),
            Err(problem) => level.error(notes, &format!("{remove_field}[{at}]"), problem),
        }
    }
    for (at, addition) in add.iter().enumerate() {
        let Some(header) = &addition.header else {
            level.error(notes, &format!("{add_field}[{at}].header"), "a header is needed");
            continue;
        };
        if HeaderValue::from_str(&header.value).is_err() {
            let field = format!("{add_field}[{at}].header.value");
            level.error(notes, &field, "the value has characters that a header cannot have");
            continue;
        }
        if let Err(problem) = Format::parse(&header.value) {
            level.error(notes, &format!("{add_field}[{at}].header.value"), problem.to_string());
            continue;
        }
        match checked(&header.key) {
            Ok(name) => message.add.push(wire::HeaderAdd {
                name,
                value: header.value.clone(),
                overwrite: addition.append == Some(false),
            }),
            Err(problem) => level.error(notes, &format!("{add_field}[{at}].header.key"), problem),
        }
    }
    (message != wire::HeaderLevel::default()).then_some(message)
}

/// Lower case, unless the header may not be touched: Host and the pseudo headers decide about routing and framing.
fn checked(name: &str) -> Result<String, String> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return Err(format!(":-prefixed or host headers may not be modified, but [{name}] is"));
    }
    HeaderName::from_bytes(name.as_bytes())
        .map(|name| name.to_string())
        .map_err(|_| format!("[{name}] is not a header name"))
}
