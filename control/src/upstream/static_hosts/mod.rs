//! `static`: a list of hosts. Addresses are endpoints at once; one DNS name among them makes discovery look after all.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Found, Type};
use crate::ir;
use crate::resource::{MetadataValue, ObjectRef, StaticHost, StaticUpstream, Upstream, UpstreamType};
use crate::translate::{DnsHost, Notes};

/// The type.
pub struct StaticHosts;

/// One host of this port turns TLS on for all, unless the resource says otherwise.
const TLS_PORT: u32 = 443;

impl Type for StaticHosts {
    fn endpoints(&self, upstream: &Upstream, owner: &ObjectRef, notes: &mut Notes) -> Option<Found> {
        let UpstreamType::Static(spec) = upstream.upstream_type()? else { return None };
        if spec.hosts.is_empty() {
            notes.error(owner, "spec.static.hosts", "the upstream must have at least one host");
        }
        let tls_port = spec.hosts.iter().any(|host| host.port == TLS_PORT);
        let implied_tls = spec.use_tls.unwrap_or(tls_port);
        let tls = implied_tls || upstream.ssl_config.is_some();

        let mut found = Found { implied_tls, ..Found::default() };
        let checked: Vec<(&StaticHost, Checked)> = spec
            .hosts
            .iter()
            .enumerate()
            .filter_map(|(at, host)| {
                Some((host, check(host, &format!("spec.static.hosts[{at}]"), owner, notes)?))
            })
            .collect();
        let names = checked.iter().any(|(_, checked)| checked.address.is_none());
        for (host, Checked { address, port, weight }) in checked {
            let sni = if tls { server_name(spec, host, address) } else { None };
            let labels = labels(host);
            match address {
                Some(address) if !names => {
                    found.fixed.push(ir::Endpoint { address, port, weight, sni, labels });
                }
                _ => {
                    let host = host.addr.as_str().into();
                    found.dynamic.push(DnsHost { host, port, weight, sni, labels });
                }
            }
        }
        Some(found)
    }
}

struct Checked {
    /// `None` = a name.
    address: Option<IpAddr>,
    port: u16,
    weight: u32,
}

fn check(host: &StaticHost, path: &str, owner: &ObjectRef, notes: &mut Notes) -> Option<Checked> {
    let mut fine = true;
    let mut refuse = |notes: &mut Notes, field: &str, message: String| {
        notes.error(owner, format!("{path}.{field}"), message);
        fine = false;
    };
    let address = host.addr.parse::<IpAddr>().ok();
    if host.addr.is_empty() {
        refuse(notes, "addr", "addr cannot be empty for a host".to_owned());
    } else if address.is_none() && !is_name(&host.addr) {
        refuse(notes, "addr", format!("[{}] is neither an address nor a DNS name", host.addr));
    }
    let port = u16::try_from(host.port).unwrap_or(0);
    if port == 0 {
        let message = match host.port {
            0 => "port cannot be empty for a host".to_owned(),
            port => format!("{port} is not a port"),
        };
        refuse(notes, "port", message);
    }
    let weight = host.load_balancing_weight.unwrap_or(1);
    if weight == 0 {
        refuse(notes, "loadBalancingWeight", "must be at least 1".to_owned());
    }
    fine.then_some(Checked { address, port, weight })
}

/// The key of metadata under which labels for balancing stand.
const LABELS: &str = "envoy.lb";

/// What subsets are made by. Only texts can be asked for.
fn labels(host: &StaticHost) -> ir::Labels {
    let text = |(key, value): (&String, &MetadataValue)| match value {
        MetadataValue::Text(text) => Some((key.as_str().into(), text.as_str().into())),
        _ => None,
    };
    host.metadata.get(LABELS).into_iter().flatten().filter_map(text).collect()
}

/// RFC 1123 labels, with the underscores that people use.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The host's own name comes first; an address cannot be a server name (RFC 6066 section 3).
fn server_name(spec: &StaticUpstream, host: &StaticHost, address: Option<IpAddr>) -> Option<Arc<str>> {
    if !host.sni_addr.is_empty() {
        return Some(host.sni_addr.as_str().into());
    }
    let automatic = spec.auto_sni_rewrite.unwrap_or(true);
    (automatic && address.is_none()).then(|| host.addr.as_str().into())
}
