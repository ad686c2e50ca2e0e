//! Reads the head of a request or of a response: start line and fields.
//!
//! Values are slices of the buffer that they were read into. Of a request everything is taken literally or not at all
//! (RFC 9112 allows to refuse whatever it calls lenient). A response's lines may end by LF alone, be folded, and have
//! spaces before the colon, as HTTP servers of all ages do it; it is written anew before a client sees it.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::Uri;
use http::{Method, StatusCode, Version, request, response};
use memchr::{memchr, memchr_iter};

use super::{Invalid, spare};

/// A request's head. What could be read before an error is there, for the log.
#[derive(Debug)]
pub(in crate::proxy) struct Request {
    pub(in crate::proxy) parts: request::Parts,
    /// The target as it came; empty when not even that could be read.
    pub(in crate::proxy) target: Bytes,
    /// All of it as it came, where the names of fields shall stay as they are.
    pub(in crate::proxy) came: Option<Bytes>,
}

impl Default for Request {
    fn default() -> Self {
        Request { parts: http::Request::new(()).into_parts().0, target: Bytes::new(), came: None }
    }
}

/// How many bytes of empty lines stand before a request; RFC 9112 2.2 wants them skipped.
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count() * 2
}

/// Length of the head at the front of `bytes`, the empty line included. `seen` remembers how far was looked.
pub(super) fn end(bytes: &[u8], seen: &mut usize) -> Option<usize> {
    let from = *seen;
    for at in memchr_iter(b'\n', bytes.get(from..)?) {
        let at = from + at;
        if let Some([.., b'\n'] | [.., b'\n', b'\r']) = bytes.get(..at) {
            return Some(at + 1);
        }
    }
    *seen = bytes.len();
    None
}

/// Reads a whole request head of at most `most` fields into `into`.
pub(super) fn request(head: &Bytes, most: usize, into: &mut Request) -> Result<(), Invalid> {
    let mut lines = Lines { rest: head, strict: true };
    request_line(head, lines.next()?, into)?;
    let headers = &mut into.parts.headers;
    *headers = spare::map();
    strict_fields(head, &mut lines, most, headers)
}

/// Reads lines of at most `most` fields up to the empty one, as strictly as a request's.
pub(super) fn fields(section: &Bytes, most: usize, into: &mut HeaderMap) -> Result<(), Invalid> {
    strict_fields(section, &mut Lines { rest: section, strict: true }, most, into)
}

fn strict_fields(
    head: &Bytes,
    lines: &mut Lines<'_>,
    most: usize,
    headers: &mut HeaderMap,
) -> Result<(), Invalid> {
    let mut count = 0;
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            return Ok(());
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            return Err(Invalid::Malformed("a folded line"));
        }
        let (name, value) = split(line)?;
        if matches!(name, [.., b' ' | b'\t']) {
            return Err(Invalid::Malformed("a space before a colon"));
        }
        count += 1;
        append(headers, count, most, name, head.slice_ref(trim(value)))?;
    }
}

/// Reads a whole response head of at most `most` fields.
pub(super) fn response(head: &Bytes, most: usize) -> Result<response::Parts, Invalid> {
    let mut lines = Lines { rest: head, strict: false };
    let (version, status) = status_line(lines.next()?)?;
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.version, parts.status) = (version, status);
    parts.headers = spare::map();
    let mut count = 0;
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            return Ok(parts);
        }
        if matches!(line, [b' ' | b'\t', ..]) {
            // RFC 9112 2.2: nothing is there that it could continue.
            return Err(Invalid::Malformed("a folded line"));
        }
        let (name, value) = split(line)?;
        let mut value = head.slice_ref(trim(value));
        if lines.is_folded() {
            // RFC 9112 5.2: a gateway may put spaces in place of the folds.
            let mut joined = value.to_vec();
            while lines.is_folded() {
                joined.push(b' ');
                joined.extend_from_slice(trim(lines.next()?));
            }
            value = joined.into();
        }
        count += 1;
        append(&mut parts.headers, count, most, trim(name), value)?;
    }
}

struct Lines<'a> {
    rest: &'a [u8],
    strict: bool,
}

