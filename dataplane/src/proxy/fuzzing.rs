//! Targets for fuzzing the codecs; see `crate::fuzzing`.

pub use super::guard::fuzzing::frames;
pub use super::h1::fuzzing::{chunks, request, response};
