//! From the text of a file to entries, problems and notices.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_shared::version::Digest;
use serde::de::DeserializeOwned;

use super::decode::node::{Node, Value, shown};
use super::decode::yaml::{self, Broken};
use super::decode::{self, CanonicalObject, Decoded};
use super::envelope::{Envelope, Folder, Metadata};
use super::finding::{Finding, Level, Location};
use super::id::{Kind, ObjectRef};
use super::kinds::{self, Known};
use super::object::{Entry, Object, Parsed, Piece, Spec};
use super::{positions, secret};

/// Decodes every document of a file. Never fails as a whole: what is wrong is in the result, per document.
pub fn parse(file: &Path, text: &str, default_namespace: &str) -> Parsed {
    parse_again(file, text, default_namespace, &Parsed::default())
}

/// [`parse`], where a document that stands at the same place in `before`, an earlier content of the file, is taken from
/// there: among a thousand documents an edit of one costs that one.
pub fn parse_again(file: &Path, text: &str, default_namespace: &str, before: &Parsed) -> Parsed {
    let known: HashMap<(usize, Digest), &Piece> =
        before.pieces.iter().map(|piece| ((piece.line, piece.digest), piece)).collect();
    let mut parser = Parser {
        file: Arc::from(file),
        default_namespace: default_namespace.to_owned(),
        parsed: Parsed::default(),
        first: HashMap::new(),
        piece: (0, 0),
    };
    let chunks = yaml::chunks(text);
    let several = chunks.len() > 1;
    for (line, chunk) in chunks {
        let digest = if several { Digest::of(chunk.as_bytes()) } else { Digest::default() };
        if let Some(piece) = known.get(&(line, digest)).filter(|_| several) {
            for entry in before.entries.get(piece.entries.clone()).unwrap_or_default() {
                parser.keep(entry);
            }
        } else {
            for document in yaml::read_chunk(chunk, line) {
                parser.document(document.root, document.broken);
            }
        }
        if several {
            parser.end_piece(line, digest);
        }
    }
    parser.parsed
}

/// Why a stored document is not an object any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It does not decode.
    #[error("the stored document does not decode: {0}")]
    Invalid(String),
    /// It is of another kind than it was stored under.
    #[error("the stored document is of kind {0}")]
    Kind(Kind),
    /// Documents hold no secret values.
    #[error("a secret cannot be made again from its stored document, which holds no values")]
    Secret,
}

/// Makes an object again from its `document`. Secrets cannot come back, because a document holds no values.
pub fn decode_document(kind: Kind, json: &str) -> Result<Object, DocumentError> {
    if kind == Kind::Secret {
        return Err(DocumentError::Secret);
    }
    let parsed = parse(Path::new("(stored)"), json, "default");
    let wrong = parsed.problems.iter().chain(&parsed.notices).next();
    let Some(entry) = parsed.entries.into_iter().next() else {
        let reason = wrong.map_or_else(|| "it is empty".to_owned(), Finding::to_string);
        return Err(DocumentError::Invalid(reason));
    };
    if entry.id.kind != kind {
        return Err(DocumentError::Kind(entry.id.kind));
    }
    match &entry.object {
        Some(object) => Ok(Object::clone(object)),
        None => {
            let errors = entry.findings.iter().filter(|finding| finding.level == Level::Error);
            let texts: Vec<String> = errors.map(Finding::to_string).collect();
            Err(DocumentError::Invalid(texts.join("; ")))
        }
    }
}

struct Parser {
    file: Arc<Path>,
    default_namespace: String,
    parsed: Parsed,
    /// Where each id of this file stands first.
    first: HashMap<ObjectRef, Location>,
    /// How many entries, and how much else, there was when the present piece began.
    piece: (usize, usize),
}

impl Parser {
    fn location(&self, (line, column): (u32, u32)) -> Location {
        Location { file: self.file.clone(), line, column }
    }

    fn problem(&mut self, position: (u32, u32), message: impl Into<String>) {
        let finding = Finding::error("", message).at(self.location(position));
        self.parsed.problems.push(finding);
    }

    fn notice(&mut self, position: (u32, u32), message: impl Into<String>) {
        let finding = Finding::warning("", message).at(self.location(position));
        self.parsed.notices.push(finding);
    }

