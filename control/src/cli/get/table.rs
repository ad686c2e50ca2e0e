//! Tables for people, in kubectl's manner: no borders, capital titles, one line a resource.

use super::{Found, cells};
use crate::cli::console::{Console, Paint};
use portcullis_proto::admin::v1::{ResourceStatus, Worker};
use std::fmt::Write;

/// Without `-o wide` a reason longer than this is cut.
const SHORT_REASON: usize = 100;

/// One table for each kind that was found; `titled` puts the kind in front of names, as with `get all`.
pub fn print(found: &Found, wide: bool, titled: bool, console: &Console) -> String {
    let mut tables = Vec::new();
    for group in found.resources.chunk_by(|a, b| a.kind == b.kind) {
        tables.push(resources(group, wide, titled, console));
    }
    if !found.workers.is_empty() {
        tables.push(workers(&found.workers, wide, titled, console));
    }
    tables.join("\n")
}

fn resources(group: &[ResourceStatus], wide: bool, titled: bool, console: &Console) -> String {
    let kind = group.first().map_or("", |first| first.kind.as_str());
    let mut titles = vec!["NAMESPACE", "NAME"];
    titles.extend(cells::titles(kind));
    titles.extend(["STATE", "AGE", "SERVED"]);
    if wide {
        titles.push("SOURCE");
    }
    titles.push("REASON");
    let row = |resource: &ResourceStatus| {
        let document = serde_json::from_str(&resource.document).unwrap_or_default();
        let name = named(titled, &resource.kind, &resource.name);
        let mut row = vec![resource.namespace.clone(), name];
        row.extend(cells::of(kind, &document));
        row.push(resource.state.clone());
        row.push(age(resource.age_seconds));
        row.push(served(resource));
        if wide {
            row.push(format!("{}:{}", resource.file, resource.line));
        }
        row.push(cut(why(resource), wide));
        row
    };
    layout(&titles, &group.iter().map(row).collect::<Vec<_>>(), console)
}

fn workers(workers: &[Worker], wide: bool, titled: bool, console: &Console) -> String {
    let mut titles = vec!["NAME", "PROXY", "STATE", "VERSION", "CONNECTIONS", "AGE"];
    if wide {
        titles.extend(["PID", "ADMIN", "BUILD"]);
    }
    titles.push("REASON");
    let row = |worker: &Worker| {
        let mut row = vec![
            named(titled, "worker", &worker.id),
            worker.proxy_name.clone(),
            worker.state.clone(),
            worker.version.clone(),
            worker.active_connections.to_string(),
            age(worker.connected_seconds),
        ];
        if wide {
            row.extend([worker.pid.to_string(), worker.admin_address.clone(), worker.build.clone()]);
        }
        row.push(cut(worker.reason.clone(), wide));
        row
    };
    layout(&titles, &workers.iter().map(row).collect::<Vec<_>>(), console)
}

fn named(titled: bool, kind: &str, name: &str) -> String {
    if titled { format!("{}/{name}", kind.to_ascii_lowercase()) } else { name.to_owned() }
}

/// "2/2 workers"; a dash when no worker has to serve it.
fn served(resource: &ResourceStatus) -> String {
    if resource.workers_total == 0 {
        return "-".to_owned();
    }
    format!("{}/{} workers", resource.workers_serving, resource.workers_total)
}

/// What is wrong, the worst first, with what workers say before it; the reason in Gloo's form only where there is nothing better.
fn why(resource: &ResourceStatus) -> String {
    let kept = if resource.last_accepted_form { "[last accepted form in use] " } else { "" };
    let mut findings: Vec<_> = resource.findings.iter().collect();
    findings.sort_by_key(|finding| !finding.error);
    let found = findings.iter().map(|finding| match finding.path.as_str() {
        "" => finding.message.clone(),
        path => format!("{path}: {}", finding.message),
    });
    let shown: Vec<String> = resource.worker_errors.iter().cloned().chain(found).collect();
    let text = if shown.is_empty() { resource.reason.clone() } else { shown.join("; ") };
    format!("{kept}{text}")
}

/// One line, short unless all of it is wanted.
fn cut(text: String, wide: bool) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if wide || flat.chars().count() <= SHORT_REASON {
        return flat;
    }
    flat.chars().take(SHORT_REASON - 3).chain("...".chars()).collect()
}

/// kubectl's short ages: 5s, 12m, 3h, 9d.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn layout(titles: &[&str], rows: &[Vec<String>], console: &Console) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(titles.get(column).map(|title| title.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut out = String::new();
    let header: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    line(&header, &widths, |_, text| console.paint(Paint::Bold, text), &mut out);
    let state = titles.iter().position(|title| *title == "STATE");
    for row in rows {
        let painted = |column: usize, text: &str| match text.trim_end() {
            "Accepted" | "synced" if Some(column) == state => console.paint(Paint::Good, text),
            "Rejected" | "rejecting" if Some(column) == state => console.paint(Paint::Bad, text),
            _ if Some(column) == state => console.paint(Paint::Warn, text),
            _ => text.to_owned(),
        };
        line(row, &widths, painted, &mut out);
    }
    out
}

fn line(cells: &[String], widths: &[usize], paint: impl Fn(usize, &str) -> String, out: &mut String) {
    let last = cells.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate().take(last + 1) {
        let padded = if column == last { cell.clone() } else { format!("{cell:<width$}") };
        let gap = if column == last { "" } else { "   " };
        let _ = write!(out, "{}{gap}", paint(column, &padded));
    }
    out.push('\n');
}
