//! Small conversions of wire fields that several kinds share.

use std::{sync::Arc, time::Duration};

use crate::Invalid;

/// A text field that must not be empty.
pub(super) fn required(field: &str, text: String) -> Result<Arc<str>, Invalid> {
    match text.is_empty() {
        true => Err(Invalid::new(field, "must not be empty")),
        false => Ok(text.into()),
    }
}

/// A text field whose empty form means absent.
pub(super) fn optional(text: String) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// A list of texts none of which may be empty.
pub(super) fn texts(field: &str, list: Vec<String>) -> Result<Vec<Arc<str>>, Invalid> {
    let text = |(i, text)| required(&format!("{field}[{i}]"), text);
    list.into_iter().enumerate().map(text).collect()
}

/// A list of messages, each converted; errors carry the index.
pub(super) fn each<W, T: TryFrom<W, Error = Invalid>>(field: &str, list: Vec<W>) -> Result<Vec<T>, Invalid> {
    let one = |(i, wire)| T::try_from(wire).map_err(|e| e.under(format!("{field}[{i}]")));
    list.into_iter().enumerate().map(one).collect()
}

/// A TCP port; 0 is not one.
pub(super) fn port(field: &str, port: u32) -> Result<u16, Invalid> {
    u16::try_from(port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Invalid::new(field, format!("{port} is not a port (1 to 65535)")))
}

/// Milliseconds of which 0 means absent.
pub(super) fn millis(ms: u64) -> Option<Duration> {
    (ms != 0).then(|| Duration::from_millis(ms))
}

/// A number of bytes of which 0 means absent.
pub(super) fn bytes(number: u32) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| *number != 0)
}

/// A protocol list: each name fits the one length byte of ALPN (RFC 7301, section 3.1).
pub(super) fn alpn(field: &str, list: Vec<String>) -> Result<Vec<Arc<str>>, Invalid> {
    let list = texts(field, list)?;
    match list.iter().position(|name| name.len() > 255) {
        Some(i) => Err(Invalid::new(format!("{field}[{i}]"), "longer than 255 bytes")),
        None => Ok(list),
    }
}
