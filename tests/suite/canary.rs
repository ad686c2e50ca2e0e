//! Weighted destinations, and an edit of their weights under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::{two_versions, virtual_service};

fn split(v1: u32, v2: u32) -> String {
    let destination = |name: &str, weight: u32| {
        format!(
            "          - {{weight: {weight}, destination: {{upstream: {{name: {name}, namespace: gloo-system}}}}}}\n"
        )
    };
    let routes = format!(
        "    - matchers: [{{prefix: /}}]\n      routeAction:\n        multi:\n          destinations:\n{}{}",
        destination("v1", v1),
        destination("v2", v2)
    );
    virtual_service("canary", "['canary.test']", &routes)
}

async fn count(gateway: &Gateway, requests: u32) -> (u32, u32) {
    let (mut v1, mut v2) = (0, 0);
    for _ in 0..requests {
        match gateway.get("canary.test", "/").await.served_by().as_str() {
            "v1" => v1 += 1,
            "v2" => v2 += 1,
            other => panic!("answered by {other:?}"),
        }
    }
    (v1, v2)
}

#[tokio::test]
async fn weights_are_kept_and_zero_means_never() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("canary.yaml", &split(90, 10));
    let gateway = gateway.start().await;
    let (_, v2) = count(&gateway, 600).await;
    // Ten per cent of 600 is 60; five standard deviations are 37.
    assert!((23..=97).contains(&v2), "{v2} of 600 went to the canary");

    gateway.write("canary.yaml", &split(0, 1));
    // Twenty in a row are one in 10^20 under the old weights.
    portcullis_tests::wait::until("the new weights", async || {
        (count(&gateway, 20).await == (0, 20)).then_some(())
    })
    .await;
    assert_eq!(count(&gateway, 100).await, (0, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_the_weights_takes_effect_on_every_worker_and_fails_no_request() {
    let gateway = Gateway::new().workers(2);
    let _upstreams = two_versions(&gateway).await;
    gateway.write("canary.yaml", &split(1, 0));
    let gateway = gateway.start().await;

    let (stop, failed, done) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let address = gateway.http();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (stop, failed, done) = (Arc::clone(&stop), Arc::clone(&failed), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match client::request(address, "GET", "canary.test", "/", &[], "").await {
                        Ok(answer) if answer.status == 200 => done.fetch_add(1, Ordering::Relaxed),
                        _ => failed.fetch_add(1, Ordering::Relaxed),
                    };
                }
            })
        })
        .collect();

    for round in 0..10 {
        let wanted = if round % 2 == 0 { "v2" } else { "v1" };
        gateway.write("canary.yaml", &if wanted == "v2" { split(0, 1) } else { split(1, 0) });
        let start = Instant::now();
        // Every worker: a run of new connections, which the kernel spreads over them, that all go the new way.
        let mut streak = 0;
        while streak < 20 {
            streak = if gateway.get("canary.test", "/").await.served_by() == wanted { streak + 1 } else { 0 };
            assert!(start.elapsed().as_secs() < 20, "the new weights never took effect everywhere");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {} requests", done.load(Ordering::Relaxed));
    assert!(done.load(Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn an_upstream_group_splits_like_inline_weights() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write(
        "group.yaml",
        "apiVersion: gloo.solo.io/v1\nkind: UpstreamGroup\nmetadata: {name: group, namespace: gloo-system}\nspec:\n  \
         destinations:\n  - {weight: 0, destination: {upstream: {name: v1}}}\n  \
         - {weight: 5, destination: {upstream: {name: v2}}}\n",
    );
    let routes = "    - matchers: [{prefix: /}]\n      routeAction: {upstreamGroup: {name: group, namespace: gloo-system}}\n";
    gateway.write("vs.yaml", &virtual_service("grouped", "['canary.test']", routes));
    let gateway = gateway.start().await;
    assert_eq!(count(&gateway, 50).await, (0, 50));
}
