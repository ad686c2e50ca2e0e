//! How long a message's body is, and whether the connection lives on after it (RFC 9112 sections 6.3 and 9.3).
//!
//! There must be one answer: a message whose length could be read in two ways is refused.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{StatusCode, Version};

use super::Invalid;
use crate::proxy::limits;
use crate::proxy::list::words;

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// Nothing.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything up to the end of the connection.
    UntilClose,
}

/// The one `content-length`, if there is one.
pub(in crate::proxy) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Invalid> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(Invalid::Malformed("more than one content-length"));
    }
    let digits = length.as_bytes();
    if digits.is_empty()
        || digits.len() > limits::CONTENT_LENGTH_DIGITS
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return Err(Invalid::Malformed("content-length is not a number"));
    }
    Ok(Some(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
}

/// Whether the body comes in chunks, which excludes every other length.
fn is_chunked(headers: &HeaderMap, version: Version) -> Result<bool, Invalid> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(false) };
    if version != Version::HTTP_11 {
        return Err(Invalid::Malformed("transfer-encoding in HTTP/1.0"));
    }
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(Invalid::Malformed("content-length beside transfer-encoding"));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Invalid::Coding);
    }
    Ok(true)
}

/// What follows a request's head.
pub(super) fn of_request(headers: &HeaderMap, version: Version) -> Result<Framing, Invalid> {
    if is_chunked(headers, version)? {
        return Ok(Framing::Chunked);
    }
    Ok(content_length(headers)?.map_or(Framing::None, Framing::Length))
}

/// What follows the head of the response to a request, `is_head` if that was a HEAD. A tunnel is no body.
pub(super) fn of_response(
    status: StatusCode,
    headers: &HeaderMap,
    version: Version,
    is_head: bool,
) -> Result<Framing, Invalid> {
    let chunked = is_chunked(headers, version)?;
    let length = content_length(headers)?;
    Ok(match length {
        _ if is_bodyless(status, is_head) => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// No body can follow, whatever the fields say.
pub(in crate::proxy) fn is_bodyless(status: StatusCode, is_head: bool) -> bool {
    is_head
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Whether the sender of a head means to keep its connection.
pub(super) fn is_persistent(headers: &HeaderMap, version: Version) -> bool {
    let mut keeps = version == Version::HTTP_11;
    for word in words(headers, &CONNECTION) {
        if word.eq_ignore_ascii_case(b"close") {
            return false;
        }
        keeps |= word.eq_ignore_ascii_case(b"keep-alive");
    }
    keeps
}
