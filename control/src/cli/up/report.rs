//! What `up` tells a person once everything is ready: addresses, and resources that are not as they should be.

use super::plan::Plan;
use super::{count, ready};
use crate::cli::args::DEFAULT_ADMIN;
use crate::cli::console::{Console, Paint};
use crate::cli::{Failure, client};
use portcullis_proto::admin::v1::{ListResourcesRequest, ListWorkersRequest, ResourceStatus};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// After this long a person wants to know what is missing.
const IMPATIENT: Duration = Duration::from_secs(10);
const MOST: usize = 10;

/// Waits for control and all workers, then reports.
pub async fn when_ready(plan: &Plan, mut ready: watch::Receiver<usize>, console: Console) {
    let started = Instant::now();
    let all = plan.workers.len() + 1;
    loop {
        match tokio::time::timeout(IMPATIENT, ready.wait_for(|number| *number >= all)).await {
            Ok(Ok(_)) => break,
            Ok(Err(_)) => return,
            Err(_) => still_waiting(plan, console).await,
        }
    }
    let took = started.elapsed();
    if let Err(Failure::Because(reason) | Failure::Usage(reason)) = report(plan, took, console).await {
        console.error(&reason);
    }
}

async fn still_waiting(plan: &Plan, console: Console) {
    for program in std::iter::once(&plan.control).chain(&plan.workers) {
        if let Err(reason) = ready::probe(program.admin).await {
            console.note(Paint::Warn, "portcullis:", &format!("{} is not ready yet: {reason}", program.name));
        }
    }
}

async fn report(plan: &Plan, took: Duration, console: Console) -> Result<(), Failure> {
    let admin = ready::reachable(plan.control.admin).to_string();
    let mut client = client::connect(&admin).await?;
    let request = ListResourcesRequest::default();
    let resources = client
        .list_resources(request)
        .await
        .map_err(|status| client::refused(&admin, &status))?
        .into_inner()
        .resources;
    let workers = client
        .list_workers(ListWorkersRequest {})
        .await
        .map_err(|status| client::refused(&admin, &status))?
        .into_inner();
    for line in troubles(&resources) {
        console.say(&line);
    }
    for worker in workers.workers.iter().filter(|worker| !worker.reason.is_empty()) {
        console.note(Paint::Warn, "warning:", &format!("{}: {}", worker.id, worker.reason));
    }
    let serving = match workers.listeners.is_empty() {
        true => "nothing to listen on yet".to_owned(),
        false => format!("listening on {}", workers.listeners.join(", ")),
    };
    console.note(
        Paint::Good,
        "ready:",
        &format!(
            "{} after {}, {serving}",
            count(plan.workers.len(), "worker"),
            humantime::format_duration(round(took))
        ),
    );
    let elsewhere = if admin == DEFAULT_ADMIN { String::new() } else { format!(" --admin {admin}") };
    console.say(&format!("       admin http://{admin}; try `portcullis get all{elsewhere}`, Ctrl-C stops"));
    Ok(())
}

fn round(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// One line for each resource that is not plainly accepted, and a last one when there are too many.
fn troubles(resources: &[ResourceStatus]) -> Vec<String> {
    let bad: Vec<&ResourceStatus> =
        resources.iter().filter(|resource| resource.state != "Accepted").collect();
    let mut lines: Vec<String> = bad.iter().take(MOST).map(|resource| trouble(resource)).collect();
    if bad.len() > MOST {
        lines.push(format!("... and {} more; `portcullis get all` lists them", bad.len() - MOST));
    }
    lines
}

fn trouble(resource: &ResourceStatus) -> String {
    let word = if resource.state == "Rejected" { "error" } else { "warning" };
    let finding = resource.findings.iter().find(|finding| finding.error == (resource.state == "Rejected"));
    let what = format!("{} {}.{}", resource.kind, resource.namespace, resource.name);
    let kept = if resource.last_accepted_form { " (its last accepted form stays in use)" } else { "" };
    match finding {
        Some(finding) => format!(
            "{}:{}:{}: {word}: {what}: {}: {}{kept}",
            finding.file, finding.line, finding.column, finding.path, finding.message
        ),
        None => format!("{}:{}: {word}: {what}: {}{kept}", resource.file, resource.line, resource.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_proto::admin::v1::Finding;

    fn resource(state: &str) -> ResourceStatus {
        ResourceStatus {
            kind: "VirtualService".into(),
            namespace: "gloo-system".into(),
            name: "shop".into(),
            state: state.into(),
            file: "vs.yaml".into(),
            line: 1,
            ..Default::default()
        }
    }

    #[test]
    fn only_what_is_not_accepted_is_reported_with_its_place() {
        let mut rejected = resource("Rejected");
        rejected.last_accepted_form = true;
        rejected.findings = vec![Finding {
            error: true,
            path: "spec.virtualHost.routes[0]".into(),
            message: "no action".into(),
            file: "vs.yaml".into(),
            line: 7,
            column: 5,
        }];
        let lines = troubles(&[resource("Accepted"), rejected]);
        assert_eq!(
            lines,
            ["vs.yaml:7:5: error: VirtualService gloo-system.shop: spec.virtualHost.routes[0]: no action \
              (its last accepted form stays in use)"]
        );
    }

    #[test]
    fn a_flood_is_cut() {
        let lines = troubles(&vec![resource("Warning"); 25]);
        assert_eq!(lines.len(), MOST + 1);
        assert!(lines[MOST].contains("15 more"));
    }
}
