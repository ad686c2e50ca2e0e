//! The pure halves of the codec: heads, framing, chunks, in whatever cut they come.

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use portcullis_shared::table::HeaderCase;
use proptest::prelude::*;

use super::decode::Decoder;
use super::encode::{self, Encoder, Persistence};
use super::head::{self, Request};
use super::{Framing, Invalid, framing};
use crate::proxy::limits;

fn request(text: &[u8]) -> (Request, Result<Framing, Invalid>) {
    let mut request = Request::default();
    let read = head::request(&Bytes::copy_from_slice(text), limits::HEADER_FIELDS, &mut request)
        .and_then(|()| framing::of_request(&request.parts.headers, request.parts.version));
    (request, read)
}

/// How a request with these lines is refused.
fn refusal(lines: &str) -> Invalid {
    match request(format!("{lines}\r\n\r\n").as_bytes()).1 {
        Err(invalid) => invalid,
        Ok(framing) => panic!("{lines:?} was taken, with {framing:?}"),
    }
}

#[test]
fn a_request_is_read() {
    let (request, framing) = request(
        b"POST /a?b HTTP/1.1\r\nHost: a.test\r\nX-A: \t one \t\r\nx-a:two\r\nContent-Length: 12\r\n\r\n",
    );
    assert_eq!(framing, Ok(Framing::Length(12)));
    let parts = request.parts;
    assert_eq!((parts.method, parts.version), (Method::POST, Version::HTTP_11));
    assert_eq!(parts.uri, "/a?b");
    assert_eq!(&request.target[..], b"/a?b");
    assert_eq!(parts.headers["host"], "a.test");
    let both: Vec<_> = parts.headers.get_all("x-a").iter().collect();
    assert_eq!(both, ["one", "two"]);
}

#[test]
fn targets_have_the_form_that_fits_their_method() {
    for (line, uri) in [
        ("GET / ", "/"),
        ("GET //x//y?z=/ ", "//x//y?z=/"),
        ("OPTIONS * ", "*"),
        ("GET http://a.test:80/x ", "http://a.test:80/x"),
        ("GET HTTPS://a.test ", "HTTPS://a.test"),
        ("CONNECT a.test:443 ", "a.test:443"),
    ] {
        let (request, read) = request(format!("{line}HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(read, Ok(Framing::None), "{line}");
        assert_eq!(request.parts.uri, uri);
    }
    for line in [
        "GET *",
        "GET x",
        "GET ?x",
        "GET a:80",
        "GET @x",
        "GET ftp://a/",
        "GET http:///x",
        "GET http://",
        "GET \\x",
        "CONNECT /",
        "CONNECT a",
        "CONNECT http://a:80/",
        "GET /a#b",
        "GET http://a/#b",
        "GET /\u{e4}",
        "GET /\u{7f}",
        "GET /\0",
        "GET /\t",
        "GET",
        "GET ",
        " GET /",
        "GET  /",
        "GET /  ",
        "G@T /",
        "G\0T /",
        "",
    ] {
        assert!(matches!(refusal(&format!("{line} HTTP/1.1")), Invalid::Malformed(_)), "{line:?}");
    }
}

#[test]
fn other_versions_are_told_from_nonsense() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"] {
        assert_eq!(refusal(&format!("GET / {version}")), Invalid::Version);
    }
    for version in
        ["HTTP/1", "HTTP/1.10", "http/1.1", "HTTP/1.1 ", "HTTP/1.1 x", "HTTPS/1.1", "FTP/1.1", "1.1"]
    {
        assert!(matches!(refusal(&format!("GET / {version}")), Invalid::Malformed(_)), "{version:?}");
    }
}

#[test]
fn lines_and_fields_are_taken_literally_or_not_at_all() {
    for field in [
        "X : 1",
        "X\t: 1",
        " X: 1",
        "\tX: 1",
        "X: 1\r\n folded",
        "X: 1\r\n\tfolded",
        "X",
        "X y: 1",
        ": 1",
        "\"X\": 1",
        "X\u{e4}: 1",
        "X\0: 1",
        "(X): 1",
        "X: \0",
        "X: a\u{7f}",
        "X: a\u{1}b",
        "X: a\rb",
        "X: \u{c}a",
        "X: a\u{b}",
        "X: 1\nY: 2",
        "X: 1\n",
        "\rX: 1",
        "X: 1\r\r",
    ] {
        assert!(matches!(refusal(&format!("GET / HTTP/1.1\r\n{field}")), Invalid::Malformed(_)), "{field:?}");
    }
    assert!(matches!(refusal("GET / HTTP/1.1\nHost: a"), Invalid::Malformed(_)));
    // Bytes above ASCII and inner spaces belong to a value.
    assert!(request(b"GET / HTTP/1.1\r\nX: a \t b\xff\r\nY:\r\nZ: \t\r\n\r\n").1.is_ok());
}

