//! Secrets, and what of them may be seen.

use super::*;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

fn tls(text: &str) -> TlsSecret {
    let entry = entry(text);
    assert!(entry.findings.is_empty(), "{:?}", entry.findings);
    let object = entry.object.unwrap();
    assert!(!object.document.contains("secret") && !object.document.contains("cert"), "{}", object.document);
    match &object.spec {
        Spec::Secret(secret) => secret.tls.clone(),
        other => panic!("{other:?}"),
    }
}

fn shown(part: &Option<std::sync::Arc<portcullis_shared::sensitive::Sensitive<Vec<u8>>>>) -> Option<&str> {
    part.as_ref().map(|bytes| std::str::from_utf8(bytes.expose()).unwrap())
}

#[test]
fn every_form_of_a_tls_secret_decodes() {
    let forms = [
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: Y2VydA==\n  tls.key: c2VjcmV0\n  ca.crt: Y2E=\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: cert\n  tls.key: secret\n  ca.crt: ca\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {resource_kind: '*v1.Secret'}}\ndata:\n  tls: Y2VydENoYWluOiBjZXJ0CnByaXZhdGVLZXk6IHNlY3JldApyb290Q2E6IGNhCg==\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {resource_kind: '*v1.Secret'}}\ndata:\n  certChain: Y2VydA==\n  privateKey: c2VjcmV0\n  rootCa: Y2E=\n",
        "metadata: {name: a}\ntls: {certChain: cert, privateKey: secret, rootCa: ca}\n",
        "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: a}\ntls: {cert_chain: cert, private_key: secret, root_ca: ca}\n",
        "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: a}\nspec:\n  tls: {certChain: cert, privateKey: secret, rootCa: ca}\n",
    ];
    let mut digests = std::collections::BTreeSet::new();
    for form in forms {
        let tls = tls(form);
        assert_eq!(shown(&tls.cert_chain), Some("cert"), "{form}");
        assert_eq!(shown(&tls.private_key), Some("secret"), "{form}");
        assert_eq!(shown(&tls.root_ca), Some("ca"), "{form}");
        assert!(tls.ocsp_staple.is_none());
        digests.insert(tls.digest);
    }
    assert_eq!(digests.len(), 1, "equal material has one digest");
}

#[test]
fn the_digest_follows_the_material() {
    let object = |key: &str| {
        let text =
            format!("kind: Secret\nmetadata: {{name: a}}\nstringData: {{tls.crt: c, tls.key: {key}}}\n");
        entry(&text).object.unwrap()
    };
    assert_eq!(object("one").digest, object("one").digest);
    assert_ne!(object("one").digest, object("two").digest);
    assert!(!format!("{:?}", object("one")).contains("one"));
}

#[test]
fn other_secrets_are_notices() {
    for (text, notice) in [
        (
            "type: Opaque\ndata: {x-key: YQ==}",
            "Secret default.a is a header secret (Opaque), which is not supported yet",
        ),
        (
            "type: extauth.solo.io/oauth\ndata: {client-secret: YQ==}",
            "Secret default.a is an OAuth secret, which is not supported yet",
        ),
        ("data: {aws_access_key_id: YQ==}", "Secret default.a is an AWS secret, which is not supported yet"),
        (
            "type: kubernetes.io/service-account-token\ndata: {token: YQ==}",
            "Secret default.a of type kubernetes.io/service-account-token is left alone",
        ),
    ] {
        let parsed = parsed(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{text}\n"));
        assert!(parsed.entries.is_empty() && parsed.problems.is_empty());
        assert!(parsed.notices[0].message.starts_with(notice), "{}", parsed.notices[0].message);
    }
    let parsed =
        parsed("apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: a}\naws: {accessKey: x}\n");
    assert!(
        parsed.notices[0].message.contains("of kind `aws`, which is not supported yet"),
        "{:?}",
        parsed.notices
    );
}

#[test]
fn what_is_wrong_is_told_without_the_value() {
    let bad = "kind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: '*hidden*'\n  tls.key: [hidden]\n";
    assert_eq!(
        said(bad),
        [
            "error 5:12 data[tls.crt]: the value is not base64; plain text belongs under `stringData`",
            "error 6:12 data[tls.key]: needs a text",
        ]
    );
    assert!(entry(bad).object.is_none());
    let own = "metadata: {name: a}\ntls: {certChain: 7, privateKey: 987, rootCA: x}\n";
    let own = said(own);
    assert_eq!(own.len(), 3, "{own:?}");
    assert!(own.iter().all(|text| !text.contains("987")), "{own:?}");
    assert!(own[2].contains("did you mean `rootCa`?"), "{own:?}");
    let empty = said("kind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\n");
    assert!(empty[0].contains("needs `data` with `tls.crt` and `tls.key`"), "{empty:?}");
}

#[test]
fn an_inline_private_key_is_in_no_document_and_in_no_debug_text() {
    let key: String = KEY.lines().map(|line| format!("      {line}\n")).collect();
    let text = virtual_service(&format!(
        "sslConfig:\n  sslFiles:\n    tlsCert: /etc/cert.pem\n    tlsKey: |\n{key}"
    ));
    let object = entry(&text).object.unwrap();
    assert!(
        !object.document.contains("c2VjcmV0") && object.document.contains("inline:"),
        "{}",
        object.document
    );
    assert!(!format!("{object:?}").contains("c2VjcmV0"));
    let key_of = |object: &Object| match &object.spec {
        Spec::VirtualService(vs) => {
            vs.ssl_config.as_ref().unwrap().ssl_files.as_ref().unwrap().tls_key.clone().unwrap()
        }
        other => panic!("{other:?}"),
    };
    match key_of(&object) {
        KeyFile::Inline(key) => assert_eq!(key.pem.unwrap().expose(), KEY),
        other => panic!("{other:?}"),
    }
    let again = decode_document(Kind::VirtualService, &object.document).unwrap();
    assert_eq!(again.digest, object.digest);
    assert_eq!(key_of(&again), key_of(&object), "the digest is the identity of a key");
    assert!(matches!(key_of(&again), KeyFile::Inline(key) if key.pem.is_none()));
}
