//! The user API: what people write in YAML or JSON, decoded and checked field by field.
//!
//! Owns the types of the user API, the leniency of its decoder, and the catalogue of fields that exist but are not
//! served yet. Text in, `(value, findings)` out. Must not resolve references, apply defaults, look at other resources
//! or do I/O: that is `translate`'s and `source`'s work.

mod api;
mod decode;
mod envelope;
mod finding;
mod id;
mod kinds;
mod object;
mod parse;
mod positions;
mod secret;
#[cfg(test)]
mod tests;

pub use api::*;
pub(crate) use decode::decode_base64;
pub use finding::{Finding, Level, Location};
pub use id::{Kind, ObjectRef};
pub use object::{Entry, Object, Parsed, Spec};
pub use parse::{DocumentError, decode_document, parse, parse_again};