#[test]
fn the_length_has_one_answer() {
    let read = |fields: &str| request(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes()).1;
    assert_eq!(read("transfer-encoding: Chunked"), Ok(Framing::Chunked));
    assert_eq!(read("content-length: 007"), Ok(Framing::Length(7)));
    assert_eq!(read("content-length: 999999999999999999"), Ok(Framing::Length(999_999_999_999_999_999)));
    for length in [
        "+5",
        "-5",
        "5, 5",
        "5 5",
        "0x5",
        "",
        "5\r\ncontent-length: 5",
        "9223372036854775808",
        "5;",
        "\u{661}",
    ] {
        assert!(
            matches!(read(&format!("content-length: {length}")), Err(Invalid::Malformed(_))),
            "{length:?}"
        );
    }
    for coding in [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "identity",
        "xchunked",
        "chunked;q=1",
        "",
        "chunked\r\ntransfer-encoding: chunked",
        "chunked\r\ntransfer-encoding: x",
    ] {
        assert_eq!(read(&format!("transfer-encoding: {coding}")), Err(Invalid::Coding), "{coding:?}");
    }
    for both in
        ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: gzip\r\ncontent-length: 3"]
    {
        assert!(matches!(read(both), Err(Invalid::Malformed(_))), "{both:?}");
    }
    let old = request(b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n").1;
    assert!(matches!(old, Err(Invalid::Malformed(_))));
}

#[test]
fn fields_are_limited_in_number() {
    let fields = |count: usize| (0..count).map(|i| format!("x{i}: 1\r\n")).collect::<String>();
    let read = |count| request(format!("GET / HTTP/1.1\r\n{}\r\n", fields(count)).as_bytes());
    assert!(read(limits::HEADER_FIELDS).1.is_ok());
    let (seen, refused) = read(limits::HEADER_FIELDS + 1);
    assert_eq!(refused, Err(Invalid::TooLarge("header fields")));
    assert_eq!(seen.parts.method, Method::GET, "what was read is there");
}

#[test]
fn an_old_server_s_answer_is_understood() {
    let head = b"HTTP/1.0 404\nX : 1\nFolded: a\r\n b\n\tc \r\nempty:\r\n\r\n";
    let parts = head::response(&Bytes::from_static(head), 100).unwrap();
    assert_eq!((parts.version, parts.status), (Version::HTTP_10, StatusCode::NOT_FOUND));
    assert_eq!(parts.headers["x"], "1");
    assert_eq!(parts.headers["folded"], "a b c");
    assert_eq!(parts.headers["empty"], "");
    for line in [
        "HTTP/1.2 200 OK",
        "HTTP/2 200",
        "HTTP/1.1  200",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 600 x",
        "HTTP/1.1 099 x",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1",
        "SSH-2.0-x",
        "",
        "HTTP/1.1 200 OK\r\nX",
        "HTTP/1.1 200 OK\r\nX: \0",
        "HTTP/1.1 200 OK\r\n folded: 1",
    ] {
        let head = Bytes::from(format!("{line}\r\n\r\n"));
        assert!(head::response(&head, 100).is_err(), "{line:?}");
    }
}

#[test]
fn an_answer_s_length_depends_on_what_was_asked() {
    let read = |text: &str, is_head| {
        let parts = head::response(&Bytes::from(format!("HTTP/1.1 {text}\r\n\r\n")), 100).unwrap();
        framing::of_response(parts.status, &parts.headers, parts.version, is_head)
    };
    assert_eq!(read("200 OK\r\ncontent-length: 3", false), Ok(Framing::Length(3)));
    assert_eq!(read("200 OK\r\ncontent-length: 3", true), Ok(Framing::None));
    assert_eq!(read("304 No\r\ncontent-length: 3", false), Ok(Framing::None));
    assert_eq!(read("204 No\r\ntransfer-encoding: chunked", false), Ok(Framing::None));
    assert_eq!(read("200 OK", false), Ok(Framing::UntilClose));
    assert_eq!(read("200 OK\r\ntransfer-encoding: chunked", false), Ok(Framing::Chunked));
    assert!(read("200 OK\r\ncontent-length: 1\r\ncontent-length: 1", true).is_err());
    assert!(read("200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked", true).is_err());
}

#[test]
fn the_end_of_a_head_is_found_once_it_is_there() {
    let text = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
    let mut seen = 0;
    for cut in 0..24 {
        assert_eq!(head::end(&text[..cut], &mut seen), None, "{cut}");
    }
    assert_eq!(head::end(text, &mut seen), Some(24));
    assert_eq!(head::empty_lines(b"\r\n\r\nGET"), 4);
    assert_eq!(head::empty_lines(b"\r\n\rGET"), 2);
    assert_eq!(head::empty_lines(b"\nGET"), 0);
}

/// Content, and how many bytes of `body` were its; or what is wrong. Bytes come in pieces of these lengths, then singly.
fn decode(framing: Framing, body: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, usize, bool), Invalid> {
    let mut decoder = Decoder::new(framing);
    let (mut content, mut buf, mut at) = (Vec::new(), Vec::new(), 0);
    let mut cuts = cuts.iter().copied();
    loop {
        let skip = decoder.framing(&buf)?;
        buf.drain(..skip);
        let take = decoder.content(buf.len());
        content.extend(buf.drain(..take));
        if take > 0 {
            continue;
        }
        if decoder.is_done() || at == body.len() {
            return Ok((content, at - buf.len(), decoder.is_done()));
        }
        let next = (at + cuts.next().unwrap_or(1).max(1)).min(body.len());
        buf.extend_from_slice(&body[at..next]);
        at = next;
    }
}

#[test]
fn chunks_are_undone() {
    let body = b"5\r\nhello\r\n00A;a=b;c=\"d\" ; e\t\r\n, worldly!\r\n0\r\nx-a: 1\r\nx-b:\t\r\n\r\nrest";
    let end = body.len() - 4;
    assert_eq!(decode(Framing::Chunked, body, &[]), Ok((b"hello, worldly!".to_vec(), end, true)));
    assert_eq!(decode(Framing::Chunked, body, &[body.len()]), Ok((b"hello, worldly!".to_vec(), end, true)));
    assert_eq!(decode(Framing::Chunked, b"0\r\n\r\n", &[]), Ok((vec![], 5, true)));
    assert_eq!(decode(Framing::Length(3), b"abcd", &[4]), Ok((b"abc".to_vec(), 3, true)));
}

#[test]
fn malformed_chunks_are_refused() {
    for body in [
        "\r\n",
        "\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\n",
        "1\n",
        "1\r",
        "1\rx",
        ";a\r\n",
        "1;\u{0}\r\n",
        "1;a\n",
        "1;a\u{7f}\r\n",
        "1;a\rb\r\n",
        "1 a\r\n",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\r0",
        "1\r\na0\r\n",
        "0\r\n\n",
        "0\r\n\rx",
        "0\r\nx\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\nx : a\r\n\r\n",
        "0\r\n x: a\r\n\r\n",
        "0\r\nx: a\n\r\n",
        "0\r\nx: \u{0}\r\n\r\n",
        "0\r\nx: a\rb\r\n\r\n",
        "0\r\nx: a\r\n folded\r\n\r\n",
        "1000000000000000\r\n",
        "0000000000000000\r\n",
        "fffffffffffffffff\r\n",
    ] {
        match decode(Framing::Chunked, body.as_bytes(), &[]) {
            Err(Invalid::Malformed(_)) => {}
            Ok((_, _, false)) if body == "1\r" => {}
            other => panic!("{body:?} gave {other:?}"),
        }
    }
    for (body, detail) in [
        (format!("1;{}", "a".repeat(limits::CHUNK_EXTENSION_BYTES + 1)), "chunk extensions"),
        ("1;aa\r\nx\r\n".repeat(limits::CHUNK_EXTENSION_BYTES / 2 + 1), "chunk extensions"),
        (format!("0\r\nx: {}", "a".repeat(limits::TRAILER_BYTES)), "trailer bytes"),
        (format!("0\r\n{}", "x: a\r\n".repeat(limits::HEADER_FIELDS + 1)), "trailer fields"),
    ] {
        assert_eq!(decode(Framing::Chunked, body.as_bytes(), &[body.len()]), Err(Invalid::TooLarge(detail)));
    }
}

#[test]
fn an_answer_is_written() {
    let mut out = Vec::new();
    let headers = http::HeaderMap::from_iter([
        (http::header::DATE, http::HeaderValue::from_static("then")),
        (http::header::CONNECTION, http::HeaderValue::from_static("x")),
        (http::header::CONTENT_LENGTH, http::HeaderValue::from_static("2")),
    ]);
    encode::response(&mut out, StatusCode::OK, &headers, (Persistence::Default, HeaderCase::Lower), None);
    assert_eq!(out, b"HTTP/1.1 200 OK\r\ndate: then\r\ncontent-length: 2\r\n\r\n");
    out.clear();
    encode::response(
        &mut out,
        StatusCode::from_u16(299).unwrap(),
        &http::HeaderMap::new(),
        (Persistence::Close, HeaderCase::Lower),
        None,
    );
    let text = String::from_utf8(out).unwrap();
    let (date, rest) = text.strip_prefix("HTTP/1.1 299 \r\ndate: ").unwrap().split_once("\r\n").unwrap();
    assert!(httpdate::parse_http_date(date).is_ok());
    assert_eq!(rest, "connection: close\r\n\r\n");
}

#[test]
fn a_body_is_never_longer_than_it_was_announced() {
    let (mut out, mut body) = (Vec::new(), Encoder::new(Framing::Length(5)));
    assert_eq!(body.piece(&mut out, b"abc"), 3);
    assert_eq!(body.piece(&mut out, b"defg"), 2);
    assert!(body.finish(&mut out, None));
    assert_eq!(out, b"abcde");
    assert!(!Encoder::new(Framing::Length(1)).finish(&mut out, None), "too short is told");
    assert_eq!(Encoder::new(Framing::None).piece(&mut out, b"x"), 0);
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..40usize, 0..40)
}