impl<'a> Lines<'a> {
    /// The next line without its end. A head ends with an empty one, so there is always a next one.
    fn next(&mut self) -> Result<&'a [u8], Invalid> {
        let cut = memchr(b'\n', self.rest).and_then(|at| self.rest.split_at_checked(at + 1));
        let (line, rest) = cut.ok_or(Invalid::Malformed("the header has no end"))?;
        self.rest = rest;
        match line {
            [line @ .., b'\r', b'\n'] => Ok(line),
            [line @ .., b'\n'] if !self.strict => Ok(line),
            _ => Err(Invalid::Malformed("a line ends without CR")),
        }
    }

    fn is_folded(&self) -> bool {
        matches!(self.rest, [b' ' | b'\t', ..])
    }
}

fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Invalid> {
    match memchr(b':', line).and_then(|at| line.split_at_checked(at)) {
        Some((name, [_, value @ ..])) => Ok((name, value)),
        _ => Err(Invalid::Malformed("a field without a colon")),
    }
}

/// Without the optional white space around it, which is space and tab only (RFC 9110 5.6.3).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn append(
    headers: &mut HeaderMap,
    count: usize,
    most: usize,
    name: &[u8],
    value: Bytes,
) -> Result<(), Invalid> {
    if count > most {
        return Err(Invalid::TooLarge("header fields"));
    }
    let name = field_name(name).ok_or(Invalid::Malformed("a field name is not a token"))?;
    let value = HeaderValue::from_maybe_shared(value)
        .map_err(|_| Invalid::Malformed("a control byte in a field value"))?;
    headers.try_append(name, value).map(|_| ()).map_err(|_| Invalid::TooLarge("header fields"))
}

fn field_name(name: &[u8]) -> Option<HeaderName> {
    // The one byte that the type takes although it is none of a token (RFC 9110 5.6.2).
    if memchr(b'"', name).is_some() {
        return None;
    }
    HeaderName::from_bytes(name).ok()
}

fn request_line(head: &Bytes, line: &[u8], into: &mut Request) -> Result<(), Invalid> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    into.parts.method = Method::from_bytes(method.unwrap_or_default())
        .map_err(|_| Invalid::Malformed("the method is not a token"))?;
    let target = target.unwrap_or_default();
    into.target = head.slice_ref(target);
    into.parts.version = http_version(version.unwrap_or_default())?;
    if !target.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(Invalid::Malformed("a control or non-ASCII byte in the target"));
    }
    into.parts.uri = uri(&into.parts.method, &into.target)?;
    Ok(())
}

fn http_version(text: &[u8]) -> Result<Version, Invalid> {
    match text {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Invalid::Version),
        _ => Err(Invalid::Malformed("the request line is malformed")),
    }
}

/// The target in one of its four forms (RFC 9112 3.2).
fn uri(method: &Method, target: &Bytes) -> Result<Uri, Invalid> {
    // The type would drop a fragment, and the request would be another one than was asked for.
    if memchr(b'#', target).is_some() {
        return Err(Invalid::Malformed("the target holds a fragment"));
    }
    let uri =
        Uri::from_maybe_shared(target.clone()).map_err(|_| Invalid::Malformed("the target is malformed"))?;
    let fits = match &target[..] {
        b"*" => *method == Method::OPTIONS,
        [b'/', ..] => *method != Method::CONNECT,
        _ if *method == Method::CONNECT => uri.scheme().is_none() && uri.port().is_some(),
        _ => uri.authority().is_some() && uri.scheme_str().is_some_and(is_http),
    };
    if fits { Ok(uri) } else { Err(Invalid::Malformed("the target is neither a path nor a URL")) }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn status_line(line: &[u8]) -> Result<(Version, StatusCode), Invalid> {
    let malformed = Invalid::Malformed("the status line is malformed");
    let (version, rest) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', rest @ ..] => {
            (if *minor == b'1' { Version::HTTP_11 } else { Version::HTTP_10 }, rest)
        }
        _ => return Err(malformed),
    };
    match rest {
        [a, b, c] | [a, b, c, b' ', ..] => {
            let status = StatusCode::from_bytes(&[*a, *b, *c]).map_err(|_| malformed)?;
            if status.as_u16() > 599 {
                return Err(Invalid::Malformed("the status is of no known class"));
            }
            Ok((version, status))
        }
        _ => Err(malformed),
    }
}
