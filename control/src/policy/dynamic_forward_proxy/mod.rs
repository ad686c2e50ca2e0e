//! `dynamicForwardProxy` of a listener: how the hosts are looked up that requests name. A route says by its action that
//! it goes there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portcullis_proto::policy::v1 as wire;

use super::{Found, Layer, Policy};
use crate::resource::{
    self, CaresDns, DnsCacheConfig, DnsLookupFamily, GoDuration, HttpListenerOptions, Kind, PerRouteConfig,
    SocketAddress,
};
use crate::translate::{Globals, Notes, SecretReader};
use crate::{ir, upstream};

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
        let failure = cache.dns_failure_refresh_rate.clone().unwrap_or_default();
        let failure_base_ms = millis("dnsFailureRefreshRate.baseInterval", &failure.base_interval);
        let failure_max_ms = millis("dnsFailureRefreshRate.maxInterval", &failure.max_interval);
        if cache.dns_failure_refresh_rate.is_some() && failure.base_interval.is_none() {
            let text = "baseInterval is needed";
            found.error(notes, ".dnsCacheConfig.dnsFailureRefreshRate.baseInterval", text);
        } else if failure_max_ms != 0 && failure_max_ms < failure_base_ms {
            let text = "maxInterval must not be below baseInterval";
            found.error(notes, ".dnsCacheConfig.dnsFailureRefreshRate.maxInterval", text);
        }
        let servers = cache.cares_dns.as_ref().map(|it| servers(it, &found, notes));
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
            upstream: upstream_name(found.value, options).map(|name| name.to_string()).unwrap_or_default(),
            failure_base_ms,
            failure_max_ms,
            servers,
            save_address: found.value.save_upstream_address,
        }))
    }
}

/// Name of the upstream that says what all hosts are like, where there is one.
fn upstream_name(
    proxy: &resource::DynamicForwardProxy,
    options: &Layer<'_, HttpListenerOptions>,
) -> Option<Arc<str>> {
    let needed = proxy.ssl_config.is_some() || proxy.circuit_breakers.is_some();
    let owner = options.owner;
    // Of a Gateway, of a part that stands in it, or of a part that another resource holds.
    let place = match &*options.path {
        _ if owner.kind != Kind::Gateway => owner.kind.as_str(),
        "spec.httpGateway.options" => "",
        part => part,
    };
    // No Upstream can have a name like this.
    needed.then(|| format!("dynamic_forward_proxy:{place}{}.{}", owner.namespace, owner.name).into())
}

/// What all hosts of a listener are like: TLS and limits, without an endpoint.
pub fn upstream(
    options: &Layer<'_, HttpListenerOptions>,
    globals: &Globals,
    secrets: &mut dyn SecretReader,
    notes: &mut Notes,
) -> Option<ir::Upstream> {
    let proxy = options.options.dynamic_forward_proxy.as_ref()?;
    let name = upstream_name(proxy, options)?;
    let path = format!("{}.dynamicForwardProxy.sslConfig", options.path);
    let tls = proxy.ssl_config.as_ref().map(|config| {
        let tls = upstream::lower_ssl(config, options.owner, &path, secrets, notes);
        ir::UpstreamTls { verify_server_name: tls.ca.is_some(), ..tls }
    });
    let breakers = proxy.circuit_breakers.as_ref().map(upstream::circuit_breakers);
    Some(ir::Upstream {
        name,
        origin: ir::Origin {
            kind: options.owner.kind.as_str(),
            namespace: Arc::clone(&options.owner.namespace),
            name: Arc::clone(&options.owner.name),
        },
        endpoints: ir::Endpoints::Fixed(Vec::new()),
        tls,
        http2: false,
        connect_timeout: None,
        max_requests_per_connection: 0,
        balancing: Default::default(),
        health_check: None,
        outlier_detection: None,
        ignore_health_on_host_removal: false,
        connections: Default::default(),
        http: Default::default(),
        policies: Vec::new(),
        circuit_breakers: breakers.or_else(|| globals.circuit_breakers.clone()),
    })
}

fn servers(
    config: &CaresDns,
    found: &Found<'_, resource::DynamicForwardProxy>,
    notes: &mut Notes,
) -> wire::DnsServers {
    let mut addresses = Vec::new();
    for (at, resolver) in config.resolvers.iter().enumerate() {
        let path = format!(".dnsCacheConfig.caresDns.resolvers[{at}].socketAddress");
        let Some(address) = &resolver.socket_address else {
            found.error(notes, &path, "an address is needed");
            continue;
        };
        let ip = address.address.parse::<IpAddr>();
        let port = u16::try_from(address.port_value).ok().filter(|port| *port > 0);
        match (ip, port) {
            (Ok(ip), Some(port)) => addresses.push(SocketAddr::new(ip, port).to_string()),
            (Err(_), _) => {
                let text = format!("[{}] is not an address", address.address);
                found.error(notes, &format!("{path}.address"), text);
            }
            (_, None) => {
                let text = format!("{} is not a port", address.port_value);
                found.error(notes, &format!("{path}.portValue"), text);
            }
        }
    }
    let options = config.dns_resolver_options.clone().unwrap_or_default();
    wire::DnsServers {
        addresses,
        tcp: options.use_tcp_for_dns_lookups,
        no_search: options.no_default_search_domain,
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
