//! How often the names of an upstream are looked up.

use std::time::Duration;

use super::field::Field;
use crate::resource::Upstream;
use crate::translate::Pace;

/// Envoy's default, which Gloo leaves as it is.
const REFRESH: Duration = Duration::from_secs(5);

/// The pace of an upstream; `named`: it has names to look up.
pub(super) fn pace(upstream: &Upstream, named: bool, spec: &mut Field<'_>) -> Pace {
    let respects_ttl = upstream.respect_dns_ttl.unwrap_or(false);
    let mut pace = Pace { refresh: REFRESH, respects_ttl };
    if !named {
        let set = [
            ("respectDnsTtl", upstream.respect_dns_ttl.is_some()),
            ("dnsRefreshRate", upstream.dns_refresh_rate.is_some()),
        ];
        for (field, _) in set.iter().filter(|(_, set)| *set) {
            spec.at(field).error("is for upstreams with DNS names, and this one has none");
        }
        return pace;
    }
    let Some(rate) = upstream.dns_refresh_rate else { return pace };
    match rate.to_std() {
        Some(refresh) if refresh >= Duration::from_millis(1) => pace.refresh = refresh,
        _ => spec.at("dnsRefreshRate").warning(format!("{rate} is below 1ms: the default of 5s is used")),
    }
    pace
}