    fn document(&mut self, root: Node, broken: Option<Broken>) {
        let position = (root.line, root.column);
        let Some(envelope) = Envelope::open(root) else {
            match broken {
                Some(broken) => self.problem((broken.line, broken.column), broken.reason),
                None => {
                    self.problem(position, "a document must be a mapping with `kind`, `metadata` and `spec`")
                }
            }
            return;
        };
        if let Some(broken) = broken {
            self.broken(&envelope, broken);
        } else {
            self.opened(envelope);
        }
    }

    /// A document that is no YAML. If its name can be told, it is that resource which is broken: its last accepted form
    /// stays in use, and it does not count as deleted.
    fn broken(&mut self, envelope: &Envelope, broken: Broken) {
        let finding = Finding::error("", broken.reason).at(self.location((broken.line, broken.column)));
        let known =
            envelope.kind.as_deref().map(|kind| kinds::by_name(envelope.api_version.as_deref(), kind));
        match (known, envelope.metadata_text("name")) {
            (Some(Known::Ours(kind)), Some(name)) => {
                let namespace = envelope.metadata_text("namespace").unwrap_or(&self.default_namespace);
                let id = ObjectRef::new(kind, namespace, name);
                self.push(id, None, vec![finding], envelope.position);
            }
            _ => self.parsed.problems.push(finding),
        }
    }

    fn opened(&mut self, envelope: Envelope) {
        if envelope.kind.as_deref().is_some_and(|kind| kind.ends_with("List"))
            && let Some(Value::List(_)) = envelope.content.get("items").map(|items| &items.value)
        {
            self.list(envelope);
            return;
        }
        let file = self.file.clone();
        let folder = Folder::of(&file);
        let known = match &envelope.kind {
            Some(kind) => kinds::by_name(envelope.api_version.as_deref(), kind),
            None => match self.infer(&envelope, &folder) {
                Some(known) => known,
                None => return,
            },
        };
        let position = envelope.position;
        match known {
            Known::Ours(kind) => self.resource(kind, envelope, &folder),
            Known::Later(text) => {
                let title = match (&envelope.kind, folder.plural.and_then(kinds::later_name)) {
                    (None, Some(kind)) => {
                        format!("{kind} {}", envelope.metadata_text("name").unwrap_or_default())
                    }
                    _ => envelope.title(),
                };
                self.notice(position, format!("{title} {text}"));
            }
            Known::Foreign => self.notice(
                position,
                format!("{} is left alone: not a resource of the gateway", envelope.title()),
            ),
            Known::Mistaken(text) => self.problem(position, format!("{}: {text}", envelope.title())),
        }
    }

    /// `kind: List`, or `VirtualServiceList` and the like.
    fn list(&mut self, envelope: Envelope) {
        let item_kind =
            envelope.kind.as_deref().and_then(|kind| kind.strip_suffix("List")).unwrap_or("").to_owned();
        let Value::Map(pairs) = envelope.content.value else { return };
        for pair in pairs.into_iter().filter(|pair| pair.key == "items") {
            let Value::List(items) = pair.value.value else { continue };
            for item in items {
                let position = (item.line, item.column);
                let Some(mut inner) = Envelope::open(item) else {
                    self.problem(position, "an item of a list must be a mapping");
                    continue;
                };
                if inner.kind.is_none() && !item_kind.is_empty() {
                    inner.kind = Some(item_kind.clone());
                    inner.api_version = inner.api_version.or_else(|| envelope.api_version.clone());
                }
                self.opened(inner);
            }
        }
    }

    /// The kind of a document without `kind`: by its folder, else by its fields.
    fn infer(&mut self, envelope: &Envelope, folder: &Folder<'_>) -> Option<Known> {
        if let Some(known) = folder.plural.and_then(kinds::by_folder) {
            return Some(known);
        }
        let kinds = kinds::by_fields(&envelope.content);
        match kinds.as_slice() {
            [kind] => Some(Known::Ours(*kind)),
            [] => {
                let message = "the document has no `kind`, and neither its folder (`<plural>/<namespace>/<name>.yaml`, \
                               for example `virtualservices/gloo-system/main.yaml`) nor its fields tell it; add \
                               `apiVersion` and `kind`";
                self.problem(envelope.position, message);
                None
            }
            several => {
                let names: Vec<&str> = several.iter().map(|kind| kind.as_str()).collect();
                let message = format!(
                    "the document has no `kind`, and its fields are those of {}; add `apiVersion` and `kind`",
                    names.join(" and ")
                );
                self.problem(envelope.position, message);
                None
            }
        }
    }

