//! Route configurations: from a Host to its virtual host.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_shared::routing::DomainIndex;

use super::VirtualHost;

/// Virtual hosts that are copied together when one of them changes.
const BLOCK: usize = 128;

/// The virtual hosts that one or several filter chains serve.
#[derive(Debug)]
pub struct RouteConfig {
    /// Its name.
    pub name: Arc<str>,
    shape: Arc<Shape>,
    blocks: Box<[Arc<Vec<Arc<VirtualHost>>>]>,
}

/// Who is in it under which domains. Shared with later forms as long as only routes change.
#[derive(Debug)]
struct Shape {
    by_domain: DomainIndex<usize>,
    by_name: HashMap<Arc<str>, usize>,
}

impl RouteConfig {
    /// `hosts` in the order of their names: of two with one domain the first has it.
    pub(super) fn build(name: &Arc<str>, hosts: &[Arc<VirtualHost>]) -> Arc<Self> {
        let places = || hosts.iter().enumerate();
        let domains =
            places().flat_map(|(at, host)| host.domains().iter().map(move |domain| (domain.clone(), at)));
        let shape = Shape {
            by_domain: DomainIndex::build(domains),
            by_name: places().map(|(at, host)| (Arc::clone(&host.name), at)).collect(),
        };
        let blocks = hosts.chunks(BLOCK).map(|block| Arc::new(block.to_vec())).collect();
        Arc::new(Self { name: Arc::clone(name), shape: Arc::new(shape), blocks })
    }

    /// The same with these virtual hosts in the places of those of their names. Their domains must be the same.
    pub(super) fn patched(&self, hosts: &[&Arc<VirtualHost>]) -> Arc<Self> {
        let mut blocks = self.blocks.clone();
        for host in hosts {
            let slot = self
                .shape
                .by_name
                .get(&host.name)
                .copied()
                .and_then(|at| Arc::make_mut(blocks.get_mut(at / BLOCK)?).get_mut(at % BLOCK));
            if let Some(slot) = slot {
                *slot = Arc::clone(host);
            }
        }
        Arc::new(Self { name: Arc::clone(&self.name), shape: Arc::clone(&self.shape), blocks })
    }

    /// The virtual host of a Host or `:authority`, in any case, with its port if it has one.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        let at = *self.shape.by_domain.find(host)?;
        self.blocks.get(at / BLOCK)?.get(at % BLOCK)
    }

    /// All virtual hosts, by name.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<VirtualHost>> {
        self.blocks.iter().flat_map(|block| block.iter())
    }
}
