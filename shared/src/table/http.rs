//! How HTTP is spoken on the connections of a filter chain.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_proto::table::v1 as wire;

use super::AccessLog;
use super::field::each;
use crate::Invalid;

/// See the module. Fields that are `None` are the worker's defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpSettings {
    /// In place of the worker's own log.
    pub access_logs: Vec<AccessLog>,
    /// Everything that needs no conversion.
    pub wire: wire::HttpSettings,
    /// Networks whose clients are internal.
    pub internal: Vec<Network>,
}

impl Eq for HttpSettings {}

/// A network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`; a lone address is a network of one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().map_err(|_| format!("\"{address}\" is not an IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            "" => most,
            bits => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("\"{bits}\" is not a prefix length from 0 to {most}"))?,
        };
        Ok(Self { address, bits })
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                let top = |it: std::net::Ipv4Addr| it.to_bits().checked_shr(shift).unwrap_or(0);
                top(own) == top(other)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                let top = |it: std::net::Ipv6Addr| it.to_bits().checked_shr(shift).unwrap_or(0);
                top(own) == top(other)
            }
            _ => false,
        }
    }
}

/// Milliseconds of which 0 means no limit.
#[must_use]
pub fn limit(ms: Option<u64>, default: Option<Duration>) -> Option<Duration> {
    match ms {
        None => default,
        Some(0) => None,
        Some(ms) => Some(Duration::from_millis(ms)),
    }
}

impl TryFrom<wire::HttpSettings> for HttpSettings {
    type Error = Invalid;

    fn try_from(mut wire: wire::HttpSettings) -> Result<Self, Invalid> {
        let access_logs = each("access_logs", std::mem::take(&mut wire.access_logs))?;
        let mut internal = Vec::new();
        for (i, text) in wire.client_address.iter().flat_map(|it| &it.internal).enumerate() {
            let network = Network::parse(text);
            internal.push(network.map_err(|e| Invalid::new(format!("client_address.internal[{i}]"), e))?);
        }
        Ok(Self { access_logs, wire, internal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_with_its_prefix() {
        let holds = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("192.168.1.1", "192.168.1.1") && !holds("192.168.1.1", "192.168.1.2"));
        assert!(holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1") && holds("::/0", "::1"));
        assert!(Network::parse("10.0.0.0/33").is_err() && Network::parse("x/8").is_err());
    }
}
