//! Secrets: TLS material out of Kubernetes' form, of Gloo's generic form inside a Kubernetes Secret, and of Gloo's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_shared::sensitive::Sensitive;
use portcullis_shared::version::Digest;
use serde::Deserialize;

use super::api::{Secret, TlsSecret};
use super::decode::node::{Node, Pair, Value};
use super::decode::{self, CanonicalObject, yaml};
use super::envelope::{Envelope, Metadata};
use super::finding::{Finding, Location};
use super::object::Spec;
use super::parse::Content;
use super::positions;

/// What a Secret document is.
pub(super) enum Outcome {
    /// TLS material, or a broken form of it.
    Secret(Box<Content>),
    /// A secret that is of no use here, with what to say.
    Notice(String),
}

/// Members of Gloo's own form that are not served.
const LATER: [&str; 8] =
    ["aws", "azure", "oauth", "apiKey", "header", "credentials", "encryption", "extensions"];

/// Gloo's own form.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TlsMessage {
    cert_chain: String,
    private_key: String,
    root_ca: String,
    ocsp_staple: String,
}

/// Decodes a Secret. The values of a secret never appear in what is said about it.
pub(super) fn decode(envelope: &Envelope, metadata: &Metadata, file: &Arc<Path>) -> Outcome {
    let top = &envelope.content;
    let secret_type = top.get("type").and_then(Node::text).unwrap_or("");
    if top.get("data").is_none() && top.get("stringData").is_none() {
        return own_form(top, if envelope.wrapped { "spec" } else { "" }, file, secret_type);
    }
    let mut reader = Reader { file, findings: Vec::new(), positions: positions::Builder::default() };
    let data = reader.data(top);
    let generic = metadata.annotations.get("resource_kind").is_some_and(|kind| kind == "*v1.Secret");
    if generic && let Some((tls, _)) = data.get("tls") {
        let text = String::from_utf8_lossy(tls);
        return match yaml::read(&text).into_iter().next() {
            Some(document) if document.broken.is_none() => {
                let outcome = message(&document.root, "tls", file);
                relocate(outcome, data.get("tls").map(|(_, position)| *position), file)
            }
            _ => {
                let position = data.get("tls").map_or((0, 0), |(_, position)| *position);
                reader.error(
                    "data[tls]",
                    position,
                    "its content is not YAML of `certChain` and `privateKey`",
                );
                reader.finish(TlsSecret::default())
            }
        };
    }
    let take =
        |names: [&str; 2]| names.iter().find_map(|name| data.get(*name)).map(|(bytes, _)| bytes.clone());
    let material = Material {
        cert_chain: take(["tls.crt", "certChain"]),
        private_key: take(["tls.key", "privateKey"]),
        root_ca: take(["ca.crt", "rootCa"]),
        ocsp_staple: take(["tls.ocsp-staple", "ocspStaple"]),
    };
    if secret_type == "kubernetes.io/tls" || !material.is_empty() || !reader.findings.is_empty() {
        return reader.finish(material.into());
    }
    Outcome::Notice(kubernetes_notice(secret_type, generic, &data))
}

fn kubernetes_notice(
    secret_type: &str,
    generic: bool,
    data: &BTreeMap<String, (Vec<u8>, (u32, u32))>,
) -> String {
    let kind = match secret_type {
        "extauth.solo.io/apikey" => "is an API key secret",
        "extauth.solo.io/oauth" => "is an OAuth secret",
        "extauth.solo.io/accountcredentials" => "is a credentials secret",
        "gloo.solo.io.EncryptionKeySecret" => "is an encryption key secret",
        "gloo.solo.io/header" => "is a header secret",
        _ if data.contains_key("aws_access_key_id") => "is an AWS secret",
        _ if generic => "is a secret of Gloo's generic form without `tls`",
        "" | "Opaque" => "is a header secret (Opaque)",
        other => return format!("of type {other} is left alone: not a secret of the gateway"),
    };
    format!("{kind}, which is not supported yet; TLS secrets have the type kubernetes.io/tls")
}

/// `tls: {certChain, privateKey, rootCa, ocspStaple}`.
fn own_form(top: &Node, prefix: &str, file: &Arc<Path>, secret_type: &str) -> Outcome {
    if let Some(tls) = top.get("tls") {
        let path = if prefix.is_empty() { "tls".to_owned() } else { format!("{prefix}.tls") };
        return message(tls, &path, file);
    }
    if let Some(member) = LATER.iter().find(|member| top.get(member).is_some()) {
        return Outcome::Notice(format!(
            "is a secret of kind `{member}`, which is not supported yet; `tls` is"
        ));
    }
    if secret_type == "kubernetes.io/tls" {
        let mut reader = Reader { file, findings: Vec::new(), positions: positions::Builder::default() };
        reader.error(
            "data",
            (top.line, top.column),
            "a TLS secret needs `data` with `tls.crt` and `tls.key`",
        );
        return reader.finish(TlsSecret::default());
    }
    Outcome::Notice("has neither `data` nor `tls`: not a secret of the gateway".to_owned())
}

