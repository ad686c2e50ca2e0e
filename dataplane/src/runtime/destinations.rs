//! Weighted destinations: a route's own, or a split that several routes share.

use std::sync::Arc;

use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::split;
use portcullis_shared::table;

use super::names::Names;
use crate::policy::{Plan, PlanBuilder};

/// A weighted list.
#[derive(Debug)]
pub struct Destinations {
    /// Empty when there is one member.
    sums: Box<[u32]>,
    list: Box<[Destination]>,
}

/// One member of a weighted list.
#[derive(Debug)]
pub struct Destination {
    /// Name of its upstream.
    pub upstream: Arc<str>,
    /// Its share of the sum of weights.
    pub weight: u32,
    /// The route's plan with the policies of this destination in it; none = as the route's. Always none in a split,
    /// which knows no route: [`super::Route::plan_for`] knows both.
    pub plan: Option<Box<Plan>>,
    /// Policies of its own, where no plan could be made of them beforehand.
    pub(super) over: Option<Box<PlanBuilder>>,
}

/// A weighted list that routes refer to by name.
#[derive(Debug)]
pub struct Split {
    /// Its name in the table.
    pub name: Arc<str>,
    /// The list.
    pub destinations: Destinations,
}

impl Destinations {
    /// `route` is the plan that policies of destinations change; none = they are kept for later.
    pub(super) fn build(
        config: &[table::Destination],
        route: Option<&Plan>,
        names: &Names,
    ) -> Result<Self, Invalid> {
        let list = config.iter().enumerate().map(|(i, config)| {
            let mut over =
                PlanBuilder::decode(&config.policies).map_err(|e| e.under(format!("destinations[{i}]")))?;
            if !config.subset.is_empty() {
                over.subset(Arc::clone(&config.subset));
            }
            let plan = route.filter(|_| !over.is_empty()).map(|route| Box::new(route.with(&over)));
            let over = (!over.is_empty() && plan.is_none()).then(|| Box::new(over));
            Ok(Destination { upstream: names.share(&config.upstream), weight: config.weight, plan, over })
        });
        let list = list.collect::<Result<_, Invalid>>()?;
        let sums = match config {
            [_] => Box::default(),
            many => split::cumulate(many.iter().map(|config| config.weight)),
        };
        Ok(Self { sums, list })
    }

    /// The member that `point` falls on; a uniformly random point gives each its share.
    #[must_use]
    pub fn pick(&self, point: u64) -> Option<&Destination> {
        match &*self.list {
            [one] => Some(one).filter(|one| one.weight > 0),
            list => list.get(split::pick(&self.sums, point)?),
        }
    }

    /// All members, in the order of the table.
    #[must_use]
    pub fn list(&self) -> &[Destination] {
        &self.list
    }
}

impl Split {
    pub(super) fn build(config: &table::Split, names: &Names) -> Result<Self, Invalid> {
        Ok(Self {
            name: Arc::clone(&config.name),
            destinations: Destinations::build(&config.destinations, None, names)
                .map_err(|e| e.under("destinations"))?,
        })
    }
}
