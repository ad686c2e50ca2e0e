//! Targets for fuzzing HTTP/1: heads and chunks, as a client or an upstream may send them.

use bytes::Bytes;

use super::decode::Decoder;
use super::head::{self, Request};
use super::{Framing, framing};
use crate::proxy::limits;

/// A request head: the same whatever was in the request before it.
///
/// # Panics
/// It is not.
pub fn request(bytes: &[u8]) {
    let mut seen = 0;
    let Some(end) = head::end(bytes, &mut seen) else { return };
    assert!(end <= bytes.len(), "a head is longer than what was read");
    let head = Bytes::copy_from_slice(bytes.get(..end).unwrap_or_default());
    let mut read = Request::default();
    if head::request(&head, limits::HEADER_FIELDS, &mut read).is_err() {
        return;
    }
    let Request { parts, target, .. } = &read;
    assert!(parts.headers.len() <= limits::HEADER_FIELDS);
    assert!(!target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f), "a target with white space");
    for value in parts.headers.values() {
        assert!(
            !value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "a value ends a line"
        );
    }
    if let Ok(Framing::Length(length)) = framing::of_request(&parts.headers, parts.version) {
        assert!(length < 1 << 63);
    }
}

/// The head of an answer.
///
/// # Panics
/// A value in it would end a line.
pub fn response(bytes: &[u8]) {
    let Ok(parts) = head::response(&Bytes::copy_from_slice(bytes)) else { return };
    for value in parts.headers.values() {
        assert!(
            !value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "a value ends a line"
        );
    }
    let _ = framing::of_response(parts.status, &parts.headers, parts.version, false);
}

/// A chunked body: one content, in whatever cuts it comes.
///
/// # Panics
/// There are two.
pub fn chunks(bytes: &[u8]) {
    let whole = content(bytes, usize::MAX);
    for cut in [1, 2, 3, 7] {
        assert_eq!(content(bytes, cut), whole, "another content in pieces of {cut}");
    }
}

/// The content of a chunked body that comes in pieces, and whether it is at its end; `None` when it is malformed.
fn content(bytes: &[u8], cut: usize) -> Option<(Vec<u8>, bool)> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut all = Vec::new();
    for mut piece in bytes.chunks(cut) {
        while !piece.is_empty() && !decoder.is_done() {
            let skip = decoder.framing(piece).ok()?;
            piece = piece.get(skip..)?;
            let taken = decoder.content(piece.len());
            all.extend_from_slice(piece.get(..taken)?);
            piece = piece.get(taken..)?;
        }
    }
    Some((all, decoder.is_done()))
}
