//! VirtualHostOption and RouteOption: options that several resources share.

use serde::Deserialize;

use super::options::{RouteOptions, VirtualHostOptions};

/// The `spec` of a VirtualHostOption.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualHostOption {
    /// The options.
    pub options: Option<VirtualHostOptions>,
}

/// The `spec` of a RouteOption.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteOption {
    /// The options.
    pub options: Option<RouteOptions>,
}
