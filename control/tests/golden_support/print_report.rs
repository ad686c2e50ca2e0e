//! A report as data.

use portcullis_control::resource::Finding;
use portcullis_control::translate::Report;
use serde_json::{Value, json};

/// Every resource, and what belongs to none.
pub fn report(report: &Report, problems: &[Finding]) -> Value {
    let objects = report.objects.iter().map(|(id, object)| {
        let mut value = json!({ "state": object.state().to_string() });
        if object.using_last_accepted {
            value["lastAccepted"] = json!(true);
        }
        if !object.findings.is_empty() {
            value["findings"] = object.findings.iter().map(finding).collect();
        }
        (id.to_string(), value)
    });
    let mut value = json!({ "resources": objects.collect::<serde_json::Map<_, _>>() });
    if !problems.is_empty() {
        value["files"] = problems.iter().map(finding).collect();
    }
    value
}

fn finding(finding: &Finding) -> Value {
    let place = finding.location.as_ref().map(|it| format!("{}:{}", it.line, it.column));
    json!({
        "at": format!("{} {}", place.unwrap_or_default(), finding.path).trim(),
        finding.level.to_string(): finding.message,
    })
}
