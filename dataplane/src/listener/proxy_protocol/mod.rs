//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): who the client is when a load balancer
//! stands in front.
//!
//! [`parse`] is a pure function over the bytes received so far and never looks further than one header; [`read`]
//! feeds it from a socket and gives back what came after the header. Strict on purpose: whoever can write a header
//! can claim any address, so that only a well-formed one counts, and a listener that wants one accepts no other
//! connection. [`extensions`] are given to who asks for them. This module must not decide what happens to a refused connection, nor know listeners.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

#[cfg(test)]
mod tests;

/// Starts every version 2 header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Starts every version 1 header.
const V1: &[u8; 6] = b"PROXY ";
/// The longest version 1 header, CRLF included.
const V1_MAX: usize = 107;
/// The fixed part of a version 2 header.
const V2_FIXED: usize = 16;
/// The longest version 2 header taken: the address block and its TLVs. The format allows 64 KiB, balancers send less
/// than 1 KiB; 4 KiB leaves room for TLVs with certificates' names.
const V2_MAX: usize = V2_FIXED + 4096;

/// What a header says about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// Addresses of the client and of where it connected to.
    Inet {
        /// The client.
        source: SocketAddr,
        /// The address the client connected to.
        destination: SocketAddr,
    },
    /// The balancer's own connection (LOCAL, a health check), UNKNOWN, UNSPEC or a unix socket: the addresses of the
    /// TCP connection count.
    Direct,
}

/// A complete header and the number of bytes it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it says.
    pub proxied: Proxied,
    /// Bytes of the header; the rest belongs to the connection.
    pub length: usize,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first bytes are not those of a header of either version.
    #[error("no PROXY protocol header")]
    Missing,
    /// It began like a header and is not one.
    #[error("malformed PROXY protocol header: {0}")]
    Malformed(&'static str),
    /// The client ended the connection before the header did.
    #[error("connection closed within the PROXY protocol header")]
    Closed,
    /// The socket failed.
    #[error("reading the PROXY protocol header: {0}")]
    Io(#[from] std::io::Error),
}

/// Parses the header at the start of `input`; `None` when more bytes are needed.
///
/// # Errors
/// [`Error::Missing`] and [`Error::Malformed`], as soon as the bytes cannot become a valid header.
pub fn parse(input: &[u8]) -> Result<Option<Header>, Error> {
    if common_prefix(input, SIGNATURE) {
        return if input.len() < SIGNATURE.len() { Ok(None) } else { v2(input) };
    }
    if common_prefix(input, V1) {
        return if input.len() < V1.len() { Ok(None) } else { v1(input) };
    }
    Err(Error::Missing)
}

/// A header, and what came with it.
#[derive(Debug)]
pub struct Read {
    /// What it says.
    pub proxied: Proxied,
    /// Its own bytes, for [`extensions`].
    pub header: Bytes,
    /// The bytes that came after it.
    pub rest: Bytes,
}

/// The extensions of a header that [`read`] gave, in order: type and value. Only one of version 2 that speaks for a client
/// has any.
pub fn extensions(header: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = tlvs_of(header).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[kind, high, low], tail) = rest.split_first_chunk::<3>()?;
        let (value, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        rest = after;
        Some((kind, value))
    })
}

fn tlvs_of(header: &[u8]) -> Option<&[u8]> {
    const PROXY: u8 = 0x21;
    let &[version_command, family, ..] = header.strip_prefix(SIGNATURE)? else { return None };
    let addresses = match family {
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return None,
    };
    (version_command == PROXY).then_some(())?;
    header.get(V2_FIXED + addresses..)
}

/// Reads one header from `stream`. Returns it with the bytes that came after it.
///
/// # Errors
/// As [`parse`], and when the socket ends or fails before the header is complete. The deadline is the caller's.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Read, Error> {
    let mut buffer = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Error::Closed);
        }
        if let Some(header) = parse(&buffer)? {
            let rest = buffer.split_off(header.length.min(buffer.len())).freeze();
            return Ok(Read { proxied: header.proxied, header: buffer.freeze(), rest });
        }
    }
}

/// Whether one of the two is a prefix of the other.
fn common_prefix(input: &[u8], signature: &[u8]) -> bool {
    input.iter().zip(signature).all(|(a, b)| a == b)
}

