//! What a policy sees of one request and of its response.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora_http::{RequestHeader, ResponseHeader};

use super::{Facts, Slots};

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
}

/// A response on its way to the client.
pub struct ResponseCx<'a> {
    /// Its status.
    pub status: StatusCode,
    /// The header fields that the client will get.
    pub headers: &'a mut dyn Headers,
    /// The header fields of the request as they were sent upstream.
    pub request_headers: &'a HeaderMap,
    /// What is known about the connection and the request.
    pub facts: &'a Facts<'a>,
    /// State that policies keep for this request.
    pub slots: &'a mut Slots,
}
