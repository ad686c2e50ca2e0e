//! The PROXY protocol's header (HAProxy's `proxy-protocol.txt`) as a gateway writes it to an upstream.

use std::net::{IpAddr, SocketAddr};

use portcullis_shared::table::ProxyVersion;

/// Starts every version 2 header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a connection of the gateway's own.
const LOCAL: u8 = 0x20;
/// Version 2, a connection for a client.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Whom a connection is made for: the client, and where it connected to.
pub type Proxied = (SocketAddr, SocketAddr);

/// The header of a connection for `proxied`. Without it, version 2 says that the gateway speaks for itself; version 1 has
/// no word for that and names the ends of the connection, `own`, as Envoy does.
pub fn header(version: ProxyVersion, proxied: Option<Proxied>, own: Option<Proxied>) -> Vec<u8> {
    match version {
        ProxyVersion::V1 => match proxied.or(own).map(family) {
            Some((source, destination)) => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (source.ip(), destination.ip());
                let ports = (source.port(), destination.port());
                format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
            }
            None => b"PROXY UNKNOWN\r\n".to_vec(),
        },
        ProxyVersion::V2 => v2(proxied.map(family)),
    }
}

fn v2(proxied: Option<Proxied>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((source, destination)) = proxied else {
        header.extend_from_slice(&[LOCAL, 0, 0, 0]);
        return header;
    };
    let mut addresses = Vec::with_capacity(36);
    for end in [source, destination] {
        match end.ip() {
            IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
        }
    }
    addresses.extend_from_slice(&source.port().to_be_bytes());
    addresses.extend_from_slice(&destination.port().to_be_bytes());
    // Two addresses and two ports: 12 or 36 bytes.
    let length = u8::try_from(addresses.len()).unwrap_or(0);
    header.extend_from_slice(&[PROXY, if source.is_ipv4() { TCP4 } else { TCP6 }, 0, length]);
    header.extend_from_slice(&addresses);
    header
}

/// Both ends in one family: a header has room for one only.
fn family((source, destination): Proxied) -> Proxied {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (source, destination) = (plain(source), plain(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let wide = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    (wide(source), wide(destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::proxy_protocol::{Proxied as Read, parse};

    fn read(header: &[u8]) -> Read {
        let parsed = parse(header).unwrap().unwrap();
        assert_eq!(parsed.length, header.len());
        parsed.proxied
    }

    #[test]
    fn what_is_written_is_read_as_it_was_meant() {
        for (source, destination) in
            [("10.0.0.1:4000", "10.9.9.9:443"), ("[2001:db8::1]:1", "[2001:db8::2]:65535")]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let header = header(version, Some((source, destination)), None);
                assert_eq!(read(&header), Read::Inet { source, destination });
            }
        }
        let mixed = ("10.0.0.1:4000".parse().unwrap(), "[2001:db8::2]:80".parse().unwrap());
        let header = header(ProxyVersion::V2, Some(mixed), None);
        let source = "[::ffff:10.0.0.1]:4000".parse().unwrap();
        assert_eq!(read(&header), Read::Inet { source, destination: mixed.1 });
    }

    #[test]
    fn a_connection_for_nobody_says_so() {
        let own = ("127.0.0.1:5".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        assert_eq!(read(&header(ProxyVersion::V2, None, Some(own))), Read::Direct);
        assert_eq!(header(ProxyVersion::V1, None, Some(own)), b"PROXY TCP4 127.0.0.1 127.0.0.1 5 80\r\n");
        assert_eq!(header(ProxyVersion::V1, None, None), b"PROXY UNKNOWN\r\n");
    }
}
