//! Many VirtualServices as the core of control sees them, and one edit among them.

#![allow(dead_code, reason = "each bench uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use portcullis_control::compile::{self, Body, Table};
use portcullis_control::resource;
use portcullis_control::translate::{self, Snapshot};
use portcullis_proto::link::v1::Upsert;
use portcullis_shared::table::upsert;

/// Numbers of VirtualServices.
pub const COUNTS: [usize; 3] = [100, 1_000, 10_000];

/// Two upstreams, and VirtualServices that split between them.
pub fn snapshot(count: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let upstreams = ["a", "b"].map(|name| {
        format!(
            "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
             spec: {{static: {{hosts: [{{addr: 192.0.2.1, port: 80}}]}}}}\n"
        )
    });
    put(&mut snapshot, &upstreams.join("---\n"));
    for number in 0..count {
        put(&mut snapshot, &service(number, &format!("h{number}.example.com"), 100));
    }
    snapshot
}

/// A VirtualService with two routes.
pub fn service(number: usize, domain: &str, weight: u32) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: vs-{number}, namespace: gloo-system}}\n\
         spec:\n  virtualHost:\n    domains: ['{domain}']\n    routes:\n    - matchers: [{{prefix: /api}}]\n\
         \x20     options: {{prefixRewrite: /}}\n\
         \x20     routeAction: {{single: {{upstream: {{name: a, namespace: gloo-system}}}}}}\n\
         \x20   - matchers: [{{prefix: /}}]\n      routeAction:\n        multi:\n          destinations:\n\
         \x20         - {{weight: {weight}, destination: {{upstream: {{name: a, namespace: gloo-system}}}}}}\n\
         \x20         - {{weight: 1, destination: {{upstream: {{name: b, namespace: gloo-system}}}}}}\n"
    )
}

/// Adds or replaces resources.
pub fn put(snapshot: &mut Snapshot, text: &str) {
    for entry in resource::parse(Path::new("in.yaml"), text, "gloo-system").entries {
        snapshot.entries.insert(entry.id.clone(), entry);
    }
}

/// Two snapshots that differ by the weight, or by the domain, of the VirtualService in the middle.
pub fn edited(count: usize, domain: bool) -> [Snapshot; 2] {
    let (before, middle) = (snapshot(count), count / 2);
    let mut after = before.clone();
    let name = if domain { "other.example.com".to_owned() } else { format!("h{middle}.example.com") };
    put(&mut after, &service(middle, &name, 50));
    [before, after]
}

/// The table of a snapshot.
pub fn table(snapshot: &Snapshot, memo: &mut (translate::Memo, compile::Memo)) -> Arc<Table> {
    let translated = translate::translate(snapshot, &mut memo.0);
    let tables = compile::compile(&translated.ir, &snapshot.secrets, &mut memo.1);
    tables.into_values().next().unwrap_or_default()
}

/// Everything that a worker is sent of a table.
pub fn upserts(table: &Table) -> Vec<Upsert> {
    let resources = table.entries.values().filter_map(|entry| match &entry.body {
        Body::Upsert(resource) => Some(upsert(resource.clone())),
        Body::Certificate(_) => None,
    });
    resources.collect()
}

/// Short enough to be run while one works.
pub fn short() -> Criterion {
    let short = Criterion::default().sample_size(10);
    short.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}
