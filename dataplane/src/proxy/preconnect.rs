//! Connections that are made before requests ask for them, where an upstream wants that.
//!
//! Owns the arithmetic, which is Envoy's: each request under way is to have so many connections, at its endpoint and over
//! all of them. Nothing waits for such a connection, and one that fails is not made again until the next request.

use std::sync::Arc;

use super::attempt::target;
use super::connect::Target;
use super::pool::{Load, Pool};
use crate::upstream::{Bound, Upstream};

/// Connections that one request may set off, as in Envoy.
const MOST: usize = 3;

impl Pool {
    /// A request has got its connection to `target`: those that the next ones will want are begun. HTTP/2 connections have
    /// room for the next requests themselves.
    pub(super) fn prepare(self: &Arc<Self>, upstream: &Upstream, at: &Target) {
        let Some(ratio) = at.manner.preconnect.filter(|_| !at.http2) else { return };
        let Load { busy, open, .. } = self.load(at);
        for _ in 0..missing(busy, open, ratio.per_endpoint) {
            self.begin(at.clone());
        }
        let stats = &upstream.stats;
        let count = |gauge: u64| usize::try_from(gauge).unwrap_or(usize::MAX);
        let (busy, open) = (count(stats.requests_active.get()), count(stats.connections_active.get()));
        // The request that is to come counts too.
        let more = missing(busy.saturating_add(1), open, ratio.ahead);
        if ratio.ahead <= 1.0 || more == 0 {
            return;
        }
        let endpoints = upstream.endpoints();
        let elsewhere = endpoints.list().iter().filter(|endpoint| endpoint.is_healthy());
        let targets = elsewhere.map(|endpoint| target(upstream, endpoint, false).on_behalf(at.proxied));
        let idle = targets.filter(|target| {
            let load = self.load(target);
            load.open == load.busy
        });
        idle.take(more).for_each(|target| self.begin(target));
    }

    fn begin(self: &Arc<Self>, target: Target) {
        // Others need the last ones more.
        if target.breakers.remaining(Bound::Connections) == 0 {
            return;
        }
        let pool = Arc::clone(self);
        let Some(coming) = pool.coming(&target) else { return };
        tokio::spawn(async move {
            if let Ok(client) = coming.connect(&target).await {
                pool.put_back(&target, client);
            }
        });
    }
}

/// How many connections there are too few, of which `busy` have a request.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nobody has so many connections"
)]
fn missing(busy: usize, open: usize, ratio: f64) -> usize {
    let wanted = (busy as f64 * ratio).ceil() as usize;
    wanted.saturating_sub(open).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_round_up_and_one_request_sets_off_few() {
        assert_eq!(missing(1, 1, 1.0), 0);
        assert_eq!(missing(1, 1, 1.5), 1);
        assert_eq!(missing(1, 1, 3.0), 2);
        assert_eq!(missing(2, 3, 1.5), 0);
        assert_eq!(missing(100, 100, 3.0), MOST);
        assert_eq!(missing(0, 5, 3.0), 0);
    }
}
