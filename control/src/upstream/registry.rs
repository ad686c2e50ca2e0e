//! The upstream types.

use super::{Type, static_hosts};

/// Every type. An upstream is of the first one that says so.
pub const TYPES: &[&dyn Type] = &[&static_hosts::StaticHosts];
