//! Health checks and sticky routing, from the resources to the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{Response, StatusCode};
use portcullis_tests::backend::{Scripted, body, scripted};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::wait::until;

use crate::{forward, virtual_service};

/// A server that answers by its name, and its checks by whether it is well.
async fn server(gateway: &Gateway, name: &'static str) -> (Scripted, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&well);
    let server = scripted(gateway.ip, move |request| {
        let fine = request.uri().path() != "/health" || says.load(Relaxed);
        let status = if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        async move { Response::builder().status(status).body(body(name)).unwrap() }
    });
    (server.await, well)
}

async fn who(gateway: &Gateway) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..10 {
        names.push(gateway.get("checked.test", "/").await.text());
    }
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn an_endpoint_that_is_not_well_is_left_out_and_shown() {
    let gateway = Gateway::new();
    let ((a, well), (b, _)) = (server(&gateway, "a").await, server(&gateway, "b").await);
    let upstream = format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: pair, namespace: gloo-system}}\nspec:\n  static:\n    \
         hosts: [{{addr: {}, port: {}}}, {{addr: {}, port: {}}}]\n  loadBalancerConfig: {{updateMergeWindow: 0s}}\n  \
         healthChecks:\n  - {{timeout: 5s, interval: 20ms, noTrafficInterval: 20ms, unhealthyThreshold: 1, healthyThreshold: 1, \
         httpHealthCheck: {{path: /health}}}}\n",
        a.address.ip(),
        a.address.port(),
        b.address.ip(),
        b.address.port()
    );
    gateway.write("upstream.yaml", &upstream);
    gateway.write("route.yaml", &virtual_service("checked", "['checked.test']", &forward("/", "pair")));
    let gateway = gateway.start().await;
    assert_eq!(who(&gateway).await, ["a", "b"]);
    well.store(false, Relaxed);
    until("only b", async || (who(&gateway).await == ["b"]).then_some(())).await;
    let endpoints = client::get(gateway.admin(1), "/endpoints").await.unwrap().text();
    assert!(endpoints.contains(&format!("pair_gloo-system {}: failed its check", a.address)), "{endpoints}");
    well.store(true, Relaxed);
    until("both again", async || (who(&gateway).await == ["a", "b"]).then_some(())).await;
}
