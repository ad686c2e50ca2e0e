//! What a policy sees of one request and of its response.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};

use super::{Facts, Filters, Slots};
pub use crate::proxy::Services;
use crate::runtime::Runtime;

/// A set of header fields that a policy may change, whatever type the engine keeps it in.
pub trait Headers: Send + Sync {
    /// All fields, for reading.
    fn map(&self) -> &HeaderMap;
    /// Sets the field to this one value.
    fn insert(&mut self, name: &HeaderName, value: HeaderValue);
    /// Adds one more value.
    fn append(&mut self, name: &HeaderName, value: HeaderValue);
    /// Removes all values.
    fn remove(&mut self, name: &HeaderName);
}

impl Headers for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }
    fn insert(&mut self, name: &HeaderName, value: HeaderValue) {
        HeaderMap::insert(self, name.clone(), value);
    }
    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name.clone(), value);
    }
    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }
}

// Pingora's setters can only fail on a name or value that is not valid, and these are typed.
macro_rules! pingora_headers {
    ($header:ty) => {
        impl Headers for $header {
            fn map(&self) -> &HeaderMap {
                &self.headers
            }
            fn insert(&mut self, name: &HeaderName, value: HeaderValue) {
                let _ = self.insert_header(name.clone(), value);
            }
            fn append(&mut self, name: &HeaderName, value: HeaderValue) {
                let _ = self.append_header(name.clone(), value);
            }
            fn remove(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }
        }
    };
}
pingora_headers!(RequestHeader);
pingora_headers!(ResponseHeader);

/// A request on its way upstream.
pub struct RequestCx<'a> {
    /// The header fields that will be sent upstream.
    pub headers: &'a mut dyn Headers,
    /// What is known about the connection and the request as it came.
    pub facts: &'a Facts<'a>,
    /// State that policies keep for this request.
    pub slots: &'a mut Slots,
    /// What policies have changed of the request line.
    pub line: &'a mut Line,
    /// A body comes with it, or has come.
    pub has_body: bool,
    /// What the body passes on its way.
    pub filters: &'a mut Filters,
    /// Set it to have the route chosen again; the policies after this one are then those of the new route.
    pub reroute: &'a mut bool,
    /// What lies outside of the request.
    pub services: &'a Services,
}

impl RequestCx<'_> {
    /// The method as it is now.
    #[must_use]
    pub fn method(&self) -> &str {
        self.line.method.as_ref().map_or(self.facts.method, Method::as_str)
    }

    /// Path and query as they are now.
    #[must_use]
    pub fn path(&self) -> &str {
        self.line.target.as_ref().map_or(self.facts.path, PathAndQuery::as_str)
    }

    /// Host or `:authority` as it is now.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.line.authority.as_deref().unwrap_or(self.facts.authority)
    }

    /// The configuration that serves this request.
    #[must_use]
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.services.runtime
    }
}

/// Changes of a request line. None = as it is.
#[derive(Debug, Default)]
pub struct Line {
    /// Method.
    pub method: Option<Method>,
    /// Path and query, before the rewrites of the route.
    pub target: Option<PathAndQuery>,
    /// Host or `:authority`.
    pub authority: Option<Box<str>>,
}

/// A response on its way to the client.
pub struct ResponseCx<'a> {
    /// Its status.
    pub status: &'a mut StatusCode,
    /// The header fields that the client will get.
    pub headers: &'a mut dyn Headers,
    /// The header fields of the request as they were sent upstream.
    pub request_headers: &'a HeaderMap,
    /// What is known about the connection and the request.
    pub facts: &'a Facts<'a>,
    /// State that policies keep for this request.
    pub slots: &'a mut Slots,
    /// A body may come with it: it is no answer to HEAD, no 204, 304 or 101.
    pub has_body: bool,
    /// What the body passes on its way.
    pub filters: &'a mut Filters,
    /// What follows the body, once all of it is here.
    pub trailers: &'a mut Option<HeaderMap>,
    /// The gateway answers itself.
    pub local: bool,
    /// Why there is this response, in Envoy's words; a policy's own word where one answered.
    pub details: &'a str,
}
