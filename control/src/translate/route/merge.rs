//! What a delegated route takes over from the delegating one, and what it must not contradict.

use std::borrow::Cow;

use super::flatten::Parent;
use crate::resource::{Matcher, Route};

/// The matcher of a route without matchers.
pub fn default_matcher() -> Matcher {
    Matcher { prefix: Some("/".to_owned()), ..Matcher::default() }
}

/// The text of the path, whatever its kind.
pub fn path_text(matcher: &Matcher) -> &str {
    matcher.path().map_or("", |path| match path {
        crate::resource::PathSpecifier::Prefix(text)
        | crate::resource::PathSpecifier::Exact(text)
        | crate::resource::PathSpecifier::Regex(text) => text,
        crate::resource::PathSpecifier::Connect => "",
    })
}

/// A child's matcher with what it inherits; an error says which constraint of the parent it breaks.
pub(super) fn with_parent<'s>(
    child: Cow<'s, Matcher>,
    route: &Route,
    parent: &Parent<'s>,
) -> Result<Cow<'s, Matcher>, String> {
    let inherit_matchers = route.inheritable_matchers.unwrap_or(parent.inherit_matchers);
    let inherit_path = route.inheritable_path_matchers.unwrap_or(parent.inherit_path);
    let mut child = child;
    if inherit_path {
        let child = child.to_mut();
        let from = &parent.matcher;
        (child.exact, child.regex, child.connect_matcher) = (None, None, None);
        child.prefix.clone_from(&from.prefix);
        child.case_sensitive = from.case_sensitive;
    }
    if inherit_matchers {
        let child = child.to_mut();
        let from = &*parent.matcher;
        child.headers.splice(0..0, from.headers.iter().cloned());
        child.query_parameters.splice(0..0, from.query_parameters.iter().cloned());
        let mut methods = from.methods.clone();
        methods.extend(child.methods.drain(..).filter(|method| !from.methods.contains(method)));
        child.methods = methods;
    }
    check(&child, &parent.matcher)?;
    Ok(child)
}

fn check(child: &Matcher, parent: &Matcher) -> Result<(), String> {
    const RULE: &str = "invalid route: route table matchers must";
    let (path, prefix) = (path_text(child), path_text(parent));
    if !path.starts_with(prefix) {
        return Err(format!(
            "required prefix: {prefix}, path: {path}: {RULE} begin with the prefix of their parent route's matcher"
        ));
    }
    if child.case_sensitive != parent.case_sensitive {
        let show = |value: Option<bool>| value.map_or("unset".to_owned(), |it| it.to_string());
        return Err(format!(
            "required caseSensitive: {}, caseSensitive: {}: {RULE} have the same case sensitivity as their parent \
             route's matcher",
            show(parent.case_sensitive),
            show(child.case_sensitive)
        ));
    }
    // Every test has to hold, so that those of the parent are kept if each is there, whatever others the child adds.
    for wanted in &parent.headers {
        if !child.headers.contains(wanted) {
            return Err(format!(
                "required header: {}: {RULE} have all headers that were specified on their parent route's matcher",
                wanted.name
            ));
        }
    }
    for wanted in &parent.query_parameters {
        if !child.query_parameters.contains(wanted) {
            return Err(format!(
                "required query parameter: {}: {RULE} have all query parameters that were specified on their parent \
                 route's matcher",
                wanted.name
            ));
        }
    }
    if let Some(missing) = parent.methods.iter().find(|method| !child.methods.contains(method)) {
        return Err(format!(
            "required method: {missing}: {RULE} have all methods that were specified on their parent route's matcher"
        ));
    }
    Ok(())
}