fn v1(input: &[u8]) -> Result<Option<Header>, Error> {
    let window = input.get(..V1_MAX).unwrap_or(input);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() >= V1_MAX { Err(Error::Malformed("line too long")) } else { Ok(None) };
    };
    let line = window.get(V1.len()..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Error::Malformed("not ASCII"))?;
    let proxied = v1_line(line)?;
    Ok(Some(Header { proxied, length: end + 2 }))
}

fn v1_line(line: &str) -> Result<Proxied, Error> {
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // Whatever follows up to the line's end is to be ignored.
        return Ok(Proxied::Direct);
    }
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Error::Malformed("a version 1 line has a family, two addresses and two ports"));
    };
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(Error::Malformed("unknown address family")),
    };
    let socket = |ip: &str, number: &str| -> Result<SocketAddr, Error> {
        let ip = address(ip).ok_or(Error::Malformed("address"))?;
        Ok(SocketAddr::new(ip, port(number).ok_or(Error::Malformed("port"))?))
    };
    Ok(Proxied::Inet {
        source: socket(source, source_port)?,
        destination: socket(destination, destination_port)?,
    })
}

/// A decimal port without sign or leading zeros, as the format demands.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn v2(input: &[u8]) -> Result<Option<Header>, Error> {
    let Some(&[version_command, family, high, low]) = input.get(12..V2_FIXED) else { return Ok(None) };
    if version_command >> 4 != 2 {
        return Err(Error::Malformed("version"));
    }
    let body = usize::from(u16::from_be_bytes([high, low]));
    let length = V2_FIXED + body;
    if length > V2_MAX {
        return Err(Error::Malformed("header too long"));
    }
    let command = version_command & 0x0f;
    if command > 1 {
        return Err(Error::Malformed("command"));
    }
    let Some(block) = input.get(V2_FIXED..length) else { return Ok(None) };
    // LOCAL: the block, whatever its family, is to be skipped.
    let proxied = if command == 0 { Proxied::Direct } else { v2_addresses(family, block)? };
    Ok(Some(Header { proxied, length }))
}

fn v2_addresses(family: u8, block: &[u8]) -> Result<Proxied, Error> {
    const SHORT: Error = Error::Malformed("address block too short");
    let (addresses, used) = match family {
        // UNSPEC: the receiver uses the connection's own addresses and skips the block. Its TLVs cannot be told from
        // addresses, so that they are not looked at.
        0x00 => return Ok(Proxied::Direct),
        // TCP over IPv4.
        0x11 => {
            let (source, rest) = block.split_first_chunk::<4>().ok_or(SHORT)?;
            let (destination, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
            let ports = rest.first_chunk::<4>().ok_or(SHORT)?;
            (pair(Ipv4Addr::from(*source).into(), Ipv4Addr::from(*destination).into(), *ports), 12)
        }
        // TCP over IPv6.
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or(SHORT)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let ports = rest.first_chunk::<4>().ok_or(SHORT)?;
            (pair(Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), *ports), 36)
        }
        // A stream over a unix socket: two paths of 108 bytes.
        0x31 => {
            if block.len() < 216 {
                return Err(SHORT);
            }
            (Proxied::Direct, 216)
        }
        // Datagrams cannot have arrived over TCP; anything else is not defined.
        _ => return Err(Error::Malformed("address family or transport")),
    };
    skip_tlvs(block.get(used..).unwrap_or_default())?;
    Ok(addresses)
}

fn pair(source: IpAddr, destination: IpAddr, [sh, sl, dh, dl]: [u8; 4]) -> Proxied {
    Proxied::Inet {
        source: SocketAddr::new(source, u16::from_be_bytes([sh, sl])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([dh, dl])),
    }
}

/// The extensions have no meaning for the connection itself, but a block that does not add up is not one we understood.
fn skip_tlvs(mut rest: &[u8]) -> Result<(), Error> {
    while !rest.is_empty() {
        let value = rest
            .split_first_chunk::<3>()
            .and_then(|(&[_, high, low], tail)| tail.get(usize::from(u16::from_be_bytes([high, low]))..));
        rest = value.ok_or(Error::Malformed("extension longer than the header"))?;
    }
    Ok(())
}
