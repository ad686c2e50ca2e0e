//! What `up` tells a person once everything is ready: addresses, and resources that are not as they should be.

use super::plan::Plan;
use super::{count, ready};
use crate::cli::args::DEFAULT_ADMIN;
use crate::cli::console::{Console, Paint};
use crate::cli::{Failure, client};
use portcullis_proto::admin::v1::{
    ListResourcesRequest, ListWorkersRequest, ListWorkersResponse, ResourceStatus,
};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// After this long a person wants to know what is missing.
const IMPATIENT: Duration = Duration::from_secs(10);
/// So often it is looked whether there is anything to wait for.
const GLANCE: Duration = Duration::from_millis(500);
const MOST: usize = 10;

/// Waits for control and all workers, then reports. Without any listener workers never say that they are ready: that is
/// reported at once, and again when there is something to listen on.
pub async fn when_ready(plan: &Plan, mut ready: watch::Receiver<usize>, console: Console) {
    let started = Instant::now();
    let all = plan.workers.len() + 1;
    let mut told = started;
    let mut idle = false;
    loop {
        match tokio::time::timeout(GLANCE, ready.wait_for(|number| *number >= all)).await {
            Ok(Ok(_)) => break,
            Ok(Err(_)) => return,
            Err(_) if idle => {}
            Err(_) if nothing_to_serve(plan).await => {
                idle = true;
                say(plan, started.elapsed(), console).await;
            }
            Err(_) if told.elapsed() >= IMPATIENT => {
                told = Instant::now();
                still_waiting(plan, console).await;
            }
            Err(_) => {}
        }
    }
    say(plan, started.elapsed(), console).await;
}

async fn say(plan: &Plan, took: Duration, console: Console) {
    if let Err(Failure::Because(reason) | Failure::Usage(reason)) = report(plan, took, console).await {
        console.error(&reason);
    }
}

/// Whether all workers run tables that have no listener.
async fn nothing_to_serve(plan: &Plan) -> bool {
    let admin = ready::reachable(plan.control.admin).to_string();
    let Ok(mut client) = client::connect(&admin).await else { return false };
    let Ok(answer) = client.list_workers(ListWorkersRequest {}).await else { return false };
    let ListWorkersResponse { workers, listeners, .. } = answer.into_inner();
    let synced = workers.iter().filter(|worker| worker.state == "synced").count();
    listeners.is_empty() && synced >= plan.workers.len()
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
    if !workers.unserved.is_empty() {
        let unserved = workers.unserved.join(", ");
        console.note(
            Paint::Warn,
            "warning:",
            &format!("nobody serves {unserved}: `up` runs workers of gateway-proxy only"),
        );
    }
    let serving = match workers.listeners.is_empty() {
        true => format!("nothing to listen on yet: {}", why_nothing(&resources, &workers.unserved)),
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

/// Why the tables have no listener.
fn why_nothing(resources: &[ResourceStatus], unserved: &[String]) -> &'static str {
    let mut services = resources.iter().filter(|resource| resource.kind == "VirtualService").peekable();
    if services.peek().is_none() {
        return "there is no VirtualService";
    }
    if services.all(|service| service.state == "Rejected" && !service.last_accepted_form) {
        return "no VirtualService is accepted";
    }
    match unserved {
        [] => "no accepted Gateway selects a VirtualService",
        _ => "all Gateways are those of other proxies",
    }
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
    fn without_listeners_the_reason_is_named() {
        assert_eq!(why_nothing(&[], &[]), "there is no VirtualService");
        assert_eq!(why_nothing(&[resource("Rejected")], &[]), "no VirtualService is accepted");
        let elsewhere = ["http://[::]:80 (proxy other)".to_owned()];
        assert_eq!(
            why_nothing(&[resource("Accepted")], &elsewhere),
            "all Gateways are those of other proxies"
        );
        assert!(why_nothing(&[resource("Warning")], &[]).contains("selects"));
    }

    #[test]
    fn a_flood_is_cut() {
        let lines = troubles(&vec![resource("Warning"); 25]);
        assert_eq!(lines.len(), MOST + 1);
        assert!(lines[MOST].contains("15 more"));
    }
}
