//! `portcullis get`: resources and workers of a running gateway.
//!
//! Owns how they are printed. Everything it knows comes from control's admin API; it must not judge states itself.

mod cells;
mod table;
#[cfg(test)]
mod tests;

use super::args::{GetArgs, GetKind, GetOutput};
use super::console::Console;
use super::{Failure, client, yaml};
use portcullis_proto::admin::v1::{ListResourcesRequest, ListWorkersRequest, ResourceStatus, Worker};
use serde_json::{Value, json};

/// What was found.
#[derive(Default)]
struct Found {
    resources: Vec<ResourceStatus>,
    workers: Vec<Worker>,
}

/// Asks control and prints.
pub async fn run(args: &GetArgs, console: &Console) -> Result<(), Failure> {
    let found = ask(args).await?;
    if found.resources.is_empty() && found.workers.is_empty() {
        let place = args.namespace.as_ref().map(|ns| format!(" in namespace {ns}")).unwrap_or_default();
        if let Some(name) = &args.name {
            return Err(Failure::Because(format!("no {} named {name}{place}", singular(args.kind))));
        }
        if !matches!(args.output, Some(GetOutput::Json | GetOutput::Yaml)) {
            console.say(&format!("no {} found{place}", plural(args.kind)));
            return Ok(());
        }
    }
    console.data(&render(args, &found, console))
}

async fn ask(args: &GetArgs) -> Result<Found, Failure> {
    let mut control = client::connect(&args.admin).await?;
    let mut found = Found::default();
    if args.kind != GetKind::Workers {
        let request = ListResourcesRequest {
            kind: wire_kind(args.kind).to_owned(),
            namespace: args.namespace.clone().unwrap_or_default(),
            name: args.name.clone().unwrap_or_default(),
        };
        let answer =
            control.list_resources(request).await.map_err(|status| client::refused(&args.admin, &status))?;
        found.resources = answer.into_inner().resources;
    }
    // Workers have no namespace; with one given, `all` means resources.
    if args.kind == GetKind::Workers || (args.kind == GetKind::All && args.namespace.is_none()) {
        let answer = control
            .list_workers(ListWorkersRequest {})
            .await
            .map_err(|status| client::refused(&args.admin, &status))?;
        found.workers = answer.into_inner().workers;
        if let Some(name) = &args.name {
            found.workers.retain(|worker| worker.id == *name);
        }
    }
    Ok(found)
}

fn render(args: &GetArgs, found: &Found, console: &Console) -> String {
    match args.output {
        None => table::print(found, false, args.kind == GetKind::All, console),
        Some(GetOutput::Wide) => table::print(found, true, args.kind == GetKind::All, console),
        Some(GetOutput::Name) => names(found),
        Some(GetOutput::Json) => format!("{:#}\n", value(args, found)),
        Some(GetOutput::Yaml) => yaml::print(&value(args, found)),
    }
}

fn names(found: &Found) -> String {
    let resources = found
        .resources
        .iter()
        .map(|r| format!("{}/{}\n", r.kind.to_ascii_lowercase(), r.name))
        .collect::<String>();
    let workers = found.workers.iter().map(|worker| format!("worker/{}\n", worker.id)).collect::<String>();
    resources + &workers
}

/// One document when one was asked for by name and there is one, else a list.
fn value(args: &GetArgs, found: &Found) -> Value {
    let mut items: Vec<Value> =
        found.resources.iter().map(resource).chain(found.workers.iter().map(worker)).collect();
    if args.name.is_some() && items.len() == 1 {
        return items.pop().unwrap_or_default();
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// The resource as the user wrote it, with its present status.
fn resource(resource: &ResourceStatus) -> Value {
    let mut document = match serde_json::from_str(&resource.document) {
        Ok(Value::Object(map)) => map,
        // A document that does not decode has no canonical form to show.
        _ => {
            let metadata = json!({"name": resource.name, "namespace": resource.namespace});
            serde_json::Map::from_iter([("metadata".to_owned(), metadata)])
        }
    };
    document.entry("kind").or_insert_with(|| json!(resource.kind));
    let finding = |finding: &portcullis_proto::admin::v1::Finding| {
        json!({
            "level": if finding.error { "error" } else { "warning" },
            "path": finding.path, "message": finding.message,
            "file": finding.file, "line": finding.line, "column": finding.column,
        })
    };
    let mut status = json!({
        "state": resource.state,
        "workersServing": resource.workers_serving,
        "workersTotal": resource.workers_total,
        "ageSeconds": resource.age_seconds,
        "source": {"file": resource.file, "line": resource.line},
    });
    if let Some(map) = status.as_object_mut() {
        if !resource.reason.is_empty() {
            map.insert("reason".to_owned(), json!(resource.reason));
        }
        if !resource.worker_errors.is_empty() {
            map.insert("workerErrors".to_owned(), json!(resource.worker_errors));
        }
        if resource.last_accepted_form {
            map.insert("usesLastAcceptedForm".to_owned(), json!(true));
        }
        if !resource.findings.is_empty() {
            map.insert("findings".to_owned(), resource.findings.iter().map(finding).collect());
        }
    }
    document.insert("status".to_owned(), status);
    Value::Object(document)
}

fn worker(worker: &Worker) -> Value {
    json!({
        "kind": "Worker",
        "metadata": {"name": worker.id},
        "proxyName": worker.proxy_name,
        "pid": worker.pid,
        "build": worker.build,
        "adminAddress": worker.admin_address,
        "status": {
            "state": worker.state,
            "reason": worker.reason,
            "version": worker.version,
            "connectedSeconds": worker.connected_seconds,
            "activeConnections": worker.active_connections,
        },
    })
}

/// The kind's name in the admin API; empty = all.
fn wire_kind(kind: GetKind) -> &'static str {
    match kind {
        GetKind::Gateways => "Gateway",
        GetKind::HttpGateways => "MatchableHttpGateway",
        GetKind::TcpGateways => "MatchableTcpGateway",
        GetKind::VirtualServices => "VirtualService",
        GetKind::RouteTables => "RouteTable",
        GetKind::Upstreams => "Upstream",
        GetKind::UpstreamGroups => "UpstreamGroup",
        GetKind::Workers | GetKind::All => "",
    }
}

fn plural(kind: GetKind) -> &'static str {
    match kind {
        GetKind::Gateways => "gateways",
        GetKind::HttpGateways => "matchable http gateways",
        GetKind::TcpGateways => "matchable tcp gateways",
        GetKind::VirtualServices => "virtual services",
        GetKind::RouteTables => "route tables",
        GetKind::Upstreams => "upstreams",
        GetKind::UpstreamGroups => "upstream groups",
        GetKind::Workers => "workers",
        GetKind::All => "resources",
    }
}

fn singular(kind: GetKind) -> &'static str {
    let plural = plural(kind);
    plural.strip_suffix('s').unwrap_or(plural)
}
