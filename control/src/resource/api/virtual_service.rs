//! VirtualService and RouteTable: domains, and lists of routes.

use serde::Deserialize;

use super::options::{DelegateOptionsRefs, VirtualHostOptions};
use super::route::Route;
use super::ssl::SslConfig;

/// The `spec` of a VirtualService.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualService {
    /// Domains and routes.
    pub virtual_host: Option<VirtualHost>,
    /// Its presence binds the VirtualService to the Gateways with `ssl: true`.
    pub ssl_config: Option<SslConfig>,
    /// A label for people.
    pub display_name: String,
}

/// `virtualHost`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualHost {
    /// Host patterns; empty or one empty text = `*`.
    pub domains: Vec<String>,
    /// Routes; the first that matches wins.
    pub routes: Vec<Route>,
    /// Options of the virtual host level.
    pub options: Option<VirtualHostOptions>,
    /// Shared options.
    pub options_config_refs: Option<DelegateOptionsRefs>,
}

/// The `spec` of a RouteTable.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTable {
    /// Routes.
    pub routes: Vec<Route>,
    /// Order among the tables that one selector picks, ascending; absent = 0.
    pub weight: Option<i32>,
}
