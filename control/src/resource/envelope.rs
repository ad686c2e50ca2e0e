//! What surrounds the content of a resource: `apiVersion`, `kind`, `metadata`, `spec`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::decode::nearest;
use super::decode::node::{Node, Pair, Value};

/// The annotation in which kubectl keeps a copy of the whole document, which may hold secrets.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields of a document beside its content.
const FIELDS: [&str; 6] = ["apiVersion", "kind", "metadata", "spec", "status", "namespacedStatuses"];

/// `metadata`, as far as it matters. What Kubernetes and Gloo keep there besides is named, so that a misspelt field is told
/// from it, and not read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    cluster: IgnoredAny,
    cluster_name: IgnoredAny,
    creation_timestamp: IgnoredAny,
    deletion_grace_period_seconds: IgnoredAny,
    deletion_timestamp: IgnoredAny,
    finalizers: IgnoredAny,
    generate_name: IgnoredAny,
    generation: IgnoredAny,
    initializers: IgnoredAny,
    managed_fields: IgnoredAny,
    owner_references: IgnoredAny,
    resource_version: IgnoredAny,
    self_link: IgnoredAny,
    uid: IgnoredAny,
}

impl Metadata {
    /// Without what is no annotation of the user's.
    pub fn clean(mut self) -> Metadata {
        self.annotations.remove(LAST_APPLIED);
        self
    }
}

/// A document taken apart.
#[derive(Debug)]
pub struct Envelope {
    /// Line and column of the document.
    pub position: (u32, u32),
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `metadata`.
    pub metadata: Option<Node>,
    /// The content: `spec`, or everything else of a document without that wrapper.
    pub content: Node,
    /// Whether there was a `spec`.
    pub wrapped: bool,
    /// Pairs that stand beside `spec`.
    pub beside: Vec<Pair>,
}

impl Envelope {
    /// Takes a document apart; `None` when it is no mapping.
    pub fn open(root: Node) -> Option<Envelope> {
        let position = (root.line, root.column);
        let Value::Map(pairs) = root.value else { return None };
        let mut envelope = Envelope {
            position,
            api_version: None,
            kind: None,
            metadata: None,
            content: Node { line: position.0, column: position.1, value: Value::Map(Vec::new()) },
            wrapped: false,
            beside: Vec::new(),
        };
        for pair in pairs {
            match pair.key.as_str() {
                "apiVersion" => envelope.api_version = pair.value.text().map(str::to_owned),
                "kind" => envelope.kind = pair.value.text().map(str::to_owned),
                "metadata" => envelope.metadata = Some(pair.value),
                "spec" => {
                    envelope.wrapped = true;
                    if !pair.value.is_null() {
                        envelope.content = pair.value;
                    }
                }
                "status" | "namespacedStatuses" | "namespaced_statuses" => {}
                _ => envelope.beside.push(pair),
            }
        }
        if !envelope.wrapped {
            envelope.content.value = Value::Map(std::mem::take(&mut envelope.beside));
        }
        Some(envelope)
    }

    /// The field of a document that is meant by a key which is none.
    pub fn meant(key: &str) -> Option<&'static str> {
        nearest(key, FIELDS.into_iter())
    }

    /// A misspelt `metadata`, if there is no other.
    pub fn misspelt_metadata(&self) -> Option<&Pair> {
        let content = match &self.content.value {
            Value::Map(pairs) if !self.wrapped => pairs.as_slice(),
            _ => &[],
        };
        let mut pairs = self.beside.iter().chain(content);
        pairs.find(|pair| self.metadata.is_none() && Envelope::meant(&pair.key) == Some("metadata"))
    }

    /// A text of `metadata` without decoding all of it.
    pub fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(key)?.text().filter(|text| !text.is_empty())
    }

    /// `kind namespace.name` for messages about documents that are not ours.
    pub fn title(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or("document");
        match (self.metadata_text("namespace"), self.metadata_text("name")) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}.{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            _ => kind.to_owned(),
        }
    }
}

/// What a path of the form `<plural>/<namespace>/<name>.yaml` says.
#[derive(Debug, Default)]
pub struct Folder<'a> {
    /// The plural.
    pub plural: Option<&'a str>,
    /// The namespace.
    pub namespace: Option<&'a str>,
    /// The name.
    pub name: Option<&'a str>,
}

impl<'a> Folder<'a> {
    /// Reads the path.
    pub fn of(file: &'a Arc<Path>) -> Folder<'a> {
        let up = |levels: usize| file.ancestors().nth(levels)?.file_name()?.to_str();
        Folder { plural: up(2), namespace: up(1), name: file.file_stem().and_then(|stem| stem.to_str()) }
    }
}
