//! A user's matcher, checked, in the model's terms.

use std::sync::Arc;

use portcullis_shared::routing::FieldName;

use super::super::path;
use crate::ir::{HeaderMatch, Matcher, PathMatch, QueryMatch, ValueMatch};
use crate::resource::{self, PathSpecifier};

/// The field inside the matcher, and what is wrong.
pub type Problems = Vec<(String, String)>;

/// Checks all parts.
pub fn lower(matcher: &resource::Matcher) -> Result<Matcher, Problems> {
    let mut problems = Problems::new();
    let ignore_case = matcher.case_sensitive == Some(false);
    let path = match matcher.path() {
        None => {
            problems.push(("prefix".to_owned(), "no path specifier provided".to_owned()));
            PathMatch::default()
        }
        Some(PathSpecifier::Prefix(text)) => {
            problems.extend(path::problem(text).map(|problem| ("prefix".to_owned(), problem)));
            PathMatch::Prefix { text: text.into(), ignore_case }
        }
        Some(PathSpecifier::Exact(text)) => {
            problems.extend(path::problem(text).map(|problem| ("exact".to_owned(), problem)));
            PathMatch::Exact { text: text.into(), ignore_case }
        }
        Some(PathSpecifier::Regex(text)) => {
            problems.extend(path::regex_problem(text).map(|problem| ("regex".to_owned(), problem)));
            PathMatch::Regex(text.into())
        }
        Some(PathSpecifier::Connect) => PathMatch::Connect,
    };
    let mut headers = Vec::with_capacity(matcher.headers.len());
    for (at, header) in matcher.headers.iter().enumerate() {
        match FieldName::parse(&header.name) {
            Ok(name) => headers.push(HeaderMatch {
                name: name.as_str().into(),
                value: value(&header.value, header.regex, format!("headers[{at}].value"), &mut problems),
                invert: header.invert_match,
            }),
            Err(invalid) => problems.push((format!("headers[{at}].name"), invalid.reason)),
        }
    }
    let mut query = Vec::with_capacity(matcher.query_parameters.len());
    for (at, parameter) in matcher.query_parameters.iter().enumerate() {
        if parameter.name.is_empty() {
            problems.push((format!("queryParameters[{at}].name"), "a name is needed".to_owned()));
        }
        let field = format!("queryParameters[{at}].value");
        query.push(QueryMatch {
            name: parameter.name.as_str().into(),
            value: value(&parameter.value, parameter.regex, field, &mut problems),
        });
    }
    for (at, method) in matcher.methods.iter().enumerate() {
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            problems.push((format!("methods[{at}]"), format!("[{method}] is not a method")));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let methods = matcher.methods.iter().map(|method| Arc::from(method.as_str())).collect();
    Ok(Matcher { path, methods, headers, query })
}

/// An empty text asks for presence, whatever `regex` says.
fn value(text: &str, regex: bool, field: String, problems: &mut Problems) -> ValueMatch {
    match (text, regex) {
        ("", _) => ValueMatch::Present,
        (text, false) => ValueMatch::Exact(text.into()),
        (text, true) => {
            problems.extend(path::regex_problem(text).map(|problem| (field, problem)));
            ValueMatch::Regex(text.into())
        }
    }
}
