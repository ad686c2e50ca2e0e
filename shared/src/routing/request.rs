//! What routing reads of a request.

use http::HeaderMap;

/// The parts of a request that decide its route, as they came in.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Method, case-sensitive.
    pub method: &'a str,
    /// "http" or "https".
    pub scheme: &'a str,
    /// Host header or `:authority`, port included; empty = none.
    pub authority: &'a str,
    /// Path without query, percent-encoding kept. Empty only for a CONNECT without a path, which nothing but the
    /// connect matcher matches.
    pub path: &'a str,
    /// Raw text after the first `?`.
    pub query: Option<&'a str>,
    /// Header fields.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestView<'a> {
    /// The parameters of the query in their order, name and raw value; one without `=` has an empty value.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let text = self.query.unwrap_or_default();
        // Nothing, not one empty parameter, for an empty query.
        let parts = (!text.is_empty()).then(|| text.split('&'));
        parts.into_iter().flatten().map(|part| part.split_once('=').unwrap_or((part, "")))
    }

    /// The first occurrence of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}
