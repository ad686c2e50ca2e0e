//! Virtual clusters: requests of a virtual host that are counted apart.
//!
//! Their counts go on as long as the virtual host has one of that name, whatever becomes of its routes.

use std::sync::Arc;

use portcullis_shared::table;

use crate::upstream::{Codes, Counter, Histogram};

/// What requests that fit none of them are counted under, as by Envoy.
const OTHER: &str = "other";

/// The virtual clusters of a virtual host.
#[derive(Debug)]
pub struct VirtualClusters {
    list: Box<[(table::VirtualCluster, Arc<VirtualCluster>)]>,
    other: Arc<VirtualCluster>,
}

/// One of them.
#[derive(Debug, Default)]
pub struct VirtualCluster {
    /// Its name in metrics.
    pub name: Arc<str>,
    /// Requests that went to an upstream.
    pub requests: Counter,
    /// Tries after the first.
    pub retries: Counter,
    /// Requests that ran into their limit.
    pub timeouts: Counter,
    /// Answers.
    pub responses: Codes,
    /// From the request to the end of the answer.
    pub time: Histogram,
    /// The one for whatever fits no other: it has no name in logs.
    pub is_other: bool,
}

impl VirtualClusters {
    pub(super) fn build(configs: &[table::VirtualCluster], before: Option<&Self>) -> Option<Box<Self>> {
        if configs.is_empty() {
            return None;
        }
        let kept = |name: &str| {
            let mut all = before.into_iter().flat_map(VirtualClusters::all);
            all.find(|it| !it.is_other && *it.name == *name).cloned()
        };
        let mut list: Vec<(table::VirtualCluster, Arc<VirtualCluster>)> = Vec::with_capacity(configs.len());
        for config in configs {
            // Two of one name are one in metrics.
            let same = list.iter().find(|(_, it)| it.name == config.name).map(|(_, it)| it.clone());
            let counts = same.or_else(|| kept(&config.name));
            let new = || VirtualCluster { name: config.name.clone(), ..VirtualCluster::default() };
            list.push((config.clone(), counts.unwrap_or_else(|| Arc::new(new()))));
        }
        let other = || VirtualCluster { name: OTHER.into(), is_other: true, ..VirtualCluster::default() };
        let other = before.map_or_else(|| Arc::new(other()), |before| before.other.clone());
        Some(Box::new(Self { list: list.into(), other }))
    }

    /// The one that counts a request for `target`, path and query.
    #[must_use]
    pub fn find(&self, method: &str, target: &str) -> &Arc<VirtualCluster> {
        let found = self.list.iter().find(|(config, _)| config.fits(method, target));
        found.map_or(&self.other, |(_, counts)| counts)
    }

    /// Each once, that for all others last.
    pub fn all(&self) -> impl Iterator<Item = &Arc<VirtualCluster>> {
        let first = |(at, (_, it)): &(usize, &(table::VirtualCluster, Arc<VirtualCluster>))| {
            self.list.iter().take(*at).all(|(_, earlier)| !Arc::ptr_eq(earlier, it))
        };
        self.list.iter().enumerate().filter(first).map(|(_, (_, it))| it).chain([&self.other])
    }
}

#[cfg(test)]
mod tests {
    use portcullis_proto::table::v1 as wire;

    use super::*;

    fn clusters(list: &[(&str, &str, &str)], before: Option<&VirtualClusters>) -> Box<VirtualClusters> {
        let config = |(name, pattern, method): &(&str, &str, &str)| {
            let wire = wire::VirtualCluster {
                name: (*name).into(),
                pattern: (*pattern).into(),
                method: (*method).into(),
            };
            table::VirtualCluster::try_from(wire).expect("valid")
        };
        let configs: Vec<_> = list.iter().map(config).collect();
        VirtualClusters::build(&configs, before).expect("some")
    }

    #[test]
    fn the_first_that_fits_counts_and_counts_go_on() {
        let first = clusters(&[("a", "/x/.*", "GET"), ("b", "/x/.*", ""), ("a", "/y", "")], None);
        let name = |method, target| first.find(method, target).name.to_string();
        assert_eq!([name("GET", "/x/1?q"), name("POST", "/x/1"), name("GET", "/y")], ["a", "b", "a"]);
        assert_eq!(name("GET", "/z"), "other");
        assert_eq!(first.all().map(|it| &*it.name).collect::<Vec<_>>(), ["a", "b", "other"]);
        first.find("GET", "/y").requests.inc();
        first.find("GET", "/z").requests.inc();
        let second = clusters(&[("a", "/elsewhere", "")], Some(&first));
        assert_eq!(second.find("GET", "/elsewhere").requests.get(), 1);
        assert_eq!(second.find("GET", "/x").requests.get(), 1);
    }

    #[test]
    fn one_that_is_called_other_is_not_that_for_all_others() {
        let own = clusters(&[("other", "/x", "")], None);
        own.find("GET", "/x").requests.inc();
        let again = clusters(&[("other", "/x", "")], Some(&own));
        assert_eq!((again.find("GET", "/x").requests.get(), again.find("GET", "/y").requests.get()), (1, 0));
    }
}
