//! `cors` of virtual hosts and routes.

use serde::Deserialize;

/// Which origins may use the answers from a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// Origins as text; `*` is every origin.
    pub allow_origin: Vec<String>,
    /// Origins as expressions that fit the whole text.
    pub allow_origin_regex: Vec<String>,
    /// For `access-control-allow-methods`.
    pub allow_methods: Vec<String>,
    /// For `access-control-allow-headers`.
    pub allow_headers: Vec<String>,
    /// For `access-control-expose-headers`.
    pub expose_headers: Vec<String>,
    /// For `access-control-max-age`, in seconds.
    pub max_age: String,
    /// Whether credentials are allowed.
    pub allow_credentials: bool,
    /// On a route: no CORS here. Without effect on a virtual host.
    pub disable_for_route: bool,
}

/// `corsPolicyMergeSettings` of a virtual host: how its policy and a route's become one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicyMergeSettings {
    /// Of `exposeHeaders`.
    pub expose_headers: MergeStrategy,
}

/// How two lists become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MergeStrategy {
    /// The route's where it has one, else the virtual host's.
    #[default]
    Default,
    /// Both.
    Union,
}
