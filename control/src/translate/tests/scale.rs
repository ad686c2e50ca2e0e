//! Many virtual services, and one edit among them.

use std::sync::Arc;

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