fn message(tls: &Node, path: &str, file: &Arc<Path>) -> Outcome {
    let decoded: decode::Decoded<TlsMessage> = decode::decode(tls, path, file);
    let mut reader = Reader { file, findings: decoded.findings, positions: decoded.positions };
    // A wrong value is not quoted back: it may be a key.
    for finding in reader.findings.iter_mut().filter(|finding| finding.message.starts_with("needs ")) {
        let end = finding.message.find(['(', ',', '`']).unwrap_or(finding.message.len());
        finding.message.truncate(end);
        finding.message.truncate(finding.message.trim_end().len());
    }
    let value = decoded.value.unwrap_or_default();
    let text = |value: String| (!value.is_empty()).then(|| value.into_bytes());
    let ocsp_staple = match value.ocsp_staple.as_str() {
        "" => None,
        text => {
            let bytes = decode::decode_base64(text);
            if bytes.is_none() {
                let position =
                    tls.get("ocspStaple").map_or((tls.line, tls.column), |node| (node.line, node.column));
                reader.error(&format!("{path}.ocspStaple"), position, "the value is not base64");
            }
            bytes
        }
    };
    let material = Material {
        cert_chain: text(value.cert_chain),
        private_key: text(value.private_key),
        root_ca: text(value.root_ca),
        ocsp_staple,
    };
    reader.finish(material.into())
}

/// Findings of a text inside a text stand where the outer one stands.
fn relocate(outcome: Outcome, position: Option<(u32, u32)>, file: &Arc<Path>) -> Outcome {
    let Outcome::Secret(mut content) = outcome else { return outcome };
    let (line, column) = position.unwrap_or((0, 0));
    for finding in &mut content.findings {
        finding.path = format!("data[tls]: {}", finding.path);
        finding.location = Some(Location { file: file.clone(), line, column });
    }
    content.positions = positions::Builder::default();
    Outcome::Secret(content)
}

struct Reader<'a> {
    file: &'a Arc<Path>,
    findings: Vec<Finding>,
    positions: positions::Builder,
}

impl Reader<'_> {
    fn error(&mut self, path: &str, (line, column): (u32, u32), message: &str) {
        let location = Location { file: self.file.clone(), line, column };
        self.findings.push(Finding::error(path, message).at(location));
    }

    /// `data` in base64 and `stringData` in plain text, which wins.
    fn data(&mut self, top: &Node) -> BTreeMap<String, (Vec<u8>, (u32, u32))> {
        let mut all = BTreeMap::new();
        for (field, encoded) in [("data", true), ("stringData", false)] {
            let Some(map) = top.get(field) else { continue };
            let pairs: &[Pair] = match &map.value {
                Value::Map(pairs) => pairs,
                _ if map.is_null() => &[],
                _ => {
                    self.error(field, (map.line, map.column), "needs a mapping from file names to values");
                    &[]
                }
            };
            for pair in pairs.iter().filter(|pair| !pair.value.is_null()) {
                let path = format!("{field}[{}]", pair.key);
                let position = (pair.value.line, pair.value.column);
                self.positions.add(&path, pair.line, pair.column);
                let Value::Scalar(scalar) = &pair.value.value else {
                    self.error(&path, position, "needs a text");
                    continue;
                };
                let bytes = if encoded {
                    decode::decode_base64(&scalar.text)
                } else {
                    Some(scalar.text.clone().into_bytes())
                };
                match bytes {
                    Some(bytes) => {
                        all.insert(pair.key.clone(), (bytes, position));
                    }
                    None => self.error(
                        &path,
                        position,
                        "the value is not base64; plain text belongs under `stringData`",
                    ),
                }
            }
        }
        all
    }

    fn finish(self, tls: TlsSecret) -> Outcome {
        let mut document = CanonicalObject::default();
        document.text("digest", &tls.digest.to_string());
        let mut outer = CanonicalObject::default();
        outer.json("tls", document.finish());
        Outcome::Secret(Box::new(Content {
            spec: Some(Spec::Secret(Box::new(Secret { tls }))),
            findings: self.findings,
            positions: self.positions,
            document: outer.finish(),
        }))
    }
}

#[derive(Default)]
struct Material {
    cert_chain: Option<Vec<u8>>,
    private_key: Option<Vec<u8>>,
    root_ca: Option<Vec<u8>>,
    ocsp_staple: Option<Vec<u8>>,
}

impl Material {
    fn is_empty(&self) -> bool {
        self.cert_chain.is_none()
            && self.private_key.is_none()
            && self.root_ca.is_none()
            && self.ocsp_staple.is_none()
    }
}

impl From<Material> for TlsSecret {
    fn from(material: Material) -> TlsSecret {
        let parts = [&material.cert_chain, &material.private_key, &material.root_ca, &material.ocsp_staple];
        // Of digests, not of bytes, so that no copy of the key is made; an absent part differs from an empty one.
        let mut digests = Vec::with_capacity(17 * parts.len());
        for part in parts {
            digests.push(u8::from(part.is_some()));
            digests.extend_from_slice(Digest::of(part.as_deref().unwrap_or_default()).as_bytes());
        }
        let hold = |part: Option<Vec<u8>>| part.map(|bytes| Arc::new(Sensitive::new(bytes)));
        TlsSecret {
            digest: Digest::of(&digests),
            cert_chain: hold(material.cert_chain),
            private_key: hold(material.private_key),
            root_ca: hold(material.root_ca),
            ocsp_staple: hold(material.ocsp_staple),
        }
    }
}
