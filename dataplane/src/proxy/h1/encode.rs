//! Writes heads and bodies as bytes into a queue.
//!
//! Nothing is copied from what came in: start line, fields and framing are written from their parsed forms. The fields
//! that belong to the connection (`connection`, `transfer-encoding`) are the codec's, whatever the map holds.

use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};
use portcullis_shared::table::HeaderCase;

use super::{Framing, date};
use crate::proxy::digits::decimal;

/// What the `connection` field of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Nothing: HTTP/1.1 goes on by default.
    Default,
    KeepAlive,
    Close,
    /// The field as it stands in the header: this is an upgrade, or merely informational.
    AsIs,
}

/// The head of a request. `fields` may hold anything; host and framing come from here. Names are written as they stand in
/// the head that `came`, if that is given, else in their `case`.
pub(super) fn request<'a>(
    out: &mut Vec<u8>,
    (method, target, host): (&Method, &str, &[u8]),
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    framing: Framing,
    (came, case): (Option<&[u8]>, HeaderCase),
) {
    put(out, [method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\nHost: ", host, b"\r\n"]);
    for (name, value) in fields {
        if ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            match came.and_then(|head| as_it_came(head, name)) {
                Some(name) => put(out, [name, b": ", value.as_bytes(), b"\r\n"]),
                None => cased(out, name, value, case),
            }
        }
    }
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(if case == HeaderCase::Proper {
                b"Content-Length: "
            } else {
                b"content-length: "
            });
            decimal(out, length, 1);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked if case == HeaderCase::Proper => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// How a name is written in a head.
fn as_it_came<'h>(head: &'h [u8], name: &HeaderName) -> Option<&'h [u8]> {
    let names =
        head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| line.split(|byte| *byte == b':').next());
    names.into_iter().find(|came| came.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// The head of a response. Names are written as they stand in the head that `came`, if that is given, else in their `case`.
pub(super) fn response(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &HeaderMap,
    (persistence, case): (Persistence, HeaderCase),
    came: Option<&[u8]>,
) {
    let text = status.canonical_reason().unwrap_or_default();
    put(out, [b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", text.as_bytes(), b"\r\n"]);
    let mut dated = status.is_informational();
    for (name, value) in headers {
        dated |= *name == DATE;
        if *name != CONNECTION || persistence == Persistence::AsIs {
            match came.and_then(|head| as_it_came(head, name)) {
                Some(name) => put(out, [name, b": ", value.as_bytes(), b"\r\n"]),
                None => cased(out, name, value, case),
            }
        }
    }
    let own =
        |lower: &'static [u8], upper: &'static [u8]| if case == HeaderCase::Proper { upper } else { lower };
    if !dated {
        // RFC 9110 6.6.1.
        date::now(|date| put(out, [own(b"date: ", b"Date: "), date, b"\r\n"]));
    }
    let connection = own(b"connection: ", b"Connection: ");
    match persistence {
        Persistence::Default | Persistence::AsIs => out.extend_from_slice(b"\r\n"),
        Persistence::KeepAlive => put(out, [connection, b"keep-alive\r\n\r\n"]),
        Persistence::Close => put(out, [connection, b"close\r\n\r\n"]),
    }
}

/// `content-type` as `Content-Type`: a letter is a capital at the beginning and after what is neither letter nor digit.
fn proper(name: &HeaderName) -> String {
    let mut start = true;
    let upper = |letter: char| {
        let capital = std::mem::replace(&mut start, !letter.is_ascii_alphanumeric());
        if capital { letter.to_ascii_uppercase() } else { letter }
    };
    name.as_str().chars().map(upper).collect()
}

fn cased(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue, case: HeaderCase) {
    match case {
        HeaderCase::Proper => put(out, [proper(name).as_bytes(), b": ", value.as_bytes(), b"\r\n"]),
        HeaderCase::Lower | HeaderCase::Preserve => field(out, name, value),
    }
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    put(out, [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
}

/// All `pieces`, with one check of the capacity.
fn put<const N: usize>(out: &mut Vec<u8>, pieces: [&[u8]; N]) {
    out.reserve(pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// The body of one message on its way out.
#[derive(Debug)]
pub(super) struct Encoder {
    left: Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing may follow any more.
    Nothing,
    Length(u64),
    Chunks,
    Anything,
}

impl Encoder {
    pub(super) fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::None => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunks,
            Framing::UntilClose => Left::Anything,
        };
        Encoder { left }
    }

    /// Writes a piece; says how many bytes of it belong to the body. More than was announced is left out: it would be
    /// the beginning of the next message.
    pub(super) fn piece(&mut self, out: &mut Vec<u8>, piece: &[u8]) -> usize {
        match &mut self.left {
            Left::Nothing => 0,
            Left::Length(left) => {
                let fits = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= fits as u64;
                out.extend_from_slice(piece.get(..fits).unwrap_or_default());
                fits
            }
            Left::Chunks => {
                // An empty chunk would be the last one.
                if !piece.is_empty() {
                    hexadecimal(out, piece.len());
                    put(out, [b"\r\n", piece, b"\r\n"]);
                }
                piece.len()
            }
            Left::Anything => {
                out.extend_from_slice(piece);
                piece.len()
            }
        }
    }

    /// No piece follows; false when one should have. `trailers` go after chunks, and nowhere else.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, trailers: Option<&HeaderMap>) -> bool {
        let left = std::mem::replace(&mut self.left, Left::Nothing);
        if left == Left::Chunks {
            out.extend_from_slice(b"0\r\n");
            for (name, value) in trailers.into_iter().flatten() {
                field(out, name, value);
            }
            out.extend_from_slice(b"\r\n");
        }
        !matches!(left, Left::Length(1..))
    }
}

fn hexadecimal(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        let digit = (number >> (4 * at)) & 0xf;
        out.push(b"0123456789abcdef".get(digit).copied().unwrap_or(b'0'));
    }
}
