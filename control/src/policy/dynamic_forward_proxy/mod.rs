//! `dynamicForwardProxy` of a listener: how the hosts are looked up that requests name. A route says by its action that
//! it goes there.

use portcullis_proto::policy::v1 as wire;

use super::{Layer, Policy};
use crate::ir;
use crate::resource::{
    DnsCacheConfig, DnsLookupFamily, GoDuration, HttpListenerOptions, PerRouteConfig, SocketAddress,
};
use crate::translate::{Globals, Notes};

/// The policy.
pub struct DynamicForwardProxy;

impl Policy for DynamicForwardProxy {
    fn option(&self) -> &'static str {
        "dynamicForwardProxy"
    }

    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        let found = options.field("dynamicForwardProxy", |options| options.dynamic_forward_proxy.as_ref())?;
        let none = DnsCacheConfig::default();
        let cache = found.value.dns_cache_config.as_ref().unwrap_or(&none);
        let mut millis = |field: &str, duration: &Option<GoDuration>| match duration.map(|it| it.to_millis())
        {
            None => 0,
            Some(Some(millis)) if millis > 0 => millis,
            Some(_) => {
                found.error(notes, &format!(".dnsCacheConfig.{field}"), format!("{field} must be above 0"));
                0
            }
        };
        let (refresh_ms, host_ttl_ms, query_timeout_ms) = (
            millis("dnsRefreshRate", &cache.dns_refresh_rate),
            millis("hostTtl", &cache.host_ttl),
            millis("dnsQueryTimeout", &cache.dns_query_timeout),
        );
        Some(super::wire(&wire::DynamicForwardProxy {
            family: family(cache.dns_lookup_family) as i32,
            refresh_ms,
            host_ttl_ms,
            max_hosts: cache.max_hosts.unwrap_or(0),
            query_timeout_ms,
            max_pending: cache
                .dns_cache_circuit_breaker
                .as_ref()
                .and_then(|breaker| breaker.max_pending_requests)
                .unwrap_or(0),
            preresolve: cache.preresolve_hostnames.iter().map(SocketAddress::to_string).collect(),
        }))
    }
}

fn family(family: DnsLookupFamily) -> wire::DnsFamily {
    match family {
        DnsLookupFamily::V4Preferred => wire::DnsFamily::V4Preferred,
        DnsLookupFamily::V4Only => wire::DnsFamily::V4Only,
        DnsLookupFamily::V6Only => wire::DnsFamily::V6Only,
        DnsLookupFamily::Auto => wire::DnsFamily::V6Preferred,
        DnsLookupFamily::All => wire::DnsFamily::All,
    }
}

/// What a route with this action carries.
pub fn of_route(action: &PerRouteConfig) -> ir::Policy {
    use wire::dynamic_host::Host;
    let header = action.auto_host_rewrite_header.clone().map(Host::RewriteHeader);
    let host = header.or_else(|| action.host_rewrite.clone().map(Host::Rewrite));
    super::wire(&wire::DynamicHost { host })
}
