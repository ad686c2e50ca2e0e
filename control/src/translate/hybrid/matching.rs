//! Whose connections a part of a hybrid gateway takes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_shared::version::Digest;

use super::super::notes::Notes;
use super::super::ssl::server_names;
use super::super::tcp::Place;
use super::super::tls;
use crate::resource::{CidrRange, ConnectionMatcher, ObjectRef, SslConfig};

/// Whose connections a part takes.
#[derive(Debug, Default)]
pub struct Matching {
    /// Sorted; empty = every name and none, unless TCP hosts or VirtualServices have names.
    pub server_names: Vec<Arc<str>>,
    pub sources: Vec<IpNet>,
}

/// The `matcher` at `place`.
pub fn matching(matcher: Option<&ConnectionMatcher>, place: &Place<'_>, notes: &mut Notes) -> Matching {
    let Some(matcher) = matcher else { return Matching::default() };
    let path = format!("{}.matcher", place.path);
    let ssl = matcher.ssl_config.as_ref();
    let server_names = ssl.map(|ssl| check_ssl(ssl, place.owner, &format!("{path}.sslConfig"), notes));
    let mut sources = BTreeSet::new();
    for (at, range) in matcher.source_prefix_ranges.iter().enumerate() {
        match network(range) {
            Ok(network) => {
                sources.insert(network);
            }
            Err(problem) => {
                let path = format!("{path}.sourcePrefixRanges[{at}]");
                notes.error(place.owner, path, problem);
            }
        }
    }
    Matching { server_names: server_names.unwrap_or_default(), sources: sources.into_iter().collect() }
}

/// Checks an `sslConfig` and gives its server names. Key material is looked at where it is used, in the place of
/// VirtualServices.
pub fn check_ssl(ssl: &SslConfig, owner: &ObjectRef, path: &str, notes: &mut Notes) -> Vec<Arc<str>> {
    tls::parameters(ssl.parameters.as_ref(), owner, &format!("{path}.parameters"), notes);
    if let Some(timeout) = ssl.transport_socket_connect_timeout.filter(|it| it.to_std().is_none()) {
        let path = format!("{path}.transportSocketConnectTimeout");
        notes.error(owner, path, format!("{timeout} is negative"));
    }
    server_names(ssl, owner, path, notes)
}

/// A label that depends on nothing but whose connections are taken.
pub fn label(matching: &Matching, ssl: bool, known: &mut BTreeSet<Arc<str>>) -> Arc<str> {
    let Matching { server_names, sources } = matching;
    let mut digest = Digest::of(format!("{ssl} {server_names:?} {sources:?}").as_bytes()).to_string();
    digest.truncate(12);
    let mut label: Arc<str> = format!("part-{digest}").into();
    // With TLS the names of VirtualServices may tell such parts from each other.
    for more in 2.. {
        if known.insert(Arc::clone(&label)) {
            break;
        }
        label = format!("part-{digest}-{more}").into();
    }
    label
}

/// The network of a range. IPv4 addresses in their IPv6 form are IPv4 addresses, as clients' are.
fn network(range: &CidrRange) -> Result<IpNet, String> {
    let CidrRange { address_prefix, prefix_len } = range;
    let address: IpAddr =
        address_prefix.parse().map_err(|_| format!("[{address_prefix}] is not an IP address"))?;
    let bits = prefix_len.unwrap_or(0);
    let most = if address.is_ipv4() { 32 } else { 128 };
    let not = || format!("{bits} is not a prefix length from 0 to {most}");
    let network = u8::try_from(bits).ok().and_then(|bits| IpNet::new(address, bits).ok()).ok_or_else(not)?;
    let mapped = match network {
        IpNet::V6(network) if network.prefix_len() >= 96 => network.addr().to_ipv4_mapped(),
        _ => None,
    };
    let canonical = mapped.and_then(|address| IpNet::new(address.into(), network.prefix_len() - 96).ok());
    Ok(canonical.unwrap_or(network).trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_without_host_bits_and_ipv4_where_they_can_be() {
        let of = |address: &str, bits: Option<u32>| {
            network(&CidrRange { address_prefix: address.to_owned(), prefix_len: bits })
                .map(|network| network.to_string())
        };
        for (address, bits, expected) in [
            ("10.1.2.3", Some(8), "10.0.0.0/8"),
            ("0.0.0.0", Some(1), "0.0.0.0/1"),
            ("192.0.2.1", None, "0.0.0.0/0"),
            ("fd00::1", Some(8), "fd00::/8"),
            ("::ffff:10.1.2.3", Some(104), "10.0.0.0/8"),
            ("::ffff:10.1.2.3", Some(128), "10.1.2.3/32"),
            ("::ffff:0.0.0.0", Some(96), "0.0.0.0/0"),
            ("::", Some(0), "::/0"),
        ] {
            assert_eq!(of(address, bits).as_deref(), Ok(expected));
        }
        for (address, bits) in [("10.0.0.0", Some(33)), ("::", Some(129)), ("::", Some(256)), ("a.b", None)] {
            assert!(of(address, bits).is_err(), "{address} {bits:?}");
        }
    }

    #[test]
    fn equal_matchers_have_labels_of_their_own() {
        let mut known = BTreeSet::new();
        let first = label(&Matching::default(), true, &mut known);
        let second = label(&Matching::default(), true, &mut known);
        let plain = label(&Matching::default(), false, &mut known);
        assert_eq!(*second, format!("{first}-2"));
        assert!(plain != first && plain != second);
    }
}
