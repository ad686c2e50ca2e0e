//! Examples from the format's description, and properties over arbitrary bytes.

use super::*;
use proptest::prelude::*;

fn ok(input: &[u8]) -> Header {
    parse(input).unwrap().expect("complete")
}

fn inet(source: &str, destination: &str) -> Proxied {
    Proxied::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// A version 2 header around `block`.
fn v2_header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    header.extend(block);
    header
}

const BLOCK4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn version_1_names_both_ends() {
    let header = ok(b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\nGET / HTTP/1.1\r\n");
    assert_eq!(header.proxied, inet("192.0.2.1:12345", "198.51.100.2:443"));
    assert_eq!(header.length, 45);
    let header = ok(b"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n");
    assert_eq!(header.proxied, inet("[2001:db8::1]:0", "[2001:db8::2]:65535"));
}

#[test]
fn version_1_unknown_keeps_the_connections_own_addresses() {
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"] {
        let header = ok(line.as_bytes());
        assert_eq!((header.proxied, header.length), (Proxied::Direct, line.len()));
    }
}

#[test]
fn version_1_is_strict() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 12345 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 12345 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 012 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +12 443\r\n",
        "PROXY TCP4 ::1 ::1 12345 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 12345 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 12345 443\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 12345 443\r\n",
        "PROXY \r\n",
        "PROXY unknown\r\n",
        "PROXY TCP4 192.0.2.1\n198.51.100.2 1 2\r\n",
    ] {
        assert!(matches!(parse(line.as_bytes()), Err(Error::Malformed(_))), "{line:?}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    assert!(matches!(parse(long.as_bytes()), Err(Error::Malformed(_))));
}

#[test]
fn version_2_names_both_ends_and_skips_extensions() {
    let header = ok(&v2_header(1, 0x11, &BLOCK4));
    assert_eq!((header.proxied, header.length), (inet("192.0.2.1:12345", "198.51.100.2:443"), 28));

    let mut block = BLOCK4.to_vec();
    block.extend([0x02, 0, 3, b'a', b'b', b'c', 0x04, 0, 0]);
    let header = ok(&v2_header(1, 0x11, &block));
    assert_eq!((header.proxied, header.length), (inet("192.0.2.1:12345", "198.51.100.2:443"), 37));

    let mut block = [0u8; 36];
    block[15] = 1;
    block[31] = 2;
    block[33] = 80;
    block[35] = 81;
    assert_eq!(ok(&v2_header(1, 0x21, &block)).proxied, inet("[::1]:80", "[::2]:81"));
}

#[test]
fn version_2_without_addresses_keeps_the_connections_own() {
    for header in [
        v2_header(0, 0x00, &[]),
        v2_header(0, 0x11, &BLOCK4),
        v2_header(0, 0xff, &[1, 2, 3]),
        v2_header(1, 0x00, &[9; 20]),
        v2_header(1, 0x31, &[0; 216]),
    ] {
        let parsed = ok(&header);
        assert_eq!((parsed.proxied, parsed.length), (Proxied::Direct, header.len()));
    }
}

#[test]
fn version_2_is_strict() {
    let mut version = v2_header(1, 0x11, &BLOCK4);
    version[12] = 0x31;
    let mut tlv = BLOCK4.to_vec();
    tlv.extend([0x02, 0, 9, b'a']);
    for header in [
        version,
        v2_header(2, 0x11, &BLOCK4),
        v2_header(1, 0x11, &BLOCK4[..11]),
        v2_header(1, 0x21, &BLOCK4),
        v2_header(1, 0x31, &BLOCK4),
        v2_header(1, 0x12, &BLOCK4),
        v2_header(1, 0x11, &tlv),
        v2_header(1, 0x11, &[0; V2_MAX]),
    ] {
        assert!(matches!(parse(&header), Err(Error::Malformed(_))), "{header:?}");
    }
}

#[test]
fn a_connection_without_header_is_told_at_its_first_wrong_byte() {
    for input in
        [&b"G"[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"PROXX", b"\r\n\r\nGET", b"PRI * HTTP/2.0"]
    {
        assert!(matches!(parse(input), Err(Error::Missing)), "{input:?}");
    }
    assert!(parse(b"").unwrap().is_none());
}

#[tokio::test]
async fn reading_keeps_what_follows_the_header() {
    let mut wire = v2_header(1, 0x11, &BLOCK4);
    wire.extend(b"GET / HTTP/1.1\r\n");
    let mut slow = tokio_test_chunks(wire, 7);
    let read_so_far = read(&mut slow).await.unwrap();
    let mut rest = read_so_far.rest.to_vec();
    slow.read_to_end(&mut rest).await.unwrap();
    assert_eq!(read_so_far.proxied, inet("192.0.2.1:12345", "198.51.100.2:443"));
    assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    assert!(matches!(read(&mut &b"PROXY TCP4"[..]).await, Err(Error::Closed)));
}

#[tokio::test]
async fn extensions_are_those_of_a_client_that_is_spoken_for() {
    let block = [&BLOCK4[..], b"\xe0\x00\x03abc", b"\x04\x00\x00", b"\xe0\x00\x01d"].concat();
    let found = async |command: u8, family: u8, block: &[u8]| {
        let wire = v2_header(command, family, block);
        let read = read(&mut wire.as_slice()).await.unwrap();
        extensions(&read.header).map(|(kind, value)| (kind, value.to_vec())).collect::<Vec<_>>()
    };
    let all = [(0xe0, b"abc".to_vec()), (4, Vec::new()), (0xe0, b"d".to_vec())];
    assert_eq!(found(1, 0x11, &block).await, all);
    assert_eq!(found(1, 0x11, &BLOCK4).await, []);
    assert_eq!(found(0, 0x11, &block).await, []);
    assert_eq!(found(1, 0x00, &block).await, []);
    let read = read(&mut &b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n"[..]).await.unwrap();
    assert_eq!(extensions(&read.header).count(), 0);
}

/// A reader that gives at most `step` bytes at a time.
fn tokio_test_chunks(bytes: Vec<u8>, step: usize) -> impl AsyncRead + Unpin {
    let (mut near, far) = tokio::io::duplex(step);
    tokio::spawn(async move {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &bytes).await;
    });
    far
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_take_more_than_there_is(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Some(header)) = parse(&input) {
            prop_assert!(header.length <= input.len());
        }
    }

    #[test]
    fn arbitrary_version_2_bodies_never_panic(vc in any::<u8>(), family in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut header = v2_header(0, family, &body);
        header[12] = vc;
        if let Ok(Some(parsed)) = parse(&header) {
            prop_assert_eq!(parsed.length, header.len());
        }
    }

    #[test]
    fn every_address_comes_back(source in any::<std::net::Ipv4Addr>(), destination in any::<std::net::Ipv4Addr>(), sp in any::<u16>(), dp in any::<u16>()) {
        let expected = Proxied::Inet { source: (source, sp).into(), destination: (destination, dp).into() };
        let text = format!("PROXY TCP4 {source} {destination} {sp} {dp}\r\n");
        prop_assert_eq!(ok(text.as_bytes()), Header { proxied: expected, length: text.len() });
        let mut block = [source.octets(), destination.octets()].concat();
        block.extend(sp.to_be_bytes());
        block.extend(dp.to_be_bytes());
        prop_assert_eq!(ok(&v2_header(1, 0x11, &block)).proxied, expected);
    }

    #[test]
    fn a_prefix_of_a_valid_header_is_never_wrong(cut in 0usize..45) {
        let text = b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n";
        prop_assert!(parse(&text[..cut.min(text.len() - 1)]).unwrap().is_none());
        let binary = v2_header(1, 0x11, &BLOCK4);
        prop_assert!(parse(&binary[..cut.min(binary.len() - 1)]).unwrap().is_none());
    }
}
