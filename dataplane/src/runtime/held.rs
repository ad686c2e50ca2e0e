//! What a worker holds of the table, resource by resource, and the digest over it.
//!
//! A transaction is a clone that is changed and then takes the place of the original: contents are shared, so that it
//! costs a map of pointers. A resource that does not decode is held too, with its reason, because the digest has to
//! agree with control's.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_proto::link::v1::{self as link, upsert::Resource as Wire};
use portcullis_proto::table::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::Domain;
use portcullis_shared::table::{self, EndpointSet, Kind, Resource};
use portcullis_shared::version::{Digest, TableDigest};

/// A set of table resources, with the latest endpoint sets beside it.
#[derive(Debug, Clone, Default)]
pub struct Held {
    entries: BTreeMap<(Kind, Arc<str>), Entry>,
    digest: TableDigest,
    endpoints: BTreeMap<Arc<str>, Arc<EndpointSet>>,
}

#[derive(Debug, Clone)]
struct Entry {
    digest: Digest,
    content: Content,
}

/// A resource, or why there is none.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Valid(Resource),
    Broken(Arc<Broken>),
}

/// What is known of a resource that does not decode.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) invalid: Invalid,
    /// Of a virtual host: which requests are meant, as far as it can be read.
    pub(super) claim: Claim,
}

/// Which requests a virtual host is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim {
    pub(super) route_configs: Vec<Arc<str>>,
    pub(super) domains: Vec<Domain>,
}

impl Claim {
    fn of(wire: &Wire) -> Self {
        let Wire::VirtualHost(proto::VirtualHost { route_configs, domains, .. }) = wire else {
            return Self::default();
        };
        Self {
            route_configs: route_configs.iter().map(|name| name.as_str().into()).collect(),
            domains: domains.iter().filter_map(|text| Domain::parse(text).ok()).collect(),
        }
    }
}

impl Held {
    /// Digest over all resources; control's commit names the one that it expects.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest.get()
    }

    /// Number of resources.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// (kind, name, digest) of every resource, in order: what a worker tells control that it has.
    pub fn resources(&self) -> impl Iterator<Item = (Kind, &Arc<str>, Digest)> {
        self.entries.iter().map(|((kind, name), entry)| (*kind, name, entry.digest))
    }

    /// The digest of one resource.
    #[must_use]
    pub fn digest_of(&self, kind: Kind, name: &str) -> Option<Digest> {
        self.entries.get(&(kind, Arc::from(name))).map(|entry| entry.digest)
    }

    /// Takes a resource in, replacing the one of its kind and name.
    ///
    /// # Errors
    /// A message without a resource, without a name or without a digest: the sender does not speak this protocol. A
    /// resource that does not decode is *not* an error here; building the runtime rejects it.
    pub fn upsert(&mut self, upsert: link::Upsert) -> Result<(), Invalid> {
        let digest =
            Digest::from_slice(&upsert.digest).ok_or_else(|| Invalid::new("digest", "is not 16 bytes"))?;
        let wire = upsert.resource.as_ref().ok_or_else(|| Invalid::new("resource", "is missing"))?;
        let (kind, name) = table::identity(wire);
        if name.is_empty() {
            return Err(Invalid::new("resource.name", "is empty"));
        }
        let name: Arc<str> = name.into();
        let claim = Claim::of(wire);
        let content = match Resource::decode(upsert) {
            Ok((resource, _)) => Content::Valid(resource),
            Err(invalid) => Content::Broken(Arc::new(Broken { invalid, claim })),
        };
        self.remove(kind, &name);
        self.digest.add(kind.wire(), &name, &digest);
        self.entries.insert((kind, name), Entry { digest, content });
        Ok(())
    }

    /// Forgets a resource. Says whether it was there.
    pub fn remove(&mut self, kind: Kind, name: &str) -> bool {
        let Some(((_, name), entry)) = self.entries.remove_entry(&(kind, Arc::from(name))) else {
            return false;
        };
        self.digest.remove(kind.wire(), &name, &entry.digest);
        if kind == Kind::Upstream {
            self.endpoints.remove(&name);
        }
        true
    }

    /// Keeps an endpoint set, unless a later one is there. Says whether it was kept. It may come before its upstream.
    pub fn set_endpoints(&mut self, set: Arc<EndpointSet>) -> bool {
        match self.endpoints.get(&set.upstream) {
            Some(before) if before.sequence >= set.sequence && set.sequence > 0 => false,
            _ => {
                self.endpoints.insert(Arc::clone(&set.upstream), set);
                true
            }
        }
    }

    /// The latest endpoint set of a dynamic upstream.
    #[must_use]
    pub fn endpoints(&self, upstream: &str) -> Option<&Arc<EndpointSet>> {
        self.endpoints.get(upstream)
    }

    /// The latest endpoint set of every dynamic upstream.
    pub fn all_endpoints(&self) -> impl Iterator<Item = &Arc<EndpointSet>> {
        self.endpoints.values()
    }

    /// A new session counts its endpoint sets from the start. Current sets stay until it sends others.
    pub fn begin_session(&mut self) {
        for set in self.endpoints.values_mut() {
            *set = Arc::new(EndpointSet { sequence: 0, ..EndpointSet::clone(set) });
        }
    }

    /// Everything of one kind, by name.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Arc<str>, Digest, &Content)> {
        self.entries
            .range((kind, Arc::from(""))..)
            .take_while(move |((other, _), _)| *other == kind)
            .map(|((_, name), entry)| (name, entry.digest, &entry.content))
    }

    /// A certificate and its digest.
    pub(super) fn certificate(&self, name: &str) -> Result<(Digest, &Arc<table::Certificate>), Invalid> {
        match self.entries.get(&(Kind::Certificate, Arc::from(name))) {
            Some(Entry { digest, content: Content::Valid(Resource::Certificate(certificate)) }) => {
                Ok((*digest, certificate))
            }
            Some(Entry { content: Content::Broken(broken), .. }) => {
                Err(Invalid::new("", format!("certificate \"{name}\" is not valid: {}", broken.invalid)))
            }
            _ => Err(Invalid::new("", format!("certificate \"{name}\" is missing"))),
        }
    }
}
