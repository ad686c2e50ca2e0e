//! The upstream types.

use super::{Type, pipe, static_hosts};

/// Every type. An upstream is of the first one that says so.
pub const TYPES: &[&dyn Type] = &[&pipe::Pipe, &static_hosts::StaticHosts];
