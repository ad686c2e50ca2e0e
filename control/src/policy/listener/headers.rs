//! Header fields that a listener adds: to requests before anything else, and to its own.

use http::{HeaderName, HeaderValue};
use portcullis_proto::policy::v1::HeaderAdd;
use portcullis_shared::format::Format;

use super::About;
use crate::resource::HeaderValueOption;

/// Additions of the list at `path`, checked.
pub(super) fn additions(list: &[HeaderValueOption], path: &str, about: &mut About<'_>) -> Vec<HeaderAdd> {
    let mut additions = Vec::new();
    for (at, addition) in list.iter().enumerate() {
        let path = format!("{path}[{at}].header");
        let Some(header) = &addition.header else {
            about.error(path, "a header is needed");
            continue;
        };
        if HeaderValue::from_str(&header.value).is_err() {
            about.error(format!("{path}.value"), "the value has characters that a header cannot have");
        } else if let Err(problem) = Format::parse(&header.value) {
            about.error(format!("{path}.value"), problem.to_string());
        }
        if let Some(name) = name(&header.key, format!("{path}.key"), about) {
            additions.push(HeaderAdd {
                name,
                value: header.value.clone(),
                overwrite: addition.append == Some(false),
            });
        }
    }
    additions
}

/// The name of a field that may be touched.
pub(super) fn name(text: &str, path: String, about: &mut About<'_>) -> Option<String> {
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) if name != http::header::HOST => Some(name.to_string()),
        _ => {
            about.error(path, format!("[{text}] is not the name of a header that may be modified"));
            None
        }
    }
}
