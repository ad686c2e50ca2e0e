//! A verdict as lines that editors can jump from, or as JSON.

use super::accepted;
use crate::cli::console::{Console, Paint};
use crate::cli::offline::Checked;
use crate::resource::{Entry, Finding, Level, Location};
use crate::translate::{ObjectReport, State};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// Resources in the order in which a person finds them: by file, then by line.
fn in_order(checked: &Checked) -> Vec<(&Arc<Entry>, &ObjectReport)> {
    let mut all: Vec<_> = checked.reports().collect();
    all.sort_by_key(|(entry, _)| &entry.location);
    all
}

/// Messages grouped by resource, then a summary.
pub fn text(checked: &Checked, console: &Console) -> String {
    let mut out = String::new();
    for problem in &checked.problems {
        line(problem, None, console, &mut out);
    }
    for notice in &checked.notices {
        line(notice, None, console, &mut out);
    }
    for (entry, report) in in_order(checked) {
        let paint = match report.state() {
            State::Accepted => continue,
            State::Warning => Paint::Warn,
            State::Rejected => Paint::Bad,
        };
        let state = console.paint(paint, &report.state().to_string());
        let _ = writeln!(out, "{}: {state}", console.paint(Paint::Bold, &entry.id.to_string()));
        for finding in &report.findings {
            line(finding, Some(&entry.location), console, &mut out);
        }
    }
    for defect in &checked.defects {
        let _ = writeln!(out, "{} {defect}", console.paint(Paint::Bad, "error: workers would refuse"));
    }
    let _ = writeln!(out, "{}", summary(checked, console));
    out
}

/// `file:line:column: error: path: message`.
fn line(finding: &Finding, place: Option<&Location>, console: &Console, out: &mut String) {
    if let Some(location) = finding.location.as_ref().or(place) {
        let _ = write!(out, "{location}: ");
    }
    let paint = if finding.level == Level::Error { Paint::Bad } else { Paint::Warn };
    let _ = writeln!(out, "{}: {finding}", console.paint(paint, &finding.level.to_string()));
}

struct Counts {
    resources: usize,
    accepted: usize,
    warning: usize,
    rejected: usize,
}

fn counts(checked: &Checked) -> Counts {
    let of = |state: State| checked.reports().filter(|(_, report)| report.state() == state).count();
    Counts {
        resources: checked.reports().count(),
        accepted: of(State::Accepted),
        warning: of(State::Warning),
        rejected: of(State::Rejected),
    }
}

/// "3 resources: 1 accepted, 1 with warnings, 1 rejected; 1 document unusable".
fn summary(checked: &Checked, console: &Console) -> String {
    let counts = counts(checked);
    let noun = |number: usize, noun: &str| if number == 1 { noun.to_owned() } else { format!("{noun}s") };
    let mut text = format!("{} {}: ", counts.resources, noun(counts.resources, "resource"));
    let mut parts = vec![format!("{} accepted", counts.accepted)];
    if counts.warning > 0 {
        parts.push(format!("{} with warnings", counts.warning));
    }
    if counts.rejected > 0 {
        parts.push(format!("{} rejected", counts.rejected));
    }
    text.push_str(&parts.join(", "));
    for (list, what) in [(&checked.problems, "unusable"), (&checked.notices, "not served")] {
        if !list.is_empty() {
            let _ = write!(text, "; {} {} {what}", list.len(), noun(list.len(), "document"));
        }
    }
    let paint = match (accepted(checked), counts.warning) {
        (false, _) => Paint::Bad,
        (true, 0) => Paint::Good,
        (true, _) => Paint::Warn,
    };
    console.paint(paint, &text)
}

/// The form that `check --help` documents.
pub fn json(checked: &Checked) -> Value {
    let counts = counts(checked);
    let resource = |(entry, report): (&Arc<Entry>, &ObjectReport)| {
        json!({
            "kind": entry.id.kind.to_string(),
            "namespace": &*entry.id.namespace,
            "name": &*entry.id.name,
            "state": report.state().to_string(),
            "reason": report.reason(),
            "file": entry.location.file.to_string_lossy(),
            "line": entry.location.line,
            "findings": report.findings.iter().map(|one| finding(one, Some(&entry.location))).collect::<Value>(),
        })
    };
    json!({
        "accepted": accepted(checked),
        "summary": {
            "resources": counts.resources,
            "accepted": counts.accepted,
            "warning": counts.warning,
            "rejected": counts.rejected,
            "problems": checked.problems.len(),
            "notices": checked.notices.len(),
        },
        "resources": in_order(checked).into_iter().map(resource).collect::<Value>(),
        "problems": checked.problems.iter().map(|one| finding(one, None)).collect::<Value>(),
        "notices": checked.notices.iter().map(|one| finding(one, None)).collect::<Value>(),
    })
}

fn finding(finding: &Finding, place: Option<&Location>) -> Value {
    let location = finding.location.as_ref().or(place);
    json!({
        "level": finding.level.to_string(),
        "path": finding.path,
        "message": finding.message,
        "file": location.map(|location| location.file.to_string_lossy()),
        "line": location.map(|location| location.line),
        "column": location.map(|location| location.column),
    })
}
