use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::material::{Material, Parts, Unusable};
use super::*;
use crate::ir::KeySource;

/// A self-signed certificate and its key, PEM.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn ca() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn parse(cert: &str, key: &str, ca: &str) -> Result<Material, Unusable> {
    fn some(text: &str) -> Option<&[u8]> {
        (!text.is_empty()).then_some(text.as_bytes())
    }
    Material::parse("ns.name".into(), Parts { cert: some(cert), key: some(key), ca: some(ca), ocsp: None })
}

fn problem(outcome: Result<Material, Unusable>) -> String {
    outcome.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn a_chain_with_its_key_is_a_certificate_and_a_ca_alone_is_a_ca() {
    let (cert, key) = pair("a.example");
    let facts = parse(&cert, &key, "").unwrap().facts();
    assert!(facts.has_certificate && !facts.has_ca && facts.problem.is_none());
    let facts = parse("", "", &ca()).unwrap().facts();
    assert!(!facts.has_certificate && facts.has_ca);
    let facts = parse(&cert, &key, &ca()).unwrap().facts();
    assert!(facts.has_certificate && facts.has_ca);
}

#[test]
fn the_digest_covers_every_byte_and_nothing_else() {
    let (cert, key) = pair("a.example");
    let digest = |m: Result<Material, Unusable>| m.unwrap().facts().digest;
    let plain = digest(parse(&cert, &key, ""));
    assert_eq!(plain, digest(parse(&format!("\n{cert}\n\n"), &key, "")), "white space is no change");
    assert_ne!(plain, digest(parse(&cert, &key, &ca())));
    let (cert, key) = pair("a.example");
    assert_ne!(plain, digest(parse(&cert, &key, "")));
}

#[test]
fn the_digest_is_that_of_the_wire_form() {
    use prost::Message;
    let (cert, key) = pair("a.example");
    let material = parse(&cert, &key, "").unwrap();
    assert_eq!(material.facts().digest, Digest::of(&material.to_wire().encode_to_vec()));
}

#[test]
fn what_cannot_be_used_is_said_in_the_words_that_users_know() {
    let ((cert, key), (_, other)) = (pair("a.example"), pair("b.example"));
    assert_eq!(problem(parse("", "", "")), "no certificate information found");
    assert_eq!(
        problem(parse(&cert, &other, "")),
        "not a valid TLS secret: the private key does not belong to the certificate"
    );
    assert_eq!(
        problem(parse(&cert, "", "")),
        "not a valid TLS secret: certificate chain without a private key"
    );
    assert_eq!(
        problem(parse("", &key, "")),
        "not a valid TLS secret: private key without a certificate chain"
    );
    for (cert, key, ca) in
        [("nonsense", key.as_str(), ""), (&cert, "nonsense", ""), (&cert, &key, "nonsense")]
    {
        let problem = problem(parse(cert, key, ca));
        assert!(problem.starts_with("not a valid TLS secret: "), "{problem}");
        assert!(problem.contains("no PEM block"), "{problem}");
    }
}

#[test]
fn a_problem_never_shows_key_bytes() {
    let (cert, key) = pair("a.example");
    let body: String = key.lines().nth(1).unwrap().to_owned();
    let broken = key.replace(&body, &format!("{}!!!", &body[..20]));
    let problem = problem(parse(&cert, &broken, ""));
    assert!(problem.starts_with("not a valid TLS secret: private key"), "{problem}");
    assert!(!problem.contains(&body[..20]), "{problem}");
}

fn files(dir: &Path) -> CertificateSource {
    let path = |name: &str| -> Arc<str> { dir.join(name).to_str().unwrap().into() };
    CertificateSource::Files {
        cert: Some(path("tls.crt")),
        key: Some(KeySource::Path(path("tls.key"))),
        root_ca: None,
        ocsp: None,
    }
}

fn write(dir: &Path, (cert, key): &(String, String)) {
    std::fs::write(dir.join("tls.crt"), cert).unwrap();
    std::fs::write(dir.join("tls.key"), key).unwrap();
}

#[test]
fn files_are_read_when_they_are_wanted_and_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let source = files(dir.path());
    let mut ring = Ring::default();
    ring.want(&BTreeSet::from([source.clone()]));

    assert!(ring.read_files());
    let facts = ring.keys(0).index.lookup(&source).unwrap().clone();
    assert!(facts.problem.unwrap().contains("cannot read"), "a missing file is a problem of its source");

    write(dir.path(), &pair("a.example"));
    assert!(ring.read_files());
    let first = ring.keys(0).index.lookup(&source).unwrap().clone();
    assert!(first.has_certificate && first.problem.is_none());
    assert!(!ring.read_files(), "nothing changed");

    // As Kubernetes does it: new files under another name, moved over the old ones.
    let staged = tempfile::tempdir_in(dir.path()).unwrap();
    write(staged.path(), &pair("a.example"));
    for name in ["tls.crt", "tls.key"] {
        std::fs::rename(staged.path().join(name), dir.path().join(name)).unwrap();
    }
    assert!(ring.read_files());
    let second = ring.keys(0).index.lookup(&source).unwrap().clone();
    assert_ne!(first.digest, second.digest);

    std::fs::remove_file(dir.path().join("tls.key")).unwrap();
    assert!(ring.read_files());
    let keys = ring.keys(0);
    let lost = keys.index.lookup(&source).unwrap();
    assert_eq!((lost.digest, lost.has_certificate), (second.digest, true), "what was good stays in use");
    assert!(lost.problem.is_some());
    assert!(keys.material(&source).is_some());

    assert!(ring.want(&BTreeSet::new()));
    assert!(ring.keys(0).index.lookup(&source).is_none());
}

#[test]
fn text_may_stand_in_place_of_a_path() {
    let (cert, key) = pair("a.example");
    let inline = |pem: Option<String>| CertificateSource::Files {
        cert: Some(cert.as_str().into()),
        key: Some(KeySource::Inline {
            digest: Digest::of(key.as_bytes()),
            pem: pem.map(|pem| Arc::new(Sensitive::new(pem))),
        }),
        root_ca: None,
        ocsp: None,
    };
    let stored = inline(None);
    let mut ring = Ring::default();
    ring.want(&BTreeSet::from([stored.clone()]));
    ring.read_files();
    let facts = ring.keys(0).index.lookup(&stored).unwrap().clone();
    assert!(!facts.has_certificate && facts.problem.is_some());
    // The same source, now with its text.
    ring.want(&BTreeSet::from([inline(Some(key.clone()))]));
    assert!(ring.read_files());
    assert!(ring.keys(0).index.lookup(&stored).unwrap().has_certificate);
}
