//! The executable routing model: filter chain by server name and address, virtual host by domain, route by matcher, destination by weight.
//!
//! The data plane routes with it, and `check` and `explain` call the same code, so they cannot drift. It knows nothing
//! of actions, policies or I/O. The indexes answer exactly what a scan in order would.

#[cfg(test)]
mod arbitrary;
mod bucket;
mod chains;
mod cover;
mod domain;
mod header;
mod matcher;
mod normal;
mod path;
pub mod pattern;
mod query;
mod radix;
mod request;
mod routes;
pub mod split;

pub use chains::{ChainIndex, ChainMatch, Taken};
pub use cover::unreachable;
pub use domain::{Domain, DomainIndex};
pub use header::{FieldName, HeaderMatcher};
pub use matcher::{Matcher, Mismatch};
pub use normal::{BadPath, PathRules, normalize, read as read_path};
pub use path::PathMatcher;
pub use query::{QueryMatcher, ValueMatcher};
pub use request::RequestView;
pub use routes::RouteIndex;
