//! Many virtual services, and one edit among them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{Memo, Snapshot, translate};
use super::put;
use crate::compile;

fn many(count: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let text: Vec<String> = (0..count).map(|at| service(at, 90)).collect();
    put(&mut snapshot, &text.join("---\n"));
    let upstreams: Vec<String> = (0..count)
        .map(|at| {
            format!(
                "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: u{at}, namespace: shop}}\n\
                 spec: {{static: {{hosts: [{{addr: 10.0.0.1, port: 80}}]}}}}\n"
            )
        })
        .collect();
    put(&mut snapshot, &upstreams.join("---\n"));
    snapshot
}

fn service(at: usize, weight: u32) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: service-{at}, namespace: shop}}\n\
         spec:\n  virtualHost:\n    domains: [host-{at}.example.com]\n    routes:\n    - matchers: [{{prefix: /a}}]\n\
         \x20     routeAction:\n        multi:\n          destinations:\n\
         \x20         - {{destination: {{upstream: {{name: u{at}}}}}, weight: {weight}}}\n\
         \x20         - {{destination: {{upstream: {{name: u0}}}}, weight: 10}}\n"
    )
}

#[test]
fn one_edit_recompiles_one_virtual_service() {
    let mut snapshot = many(200);
    let (mut memo, mut compiled) = (Memo::default(), compile::Memo::default());
    let translated = translate(&snapshot, &mut memo);
    let before = compile::compile(&translated.ir, &snapshot.secrets, &mut compiled);
    put(&mut snapshot, &service(7, 50));
    let translated = translate(&snapshot, &mut memo);
    let after = compile::compile(&translated.ir, &snapshot.secrets, &mut compiled);
    let (before, after) = (&before["gateway-proxy"], &after["gateway-proxy"]);
    let changed: Vec<_> =
        after.entries.iter().filter(|(key, entry)| !Arc::ptr_eq(entry, &before.entries[*key])).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(&*changed[0].0.1, "shop_service-7");
    assert_ne!(before.digest, after.digest);
}

/// Time that this thread has run, which a busy machine does not lengthen.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Prints how long it takes: `cargo test --release -p portcullis-control --lib scale -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout, reason = "a measurement")]
fn ten_thousand() {
    let mut snapshot = many(10_000);
    let (mut memo, mut compiled) = (Memo::default(), compile::Memo::default());
    let start = Instant::now();
    let translated = translate(&snapshot, &mut memo);
    let between = Instant::now();
    let _before = compile::compile(&translated.ir, &snapshot.secrets, &mut compiled);
    println!("full: translate {:?}, compile {:?}", between - start, between.elapsed());
    for weight in 0..10 {
        put(&mut snapshot, &service(77, weight));
        let start = on_cpu();
        let translated = translate(&snapshot, &mut memo);
        let between = on_cpu();
        let _table = compile::compile(&translated.ir, &snapshot.secrets, &mut compiled);
        println!("one edit: translate {:?}, compile {:?} on the CPU", between - start, on_cpu() - between);
    }
}
