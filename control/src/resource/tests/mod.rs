//! Decoding as a user sees it: what is accepted, and what is said about the rest.

use std::path::Path;

use super::*;

mod again;
mod envelope;
mod leniency;
mod messages;
mod secrets;

fn parsed(text: &str) -> Parsed {
    parse(Path::new("in.yaml"), text, "default")
}

/// The only entry.
fn entry(text: &str) -> Entry {
    let parsed = parsed(text);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    assert_eq!(parsed.entries.len(), 1, "{:?}", parsed.notices);
    Entry::clone(&parsed.entries[0])
}

/// Level, place and text of what was found in the only entry.
fn said(text: &str) -> Vec<String> {
    entry(text).findings.iter().map(line).collect()
}

fn line(finding: &Finding) -> String {
    let at = finding.location.as_ref().unwrap();
    format!("{} {}:{} {finding}", finding.level, at.line, at.column)
}

fn virtual_service(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata:\n  name: vs\n  namespace: ns\nspec:\n{spec}"
    )
}

fn upstream(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata:\n  name: us\n  namespace: ns\nspec:\n{spec}"
    )
}

fn route(text: &str) -> Route {
    let entry = entry(text);
    assert!(entry.findings.is_empty(), "{:?}", entry.findings);
    match &entry.object.unwrap().spec {
        Spec::VirtualService(vs) => vs.virtual_host.as_ref().unwrap().routes[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn one_route(route: &str) -> String {
    let route: String = route
        .lines()
        .enumerate()
        .map(|(n, line)| format!("{}{line}\n", if n == 0 { "  - " } else { "    " }))
        .collect();
    virtual_service(&format!("virtualHost:\n  routes:\n{route}"))
}
