//! Key material from outside: Secrets and files in, `Certificate` resources out, and nothing else when they rotate.

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
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::Kind;
use support::{Control, Worker, eventually};

fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("      {line}\n")).collect()
}

fn secret((cert, key): &(String, String)) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {{name: s, namespace: gloo-system}}\nspec:\n  tls:\n    \
         certChain: |\n{}    privateKey: |\n{}",
        indented(cert),
        indented(key)
    )
}

fn service(ssl: &str) -> String {
    format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: gloo-system}}\nspec:\n  \
         sslConfig: {ssl}\n  virtualHost:\n    domains: ['*']\n    routes:\n    - matchers: [{{prefix: /}}]\n      \
         directResponseAction: {{status: 200}}\n"
    )
}

const BY_SECRET: &str = "{secretRef: {name: s, namespace: gloo-system}}";

/// The leaf of the only certificate that the worker has.
fn leaf(worker: &Worker) -> Vec<u8> {
    let certificates: Vec<_> = worker
        .held
        .values()
        .filter_map(|(_, resource)| match resource {
            Resource::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    assert_eq!(certificates.len(), 1);
    assert!(!certificates[0].key_der.is_empty());
    certificates[0].chain_der[0].to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn a_rotated_secret_is_sent_alone_and_a_broken_one_changes_nothing() {
    let (first, second, third) = (pair(), pair(), pair());
    let control = Control::start(&[("s.yaml", &secret(&first)), ("v.yaml", &service(BY_SECRET))]).await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    worker.transaction().await;
    assert_eq!(leaf(&worker), der(&first.0), "the first table is complete");
    worker.ack().await;

    control.write("s.yaml", &secret(&second));
    let rotation = worker.transaction().await;
    assert_eq!(rotation.upserts, [(Kind::Certificate as i32, "gloo-system.s".to_owned())]);
    assert_eq!(leaf(&worker), der(&second.0));
    worker.ack().await;

    // The key of another certificate: reported, and what is good stays.
    control.write("s.yaml", &secret(&(third.0.clone(), second.1.clone())));
    let reason = eventually(async || {
        let request = admin::ListResourcesRequest { name: "v".to_owned(), ..Default::default() };
        let listed = control.admin().await.list_resources(request).await.ok()?.into_inner().resources;
        listed.into_iter().find(|row| row.state != "Accepted").map(|row| row.reason)
    })
    .await;
    assert!(reason.contains("does not belong to the certificate"), "{reason}");
    control.write("s.yaml", &secret(&third));
    let repaired = worker.transaction().await;
    assert_eq!(repaired.upserts, [(Kind::Certificate as i32, "gloo-system.s".to_owned())]);
    assert_eq!(leaf(&worker), der(&third.0));
}

#[tokio::test]
async fn files_are_read_before_the_first_table_and_followed() {
    let (first, second) = (pair(), pair());
    let keys = tempfile::tempdir().unwrap();
    let put = |pair: &(String, String)| {
        std::fs::write(keys.path().join("tls.crt"), &pair.0).unwrap();
        std::fs::write(keys.path().join("tls.key"), &pair.1).unwrap();
    };
    put(&first);
    let dir = keys.path().display();
    let ssl = format!("{{sslFiles: {{tlsCert: {dir}/tls.crt, tlsKey: {dir}/tls.key}}}}");
    let mut control = Control::start(&[("v.yaml", &service(&ssl))]).await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    worker.transaction().await;
    assert_eq!(leaf(&worker), der(&first.0));
    worker.ack().await;

    put(&second);
    let rotation = worker.transaction().await;
    assert_eq!(rotation.upserted(Kind::Certificate).len(), 1);
    assert_eq!(rotation.upserts.len(), 1, "{rotation:?}");
    assert_eq!(leaf(&worker), der(&second.0));
    worker.ack().await;

    // A new process has the files in its first table: nothing is taken away in between.
    let held = worker.held.clone();
    control.crash().await;
    let mut worker = Worker::connect(&control, "worker-0", held).await;
    let again = worker.transaction().await;
    assert!(again.upserts.is_empty() && again.removes.is_empty(), "{again:?}");
}

#[tokio::test]
async fn no_key_is_logged_stored_or_told() {
    let pair = pair();
    let control = Control::start(&[("s.yaml", &secret(&pair)), ("v.yaml", &service(BY_SECRET))]).await;
    let mut worker = Worker::connect(&control, "worker-0", Default::default()).await;
    worker.transaction().await;
    worker.ack().await;
    let needle: String = pair.1.lines().nth(1).unwrap().chars().take(40).collect();
    let listed = control.admin().await.list_resources(admin::ListResourcesRequest::default()).await.unwrap();
    assert!(!format!("{listed:?}").contains(&needle));
    let stored = walk(&control.dir.path().join("data"));
    assert!(!stored.is_empty());
    for file in stored {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(needle.len()).any(|part| part == needle.as_bytes()), "{}", file.display());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(walk(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files
}
