//! All endpoints of an upstream at one moment, with everything that choosing one of them needs. Immutable: a change of
//! endpoints or of their health makes a new one, off the request path.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use portcullis_shared::table::{self, Place};
use tokio::time::Instant;

use super::balance::{Choices, Subsets};
use super::endpoint::Endpoint;
use super::rules::Rules;

/// See the module.
#[derive(Debug, Default)]
pub struct Endpoints {
    list: Vec<Arc<Endpoint>>,
    all: Choices,
    subsets: Option<Subsets>,
}

impl Endpoints {
    /// A set made of `list`. An address that was in `before` keeps its state; of the others, `rules` may keep the healthy
    /// ones until their checks fail.
    pub(super) fn new(list: &[table::Endpoint], before: &Self, rules: &Rules) -> Self {
        let known: HashMap<&Place, &Arc<Endpoint>> =
            before.list.iter().map(|endpoint| (&endpoint.address, endpoint)).collect();
        // The first ones serve until a check says otherwise, where a new cluster of Envoy's would wait for its checks.
        // Whoever comes to them has to pass one first.
        let failed = rules.checked && !before.list.is_empty();
        let mut next: Vec<Arc<Endpoint>> = list
            .iter()
            .map(|config| {
                let before = known.get(&config.address).map(|endpoint| &***endpoint);
                Arc::new(Endpoint::new(config, before, failed))
            })
            .collect();
        if rules.keep_healthy {
            let present: HashSet<&Place> = list.iter().map(|config| &config.address).collect();
            let healthy = |one: &&Arc<Endpoint>| !present.contains(&one.address) && !one.failed_check();
            for endpoint in before.list.iter().filter(healthy) {
                endpoint.state().leaving.store(true, Relaxed);
                next.push(Arc::clone(endpoint));
            }
        }
        Self::of(next, rules)
    }

    /// The same endpoints with their health of now.
    pub(super) fn refreshed(&self, rules: &Rules) -> Self {
        let gone = |one: &&Arc<Endpoint>| {
            one.state().leaving.load(Relaxed) && (one.failed_check() || !rules.keep_healthy)
        };
        Self::of(self.list.iter().filter(|one| !gone(one)).cloned().collect(), rules)
    }

    fn of(list: Vec<Arc<Endpoint>>, rules: &Rules) -> Self {
        let now = Instant::now();
        for endpoint in &list {
            let state = endpoint.state();
            if !rules.checked {
                state.failed.store(false, Relaxed);
            }
            if !rules.judged {
                state.ejected.store(false, Relaxed);
            }
        }
        let all = Choices::new(&list, rules, now);
        let subsets = rules.subsets.as_ref().map(|wanted| Subsets::new(&list, wanted, rules, now));
        Self { list, all, subsets }
    }

    /// The endpoints in the order of the table.
    #[must_use]
    pub fn list(&self) -> &[Arc<Endpoint>] {
        &self.list
    }

    /// Those that requests for these labels may go to.
    pub(super) fn choices(&self, labels: &[table::Label]) -> Option<&Choices> {
        match &self.subsets {
            None => Some(&self.all),
            Some(subsets) => subsets.find(labels, &self.all),
        }
    }

    /// Some of them take less than their share for a while, so that the shares will change by themselves.
    pub(super) fn is_warming(&self, rules: &Rules) -> bool {
        let Some(slow) = &rules.slow_start else { return false };
        self.list.iter().any(|endpoint| endpoint.state().since.lock().elapsed() < slow.window)
    }
}
