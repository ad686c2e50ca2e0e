//! The server name in a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3), read without answering it.
//!
//! Pure functions over bytes. What is no well-formed hello is [`Hello::Other`]: it has no server name, and whoever gets it
//! has to make sense of it. Must not keep more than it is given: the caller bounds that by [`MOST`].

use smallvec::SmallVec;

/// Longest hello that is read, record headers included. Envoy's limit.
pub const MOST: usize = 64 * 1024;
/// Longest plain-text record (RFC 8446 5.1).
const LONGEST_RECORD: usize = 1 << 14;
const RECORD_HEADER: usize = 5;
const HANDSHAKE_RECORD: u8 = 22;
const MAJOR_VERSION: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// Longest DNS name as text.
const LONGEST_NAME: usize = 255;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a hello, not all of it.
    Incomplete,
    /// A hello; the server name in lower case, if the client sent one.
    Client(Option<String>),
    /// Something else.
    Other,
}

/// Reads the first bytes of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Ok(body) => body.and_then(|body| client_hello(&body)).map_or(Hello::Other, Hello::Client),
        Err(Incomplete) => Hello::Incomplete,
    }
}

struct Incomplete;

/// A hello is one record as a rule; a large one, or a careful client's, comes in several.
type Body = SmallVec<[u8; 2048]>;

/// The body of the handshake message at the beginning; `None` = there is none.
fn message(mut bytes: &[u8]) -> Result<Option<Body>, Incomplete> {
    let mut body = Body::new();
    loop {
        // As early as possible: a client that speaks something else may be waiting for the first word.
        let fits = |at: usize, fits: fn(u8) -> bool| bytes.get(at).is_none_or(|byte| fits(*byte));
        if !fits(0, |byte| byte == HANDSHAKE_RECORD) || !fits(1, |byte| byte == MAJOR_VERSION) {
            return Ok(None);
        }
        let Some((header, rest)) = bytes.split_at_checked(RECORD_HEADER) else { return Err(Incomplete) };
        let length = header.last_chunk::<2>().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        if length == 0 || length > LONGEST_RECORD {
            return Ok(None);
        }
        let payload = rest.get(..length).unwrap_or(rest);
        let declared = body.len() + length;
        body.extend_from_slice(payload);
        if body.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Ok(None);
        }
        if let Some(&[_, high, mid, low]) = body.first_chunk::<4>() {
            let whole = 4 + (usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low));
            // More in the same record would be a second message, which no client sends before an answer. Its length says
            // so, before all of it is here.
            if whole > 4 + MOST || declared > whole {
                return Ok(None);
            }
            if body.len() == whole {
                body.drain(..4);
                return Ok(Some(body));
            }
        }
        bytes = rest.get(length..).ok_or(Incomplete)?;
    }
}

/// The server name of a whole hello; the outer `None` = it is not well-formed.
fn client_hello(body: &[u8]) -> Option<Option<String>> {
    let mut hello = Reader(body);
    // The version and the random.
    hello.take(2 + 32)?;
    let session = hello.list8()?;
    let suites = hello.list16()?;
    let compression = hello.list8()?;
    if session.len() > 32 || suites.is_empty() || !suites.len().is_multiple_of(2) || compression.is_empty() {
        return None;
    }
    if hello.0.is_empty() {
        // TLS 1.2 and before may have no extensions at all.
        return Some(None);
    }
    let mut extensions = Reader(hello.list16()?);
    if !hello.0.is_empty() {
        return None;
    }
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let content = extensions.list16()?;
        if kind == SERVER_NAME && name.replace(server_name(content)?).is_some() {
            return None;
        }
    }
    Some(name)
}

/// The one host name of the extension.
fn server_name(content: &[u8]) -> Option<String> {
    let mut content = Reader(content);
    let mut list = Reader(content.list16()?);
    let kind = list.take(1)?;
    let name = list.list16()?;
    let whole = content.0.is_empty() && list.0.is_empty() && kind == [HOST_NAME];
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(name).ok().filter(|_| whole && fits)?;
    Some(name.to_ascii_lowercase())
}

/// Bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        let (number, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*number))
    }

    fn list8(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(length.into())
    }

    fn list16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::pki_types::ServerName;

    use super::*;

    /// What a client of this library says first.
    fn hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// The same message in records of other sizes.
    fn in_records(hello: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut message = &hello[RECORD_HEADER..];
        let mut bytes = Vec::new();
        for size in sizes.iter().copied().cycle() {
            let (now, rest) = message.split_at(size.clamp(1, message.len()));
            bytes.extend_from_slice(&[22, 3, 1]);
            bytes.extend_from_slice(&u16::try_from(now.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(now);
            message = rest;
            if message.is_empty() {
                break;
            }
        }
        bytes
    }

    #[test]
    fn the_server_name_is_found_in_lower_case() {
        assert_eq!(parse(&hello("Shop.Example.COM")), Hello::Client(Some("shop.example.com".into())));
        assert_eq!(parse(&hello("127.0.0.1")), Hello::Client(None));
        assert_eq!(parse(&hello("up_gloo-system")), Hello::Client(Some("up_gloo-system".into())));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_byte() {
        for bytes in [&b"G"[..], b"SSH-2.0", b"\x16\x02", b"\x15\x03\x01", b"\x16\x03\x01\x00\x00"] {
            assert_eq!(parse(bytes), Hello::Other, "{bytes:?}");
        }
        // Another handshake message, and a record longer than any.
        assert_eq!(parse(b"\x16\x03\x01\x00\x04\x02"), Hello::Other);
        assert_eq!(parse(b"\x16\x03\x01\x40\x01\x01"), Hello::Other);
        // A hello longer than is read.
        assert_eq!(parse(b"\x16\x03\x01\x01\x00\x01\x02\x00\x00"), Hello::Other);
        assert_eq!(parse(b""), Hello::Incomplete);
    }

    #[test]
    fn a_hello_with_two_names_or_a_strange_one_has_none() {
        let good = hello("a.test");
        let at = good.windows(6).position(|window| window == b"a.test").unwrap();
        for bad in [b'\0', b' ', 0xff] {
            let mut bytes = good.clone();
            bytes[at] = bad;
            assert_eq!(parse(&bytes), Hello::Other);
        }
        // The extension twice: its bytes begin with the type and three lengths before the name.
        let extension = good[at - 9..at + 6].to_vec();
        let mut bytes = good.clone();
        bytes.splice(at + 6..at + 6, extension.iter().copied());
        let grow = |bytes: &mut [u8], at: usize| {
            let length = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let grown = length + u16::try_from(extension.len()).unwrap();
            bytes[at..at + 2].copy_from_slice(&grown.to_be_bytes());
        };
        grow(&mut bytes, 3);
        grow(&mut bytes, 7);
        // version, random, session id, suites, compression: behind them is the length of all extensions.
        let suites = RECORD_HEADER + 4 + 34 + 1 + usize::from(bytes[RECORD_HEADER + 4 + 34]);
        let compression = suites + 2 + usize::from(u16::from_be_bytes([bytes[suites], bytes[suites + 1]]));
        let all = compression + 1 + usize::from(bytes[compression]);
        grow(&mut bytes, all);
        assert_eq!(parse(&bytes), Hello::Other);
    }

    proptest! {
        #[test]
        fn every_hello_is_read_in_any_records_and_not_before_its_end(
            name in "[a-z]{1,20}(\\.[a-z][a-z0-9_-]{1,20}x){0,4}",
            sizes in prop::collection::vec(1..600usize, 1..6),
        ) {
            let bytes = in_records(&hello(&name), &sizes);
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end]), Hello::Incomplete);
            }
            prop_assert_eq!(parse(&bytes), Hello::Client(Some(name)));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        /// A name that is read is one that another parser reads too, whatever happened to the hello.
        #[test]
        fn a_damaged_hello_has_no_name_that_others_do_not_see(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = hello("some.name.test");
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Hello::Client(name) = parse(&bytes) {
                let mut acceptor = rustls::server::Acceptor::default();
                acceptor.read_tls(&mut &bytes[..]).unwrap();
                if let Ok(Some(accepted)) = acceptor.accept() {
                    let seen = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                    prop_assert!(seen.is_none() || seen == name, "{:?} {:?}", seen, name);
                }
            }
        }
    }
}