proptest! {
    /// What the encoder writes, the decoder reads, however it is cut.
    #[test]
    fn chunks_round_trip(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8), cuts in cuts()) {
        let (mut out, mut body) = (Vec::new(), Encoder::new(Framing::Chunked));
        for piece in &pieces {
            body.piece(&mut out, piece);
        }
        body.finish(&mut out, None);
        let length = out.len();
        out.extend_from_slice(b"next");
        prop_assert_eq!(decode(Framing::Chunked, &out, &cuts), Ok((pieces.concat(), length, true)));
    }

    /// Bytes that look like chunks mean the same in one piece and in many.
    #[test]
    fn the_cut_does_not_matter(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "0", "1", "a", "F", "\r\n", "\r", "\n", ";", "x", ": ", "\"", " ", "\0", "\u{e4}", "1\r\na\r\n", "0\r\n\r\n",
        ]), 0..30),
        cuts in cuts(),
    ) {
        let body = tokens.concat();
        prop_assert_eq!(
            decode(Framing::Chunked, body.as_bytes(), &cuts),
            decode(Framing::Chunked, body.as_bytes(), &[body.len()])
        );
    }

    /// A request that is taken here is one for another parser too, and the same one.
    #[test]
    fn what_is_taken_reads_the_same_elsewhere(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "GET", " ", "/", "HTTP/1.1", "\r\n", "Host", ":", "a", "\t", "\n", "\r", "\"", "\0", "x: y\r\n",
            "GET /p?q HTTP/1.1\r\n", "content-length: 3\r\n",
        ]), 0..24),
        first in any::<bool>(),
    ) {
        let start = if first { "GET / HTTP/1.1\r\n" } else { "" };
        let text = format!("{start}{}\r\n\r\n", tokens.concat());
        let mut seen = 0;
        if let Some(end) = head::end(text.as_bytes(), &mut seen)
            && let (ours, Ok(_)) = request(&text.as_bytes()[..end])
        {
            let mut fields = [httparse::EMPTY_HEADER; 200];
            let mut theirs = httparse::Request::new(&mut fields);
            prop_assert_eq!(theirs.parse(text.as_bytes()), Ok(httparse::Status::Complete(end)));
            prop_assert_eq!(theirs.method, Some(ours.parts.method.as_str()));
            prop_assert_eq!(theirs.path.map(str::as_bytes), Some(&ours.target[..]));
            prop_assert_eq!(theirs.headers.len(), ours.parts.headers.len());
            for field in theirs.headers.iter() {
                let values = ours.parts.headers.get_all(field.name);
                prop_assert!(values.iter().any(|value| value.as_bytes() == field.value));
            }
        }
    }
}