    fn resource(&mut self, kind: Kind, envelope: Envelope, folder: &Folder<'_>) {
        let empty =
            Node { line: envelope.position.0, column: envelope.position.1, value: Value::Map(Vec::new()) };
        let metadata = envelope.metadata.as_ref().unwrap_or(&empty);
        let decoded: Decoded<Metadata> = decode::decode(metadata, "metadata", &self.file);
        let mut findings = decoded.findings;
        let mut positions = decoded.positions;
        let metadata = decoded.value.unwrap_or_default().clean();
        // Only a document without kind takes its name from the folder: there the folder is its identity.
        let in_folder = envelope.kind.is_none() && folder.plural.and_then(kinds::by_folder).is_some();
        let name = match (metadata.name.as_str(), folder.name) {
            ("", Some(name)) if in_folder => name,
            ("", _) => {
                // A name such as `y` or `007` is there, but is no text.
                if !findings.is_empty() {
                    self.parsed.problems.append(&mut findings);
                    return;
                }
                let (position, message) = match envelope.misspelt_metadata() {
                    Some(pair) => {
                        let message =
                            format!("{kind}: unknown field `{}`; did you mean `metadata`?", shown(&pair.key));
                        ((pair.line, pair.column), message)
                    }
                    None => (envelope.position, format!("{kind} without a name: `metadata.name` is needed")),
                };
                self.problem(position, message);
                return;
            }
            (name, _) => name,
        };
        let namespace = match (metadata.namespace.as_str(), folder.namespace) {
            ("", Some(namespace)) if in_folder => namespace,
            ("", _) => &self.default_namespace,
            (namespace, _) => namespace,
        };
        let id = ObjectRef::new(kind, namespace, name);
        for part in [&*id.namespace, &*id.name] {
            if let Some(wrong) = part.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '/') {
                let message =
                    format!("`{}` cannot be part of a name: it has the character {wrong:?}", shown(part));
                findings.push(Finding::error("metadata", message).at(self.location(envelope.position)));
            }
        }

