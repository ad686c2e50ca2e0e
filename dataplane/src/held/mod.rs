//! What a worker holds of the table, resource by resource, and the digest over it.
//!
//! A transaction is a clone that is changed and then takes the place of the original; what did not change is shared. A
//! resource that does not decode is held too, with its reason, because the digest has to agree with control's. One that
//! is wholly in the runtime is held by its digest only.

use std::sync::Arc;

use portcullis_proto::link::v1::{self as link, upsert::Resource as Wire};
use portcullis_proto::table::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::Domain;
use portcullis_shared::table::{self, Kind, Resource};
use portcullis_shared::version::{Digest, TableDigest};

pub(crate) mod shards;

use shards::Shards;

/// A set of table resources.
#[derive(Debug, Clone, Default)]
pub struct Held {
    listeners: Shards<Entry>,
    virtual_hosts: Shards<Entry>,
    upstreams: Shards<Entry>,
    splits: Shards<Entry>,
    certificates: Shards<Entry>,
    digest: TableDigest,
}

/// A resource as it is held.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) content: Content,
}

/// A resource, or why there is none.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Valid(Resource),
    Broken(Arc<Broken>),
    /// The runtime has a form made of it, and nothing else is ever made of it.
    Settled,
}

/// What is known of a resource that does not decode.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) invalid: Invalid,
    /// Of a virtual host: which requests are meant, as far as it can be read.
    pub(crate) claim: Claim,
}

/// Which requests a virtual host is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    pub(crate) route_configs: Vec<Arc<str>>,
    pub(crate) domains: Vec<Domain>,
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

const KINDS: [Kind; 5] = [Kind::Listener, Kind::VirtualHost, Kind::Upstream, Kind::Split, Kind::Certificate];

impl Held {
    /// Digest over all resources; control's commit names the one that it expects.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest.get()
    }

    /// Number of resources.
    #[must_use]
    pub fn len(&self) -> usize {
        KINDS.iter().map(|kind| self.of_kind(*kind).len()).sum()
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// (kind, name, digest) of every resource, kind by kind: what a worker tells control that it has.
    pub fn resources(&self) -> impl Iterator<Item = (Kind, &Arc<str>, Digest)> {
        KINDS
            .iter()
            .flat_map(|kind| self.of_kind(*kind).iter().map(|(name, entry)| (*kind, name, entry.digest)))
    }

    /// The digest of one resource.
    #[must_use]
    pub fn digest_of(&self, kind: Kind, name: &str) -> Option<Digest> {
        self.of_kind(kind).get(name).map(|entry| entry.digest)
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
        let broken = (name.to_owned(), Claim::of(wire));
        let (name, content) = match Resource::decode(upsert) {
            Ok((resource, _)) => (Arc::clone(resource.name()), Content::Valid(resource)),
            Err(invalid) => (broken.0.into(), Content::Broken(Arc::new(Broken { invalid, claim: broken.1 }))),
        };
        self.digest.add(kind.wire(), &name, &digest);
        if let Some(before) = self.of_kind_mut(kind).insert(Arc::clone(&name), Entry { digest, content }) {
            self.digest.remove(kind.wire(), &name, &before.digest);
        }
        Ok(())
    }

    /// Forgets a resource. Says whether it was there.
    pub fn remove(&mut self, kind: Kind, name: &str) -> bool {
        let Some(entry) = self.of_kind_mut(kind).remove(name) else { return false };
        self.digest.remove(kind.wire(), name, &entry.digest);
        true
    }

    /// Lets go of the content of those resources of one kind that run in the form they have here. Looks only at what
    /// differs from `before`, of which that was asked already.
    pub(crate) fn settle(&mut self, kind: Kind, before: Option<&Self>, runs: impl Fn(&str, &Digest) -> bool) {
        self.of_kind_mut(kind).change(before.map(|before| before.of_kind(kind)), |name, entry| {
            if matches!(entry.content, Content::Valid(_)) && runs(name, &entry.digest) {
                entry.content = Content::Settled;
            }
        });
    }

    /// Everything of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> &Shards<Entry> {
        match kind {
            Kind::Listener => &self.listeners,
            Kind::VirtualHost => &self.virtual_hosts,
            Kind::Upstream => &self.upstreams,
            Kind::Split => &self.splits,
            Kind::Certificate => &self.certificates,
        }
    }

    fn of_kind_mut(&mut self, kind: Kind) -> &mut Shards<Entry> {
        match kind {
            Kind::Listener => &mut self.listeners,
            Kind::VirtualHost => &mut self.virtual_hosts,
            Kind::Upstream => &mut self.upstreams,
            Kind::Split => &mut self.splits,
            Kind::Certificate => &mut self.certificates,
        }
    }

    /// A certificate and its digest.
    pub(crate) fn certificate(&self, name: &str) -> Result<(Digest, &Arc<table::Certificate>), Invalid> {
        match self.certificates.get(name) {
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
