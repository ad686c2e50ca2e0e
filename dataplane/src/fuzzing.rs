//! Targets for fuzzing: what a worker makes of bytes that a client may send. As `shared::fuzzing`.

use portcullis_shared::fuzzing::Target;

use crate::listener::proxy_protocol;
use crate::tcp::hello::{self, Hello};

pub use crate::proxy::fuzzing::{chunks, frames, request, response};

/// All targets of this package.
pub const TARGETS: &[Target] = &[
    ("chunks", chunks),
    ("frames", frames),
    ("hello", client_hello),
    ("proxy_protocol", proxy_header),
    ("request", request),
    ("response", response),
];

/// A PROXY header: it never covers more than there is, and no part of it is another header.
///
/// # Panics
/// It does, or is.
pub fn proxy_header(bytes: &[u8]) {
    let Ok(Some(header)) = proxy_protocol::parse(bytes) else { return };
    assert!(header.length <= bytes.len(), "a header is longer than what was read");
    for cut in 0..header.length {
        let part = proxy_protocol::parse(bytes.get(..cut).unwrap_or_default());
        assert!(matches!(part, Ok(None)), "the first {cut} bytes are understood already");
    }
}

/// The first message of a TLS client: what is known early stays true.
///
/// # Panics
/// It does not.
pub fn client_hello(bytes: &[u8]) {
    let whole = hello::parse(bytes);
    for cut in 0..bytes.len().min(512) {
        let part = hello::parse(bytes.get(..cut).unwrap_or_default());
        assert!(part == Hello::Incomplete || part == whole, "{part:?} after {cut} bytes, then {whole:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_seeds_and_what_is_made_of_them_break_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        for target in TARGETS {
            portcullis_shared::fuzzing::exercise(&corpus, *target, 3_000);
        }
    }
}