        let content = match kind {
            Kind::Secret => match secret::decode(&envelope, &metadata, &self.file) {
                secret::Outcome::Secret(content) => *content,
                secret::Outcome::Notice(text) => {
                    let message = format!("Secret {}.{} {text}", id.namespace, id.name);
                    self.notice(envelope.position, message);
                    return;
                }
            },
            _ => self.content(kind, &envelope),
        };
        findings.extend(content.findings);
        positions.extend(content.positions);
        let rejected = findings.iter().any(|finding| finding.level == Level::Error);
        let object = content.spec.filter(|_| !rejected).map(|spec| {
            let mut document = CanonicalObject::default();
            document.text("apiVersion", kind.api_version());
            document.text("kind", kind.as_str());
            document.json("metadata", canonical_metadata(&id, &metadata));
            document.json("spec", content.document);
            let document: Arc<str> = document.finish().into();
            Arc::new(Object {
                id: id.clone(),
                labels: metadata.labels,
                annotations: metadata.annotations,
                spec,
                location: self.location(envelope.position),
                digest: Digest::of(document.as_bytes()),
                document,
                positions: Arc::new(positions.build()),
            })
        });
        self.push(id, object, findings, envelope.position);
    }

    fn content(&self, kind: Kind, envelope: &Envelope) -> Content {
        let mut content = match kind {
            Kind::Gateway => self.typed(envelope, Spec::Gateway),
            Kind::MatchableHttpGateway => self.typed(envelope, Spec::MatchableHttpGateway),
            Kind::MatchableTcpGateway => self.typed(envelope, Spec::MatchableTcpGateway),
            Kind::VirtualService => self.typed(envelope, Spec::VirtualService),
            Kind::RouteTable => self.typed(envelope, Spec::RouteTable),
            Kind::Upstream => self.typed(envelope, Spec::Upstream),
            Kind::UpstreamGroup => self.typed(envelope, Spec::UpstreamGroup),
            Kind::VirtualHostOption => self.typed(envelope, Spec::VirtualHostOption),
            Kind::RouteOption => self.typed(envelope, Spec::RouteOption),
            Kind::Settings => self.typed(envelope, Spec::Settings),
            Kind::Secret => Content::default(),
        };
        for pair in &envelope.beside {
            let key = shown(&pair.key);
            let message = match Envelope::meant(&pair.key) {
                Some(meant) => format!("unknown field `{key}`; did you mean `{meant}`?"),
                None => format!(
                    "unknown field `{key}` beside `spec`; it belongs under `spec`: check the indentation"
                ),
            };
            let finding =
                Finding::error(pair.key.clone(), message).at(self.location((pair.line, pair.column)));
            content.findings.push(finding);
        }
        if !envelope.wrapped {
            for finding in &mut content.findings {
                suggest_envelope(finding);
            }
        }
        content
    }

    fn typed<T: DeserializeOwned>(&self, envelope: &Envelope, wrap: fn(Box<T>) -> Spec) -> Content {
        let prefix = if envelope.wrapped { "spec" } else { "" };
        let decoded: Decoded<T> = decode::decode(&envelope.content, prefix, &self.file);
        Content {
            spec: decoded.value.map(|value| wrap(Box::new(value))),
            findings: decoded.findings,
            positions: decoded.positions,
            document: decode::write_canonical(&envelope.content, &decoded.spellings),
        }
    }

    /// Remembers the piece that ends here, if there is nothing to say about it but its entries.
    fn end_piece(&mut self, line: usize, digest: Digest) {
        let (entries, others) = self.piece;
        let now = (self.parsed.entries.len(), self.parsed.problems.len() + self.parsed.notices.len());
        if others == now.1 {
            self.parsed.pieces.push(Piece { line, digest, entries: entries..now.0 });
        }
        self.piece = now;
    }

    /// Takes an entry over from an earlier content, unless its name is taken by now.
    fn keep(&mut self, entry: &Arc<Entry>) {
        if self.first.contains_key(&entry.id) {
            self.push(
                entry.id.clone(),
                entry.object.clone(),
                entry.findings.clone(),
                (entry.location.line, entry.location.column),
            );
            return;
        }
        self.first.insert(entry.id.clone(), entry.location.clone());
        self.parsed.entries.push(Arc::clone(entry));
    }

    fn push(
        &mut self,
        id: ObjectRef,
        object: Option<Arc<Object>>,
        mut findings: Vec<Finding>,
        position: (u32, u32),
    ) {
        let location = self.location(position);
        if let Some(first) = self.first.get(&id) {
            let message = format!(
                "{id} is defined twice: at {first}, which counts, and at {location}, which is left out"
            );
            let finding = Finding::error("", message).at(location);
            self.parsed.problems.push(finding);
            return;
        }
        self.first.insert(id.clone(), location.clone());
        findings.sort_by_key(|finding| finding.location.as_ref().map(|at| (at.line, at.column)));
        self.parsed.entries.push(Arc::new(Entry { id, object, findings, location }));
    }
}

/// In a document without `spec` a misspelt `spec` is read as a field of the content.
fn suggest_envelope(finding: &mut Finding) {
    if finding.message.starts_with("unknown field `")
        && !finding.message.contains("did you mean")
        && let Some(meant) = Envelope::meant(&finding.path)
    {
        finding.message = format!("unknown field `{}`; did you mean `{meant}`?", shown(&finding.path));
    }
}

/// The content of a resource, decoded.
#[derive(Default)]
pub(super) struct Content {
    pub spec: Option<Spec>,
    pub findings: Vec<Finding>,
    pub positions: positions::Builder,
    pub document: String,
}

fn canonical_metadata(id: &ObjectRef, metadata: &Metadata) -> String {
    let mut object = CanonicalObject::default();
    object.text("name", &id.name);
    object.text("namespace", &id.namespace);
    object.map("labels", &metadata.labels);
    object.map("annotations", &metadata.annotations);
    object.finish()
}
