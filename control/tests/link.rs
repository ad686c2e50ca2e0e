//! The control process from outside: a folder of resources in, the private protocol out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a helper of a test fails as the test does"
)]

mod support;

use portcullis_proto::admin::v1 as admin;
use portcullis_proto::link::v1 as wire;
use portcullis_proto::link::v1::worker_frame::Frame as Up;
use portcullis_proto::table::v1::Kind;
use support::{Control, Worker, eventually};

fn upstream(name: &str, host: &str) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec: {{static: {{hosts: [{{addr: {host}, port: 8080}}]}}}}\n"
    )
}

fn service(name: &str, prefix: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
         spec:\n  virtualHost:\n    domains: ['{name}.example']\n    routes:\n    - matchers: [{{prefix: {prefix}}}]\n      \
         routeAction: {{single: {{upstream: {{name: one, namespace: gloo-system}}}}}}\n"
    )
}

async fn start() -> Control {
    Control::start(&[
        ("one.yaml", &upstream("one", "192.0.2.1")),
        ("a.yaml", &service("a", "/a")),
        ("b.yaml", &service("b", "/b")),
    ])
    .await
}

async fn status(control: &Control, kind: &str, name: &str) -> Option<admin::ResourceStatus> {
    let request = admin::ListResourcesRequest {
        kind: kind.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    control.admin().await.list_resources(request).await.ok()?.into_inner().resources.pop()
}

#[tokio::test]
async fn a_worker_gets_the_table_and_then_exactly_what_changes() {
    let mut control = start().await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    let first = worker.transaction().await;
    assert_eq!(first.upserted(Kind::VirtualHost).len(), 2);
    assert_eq!(worker.names(Kind::Upstream).len(), 1);
    assert!(!worker.names(Kind::Listener).is_empty());
    worker.ack().await;
    worker.until(|worker| worker.synced).await;

    // An edit sends its virtual host and nothing else.
    control.write("a.yaml", &service("a", "/changed"));
    let edit = worker.transaction().await;
    assert_eq!(edit.upserts.len(), 1, "{edit:?}");
    assert_eq!(edit.upserted(Kind::VirtualHost), ["gloo-system_a"]);
    assert!(edit.removes.is_empty() && !edit.reset);
    worker.ack().await;
    let served = eventually(async || {
        let status = status(&control, "VirtualService", "a").await?;
        (status.workers_serving == 1).then_some(status)
    })
    .await;
    assert_eq!((served.state.as_str(), served.workers_total), ("Accepted", 1));

    // A broken file is reported and takes nothing away; the next good one applies.
    control.write("a.yaml", "apiVersion: gateway.solo.io/v1\nkind: VirtualService\n  broken: [");
    control.write("b.yaml", &service("b", "/changed"));
    let other = worker.transaction().await;
    assert_eq!(other.upserted(Kind::VirtualHost), ["gloo-system_b"]);
    assert!(other.removes.is_empty(), "{other:?}");
    worker.ack().await;
    let unknown_field = service("a", "/x").replace("virtualHost", "virtualHoost");
    control.write("a.yaml", &unknown_field);
    let rejected = eventually(async || {
        let status = status(&control, "VirtualService", "a").await?;
        (status.state == "Rejected").then_some(status)
    })
    .await;
    assert!(rejected.last_accepted_form);
    assert_eq!(rejected.workers_serving, 1, "the last accepted form is served: {rejected:?}");

    // A deletion removes.
    control.remove("b.yaml");
    let gone = worker.transaction().await;
    assert!(gone.removes.contains(&(Kind::VirtualHost as i32, "gloo-system_b".to_owned())), "{gone:?}");
    assert!(gone.upserted(Kind::VirtualHost).is_empty());
    worker.ack().await;

    // An orderly end says goodbye.
    let code = control.stop();
    let goodbye = worker.until(|worker| worker.goodbye);
    let (code, ()) = tokio::join!(code, goodbye);
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn after_a_crash_the_worker_gets_nothing_that_it_has() {
    let mut control = start().await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    worker.transaction().await;
    worker.ack().await;
    // The broken form was there before the crash: the accepted one must survive it.
    control.write("a.yaml", &service("a", "/x").replace("virtualHost", "virtualHoost"));
    eventually(async || {
        let status = status(&control, "VirtualService", "a").await?;
        status.last_accepted_form.then_some(())
    })
    .await;
    let (epoch, held) = (worker.epoch, worker.held.clone());

    control.crash().await;
    let mut worker = Worker::connect(&control, "worker-0", held).await;
    assert!(worker.epoch > epoch);
    let again = worker.transaction().await;
    assert!(again.upserts.is_empty() && again.removes.is_empty() && !again.reset, "{again:?}");
    assert_eq!(again.version.unwrap().epoch, worker.epoch);
    worker.ack().await;
    worker.until(|worker| worker.synced).await;
    let status = status(&control, "VirtualService", "a").await.unwrap();
    assert_eq!((status.state.as_str(), status.last_accepted_form), ("Rejected", true));
}

#[tokio::test]
async fn what_a_worker_refuses_is_seen_in_the_admin_api() {
    let control = start().await;
    let mut worker = Worker::connect(&control, "worker-7", Default::default()).await;
    worker.transaction().await;
    worker.nack(Kind::VirtualHost, "gloo-system_a", "no such policy").await;
    let listed = eventually(async || {
        let answer =
            control.admin().await.list_workers(admin::ListWorkersRequest {}).await.ok()?.into_inner();
        let worker = answer.workers.first()?.clone();
        (worker.state == "rejecting").then_some((worker, answer.listeners))
    })
    .await;
    assert_eq!(listed.0.id, "worker-7");
    assert!(listed.0.reason.contains("gloo-system_a: no such policy"), "{}", listed.0.reason);
    assert!(listed.1.contains(&"http://[::]:8080".to_owned()), "{:?}", listed.1);
    let status = status(&control, "VirtualService", "a").await.unwrap();
    assert_eq!((status.workers_serving, status.workers_total), (0, 1));
    let (code, metrics) = control.get("/metrics").await;
    assert_eq!(code, 200);
    assert!(metrics.contains("portcullis_control_nacks_total 1"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn drift_is_repaired_and_a_confused_worker_is_sent_away() {
    let control = start().await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    worker.transaction().await;
    worker.ack().await;
    let lost = worker.held.keys().next().cloned().unwrap();
    worker.held.remove(&lost);
    worker.beat().await;
    let repair = worker.transaction().await;
    assert!(repair.reset);
    worker.ack().await;

    let answer = wire::Ack { version: Some(wire::Version { epoch: 1, seq: 1 }) };
    worker.send(Up::Ack(answer)).await;
    let end = tokio::time::timeout(support::PATIENCE, worker.ended()).await.unwrap();
    assert_eq!(end.code(), tonic::Code::InvalidArgument, "{end:?}");
}

#[tokio::test]
async fn addresses_come_before_the_upstream_that_needs_them() {
    let control =
        Control::start(&[("one.yaml", &upstream("one", "localhost")), ("a.yaml", &service("a", "/a"))]).await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    worker.transaction().await;
    worker.ack().await;
    worker.until(|worker| worker.endpoints.contains_key("one_gloo-system")).await;
    let set = &worker.endpoints["one_gloo-system"];
    let first = set.endpoints.first().unwrap();
    assert_eq!(
        (first.address.as_str(), first.port, first.hostname.as_str()),
        ("127.0.0.1", 8080, "localhost")
    );
    // A second worker comes when everything is known.
    let mut second = Worker::connect(&control, "worker-1", Default::default()).await;
    second.transaction().await;
    assert!(second.endpoints.contains_key("one_gloo-system"), "the set must come before the table");
}

#[tokio::test]
async fn health_and_readiness_are_answered_over_http() {
    let control = start().await;
    assert_eq!(control.get("/healthz").await, (200, "ok\n".to_owned()));
    let body = eventually(async || {
        let (code, body) = control.get("/readyz?verbose").await;
        (code == 200).then_some(body)
    })
    .await;
    assert!(body.contains("[+] tables: version"), "{body}");
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_in_words() {
    let control = start().await;
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_portcullis-control"))
        .args(["--admin", "127.0.0.1:0", "--config"])
        .arg(control.dir.path().join("config"))
        .arg("--data-dir")
        .arg(control.dir.path().join("data"))
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("is in use by another portcullis-control"), "{stderr}");
}
