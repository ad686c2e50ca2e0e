//! A folder of a case as a snapshot.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_control::compile::{self, Table};
use portcullis_control::resource::{self, Entry, Finding, ObjectRef, Spec};
use portcullis_control::translate::{
    self, Accepted, CertificateSource, Memo, SecretFacts, SecretIndex, Snapshot, Translated,
};

/// Reads `in.yaml` and, if it is there, `accepted.yaml`.
pub fn read(dir: &Path) -> (Snapshot, Vec<Finding>) {
    let parse = |name: &str| {
        let text = std::fs::read_to_string(dir.join(name)).ok()?;
        Some(resource::parse(Path::new(name), &text, "gloo-system"))
    };
    let input = parse("in.yaml").expect("a golden case has an in.yaml");
    let mut snapshot = Snapshot { secrets: secrets(&input.entries), ..Snapshot::default() };
    for entry in input.entries {
        if !snapshot.entries.contains_key(&entry.id) {
            snapshot.entries.insert(entry.id.clone(), entry);
        }
    }
    for (order, entry) in parse("accepted.yaml").into_iter().flat_map(|it| it.entries).enumerate() {
        let object = entry.object.clone().expect("an accepted form decodes");
        snapshot.accepted.insert(entry.id.clone(), Accepted { object, order: order as u64 });
    }
    let said = input.problems.into_iter().chain(input.notices).collect();
    (snapshot, said)
}

/// Facts as the keyring gives them, from whatever texts stand in the Secrets; `BROKEN` in the key is a broken one.
fn secrets(entries: &[Arc<Entry>]) -> SecretIndex {
    let facts = |entry: &Arc<Entry>| {
        let Spec::Secret(secret) = &entry.object.as_ref()?.spec else {
            return None;
        };
        let ObjectRef { namespace, name, .. } = &entry.id;
        let source = CertificateSource::Secret { namespace: namespace.clone(), name: name.clone() };
        let key = secret.tls.private_key.as_ref();
        let broken = key.is_some_and(|key| key.expose().starts_with(b"BROKEN"));
        let facts = SecretFacts {
            digest: secret.tls.digest,
            has_certificate: secret.tls.cert_chain.is_some() && key.is_some() && !broken,
            has_ca: secret.tls.root_ca.is_some(),
            problem: broken.then(|| "not a valid TLS secret: the key does not fit".to_owned()),
            content: None,
        };
        Some((source, facts))
    };
    entries.iter().filter_map(facts).collect()
}

/// Translates and compiles, and checks that a second look at the same snapshot gives the same.
pub fn run(snapshot: &Snapshot) -> (BTreeMap<Arc<str>, Arc<Table>>, Translated) {
    let (mut memo, mut compiled) = (Memo::default(), compile::Memo::default());
    let translated = translate::translate(snapshot, &mut memo);
    let tables = compile::compile(&translated.ir, &snapshot.secrets, &mut compiled);
    let again = translate::translate(snapshot, &mut memo);
    assert_eq!(again.report, translated.report);
    let same = compile::compile(&again.ir, &snapshot.secrets, &mut compiled);
    for (proxy, table) in &tables {
        assert!(Arc::ptr_eq(table, &same[proxy]), "the memo of {proxy} does not hold");
        let decoded = compile::decode(table);
        assert!(decoded.invalid.is_empty(), "a worker would refuse {:?}", decoded.invalid);
    }
    (tables, translated)
}
