//! `headerManipulation`, on virtual host, route and weighted destination.

use serde::Deserialize;

/// Headers to add and remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderManipulation {
    /// Added to the request, after the removals.
    pub request_headers_to_add: Vec<HeaderValueOption>,
    /// Removed from the request.
    pub request_headers_to_remove: Vec<String>,
    /// Added to the response, after the removals.
    pub response_headers_to_add: Vec<HeaderValueOption>,
    /// Removed from the response.
    pub response_headers_to_remove: Vec<String>,
}

/// One header to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderValueOption {
    /// Name and value; its absence is an error.
    pub header: Option<HeaderValue>,
    /// Add another value (true, the default) or overwrite.
    pub append: Option<bool>,
}

/// A header's name and value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderValue {
    /// Name.
    pub key: String,
    /// Value, with format operators such as `%DOWNSTREAM_REMOTE_ADDRESS%`.
    pub value: String,
}
