//! Endpoints by their labels: a request that asks for some goes only to endpoints that have them.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_shared::table::{Label, SubsetFallback, SubsetRules};
use tokio::time::Instant;

use super::super::endpoint::Endpoint;
use super::super::rules::Rules;
use super::Choices;

/// The subsets of a set of endpoints.
#[derive(Debug)]
pub(in super::super) struct Subsets {
    /// By labels, which are in order of their keys.
    by_labels: HashMap<Box<[Label]>, Choices>,
    fallback: Fallback,
}

/// Where requests go that ask for nothing, or for what there is not.
#[derive(Debug)]
enum Fallback {
    Nowhere,
    Any,
    Default(Choices),
}

impl Subsets {
    pub(in super::super) fn new(
        all: &[Arc<Endpoint>],
        wanted: &SubsetRules,
        rules: &Rules,
        now: Instant,
    ) -> Self {
        let mut members: HashMap<Box<[Label]>, Vec<Arc<Endpoint>>> = HashMap::new();
        for endpoint in all {
            for selector in &wanted.selectors {
                let label = |key: &Arc<str>| endpoint.labels.iter().find(|(own, _)| own == key).cloned();
                let Some(labels) = selector.keys.iter().map(label).collect::<Option<Vec<_>>>() else {
                    continue;
                };
                let subset = members.entry(labels.into()).or_default();
                if !selector.single_host || subset.is_empty() {
                    subset.push(Arc::clone(endpoint));
                }
            }
        }
        let choices = |list: &[Arc<Endpoint>]| Choices::new(list, rules, now);
        let fallback = match &wanted.fallback {
            SubsetFallback::None => Fallback::Nowhere,
            SubsetFallback::Any => Fallback::Any,
            SubsetFallback::Default(labels) => {
                let fits = |one: &&Arc<Endpoint>| labels.iter().all(|label| one.labels.contains(label));
                Fallback::Default(choices(&all.iter().filter(fits).cloned().collect::<Vec<_>>()))
            }
        };
        let by_labels = members.into_iter().map(|(labels, list)| (labels, choices(&list))).collect();
        Self { by_labels, fallback }
    }

    /// The endpoints for these labels.
    pub(in super::super) fn find<'a>(&'a self, labels: &[Label], all: &'a Choices) -> Option<&'a Choices> {
        if !labels.is_empty()
            && let Some(subset) = self.by_labels.get(labels)
        {
            return Some(subset);
        }
        match &self.fallback {
            Fallback::Nowhere => None,
            Fallback::Any => Some(all),
            Fallback::Default(subset) => Some(subset),
        }
    }
}
