//! A decoded resource, and what came out of one file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use portcullis_shared::version::Digest;

use super::api::{
    Gateway, MatchableHttpGateway, MatchableTcpGateway, RouteOption, RouteTable, Secret, Settings, Upstream,
    UpstreamGroup, VirtualHostOption, VirtualService,
};
use super::finding::{Finding, Level, Location};
use super::id::{Kind, ObjectRef};
use super::positions::Positions;

/// The typed content of a resource.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is the kind of its name")]
pub enum Spec {
    Gateway(Box<Gateway>),
    MatchableHttpGateway(Box<MatchableHttpGateway>),
    MatchableTcpGateway(Box<MatchableTcpGateway>),
    VirtualService(Box<VirtualService>),
    RouteTable(Box<RouteTable>),
    Upstream(Box<Upstream>),
    UpstreamGroup(Box<UpstreamGroup>),
    VirtualHostOption(Box<VirtualHostOption>),
    RouteOption(Box<RouteOption>),
    Secret(Box<Secret>),
    Settings(Box<Settings>),
}

impl Spec {
    /// The kind of the resource.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Gateway(_) => Kind::Gateway,
            Spec::MatchableHttpGateway(_) => Kind::MatchableHttpGateway,
            Spec::MatchableTcpGateway(_) => Kind::MatchableTcpGateway,
            Spec::VirtualService(_) => Kind::VirtualService,
            Spec::RouteTable(_) => Kind::RouteTable,
            Spec::Upstream(_) => Kind::Upstream,
            Spec::UpstreamGroup(_) => Kind::UpstreamGroup,
            Spec::VirtualHostOption(_) => Kind::VirtualHostOption,
            Spec::RouteOption(_) => Kind::RouteOption,
            Spec::Secret(_) => Kind::Secret,
            Spec::Settings(_) => Kind::Settings,
        }
    }
}

/// A resource that decodes. Nothing in it is resolved or checked against other resources.
#[derive(Debug, Clone)]
pub struct Object {
    /// Which resource it is.
    pub id: ObjectRef,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// Its content.
    pub spec: Spec,
    /// Where the document begins.
    pub location: Location,
    /// Digest over the canonical document: equal digests mean equal meaning. Status, resourceVersion, managedFields
    /// and the like do not count.
    pub digest: Digest,
    /// The canonical document as JSON, from which `decode_document` makes the object again. Holds no secret values:
    /// a Secret's values and inline private keys appear as digests.
    pub document: Arc<str>,
    pub(super) positions: Arc<Positions>,
}

impl Object {
    /// Where a field stands in the file, else where its nearest ancestor that was written stands. The path may begin
    /// with `spec.` whether or not the document has that wrapper.
    pub fn locate(&self, path: &str) -> Location {
        match self.positions.find(path) {
            Some((line, column)) => Location { file: self.location.file.clone(), line, column },
            None => self.location.clone(),
        }
    }
}

/// One document of a file that names a resource of ours.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which resource it is.
    pub id: ObjectRef,
    /// The resource; `None` when it does not decode, and then `findings` holds an error.
    pub object: Option<Arc<Object>>,
    /// What was found while decoding, every finding with its place.
    pub findings: Vec<Finding>,
    /// Where the document begins.
    pub location: Location,
}

impl Entry {
    /// Whether a finding rejects the resource.
    pub fn rejected(&self) -> bool {
        self.object.is_none() || self.findings.iter().any(|finding| finding.level == Level::Error)
    }
}

/// Everything that came out of one file.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// One per document of a kind that is served, in the order of the file.
    pub entries: Vec<Arc<Entry>>,
    /// What belongs to no resource: unreadable YAML, a document without a name.
    pub problems: Vec<Finding>,
    /// Documents of kinds that are not served: other people's, or not supported yet.
    pub notices: Vec<Finding>,
    /// The parts of a text of several documents about which there is nothing to say but their entries.
    pub(super) pieces: Vec<Piece>,
}

/// A part of a file between two document markers.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Its first line, from 0.
    pub line: usize,
    /// Over its text.
    pub digest: Digest,
    /// Which of the file's entries came out of it.
    pub entries: Range<usize>,
}
