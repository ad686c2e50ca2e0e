//! What a transformation sees and changes of a message besides its body, the same for requests and responses.

use std::borrow::Cow;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::policy::{Headers, RequestCx, ResponseCx, Slots};

/// A header, or a part of the request or status line under its HTTP/2 name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Header(HeaderName),
    Method,
    Path,
    Authority,
    Status,
}

impl Field {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" => Self::Authority,
            ":status" => Self::Status,
            name => Self::Header(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("bad header name \"{name}\""))?,
            ),
        })
    }
}

/// The head of a message.
pub(super) trait Head {
    fn headers(&self) -> &HeaderMap;
    fn headers_mut(&mut self) -> &mut dyn Headers;
    fn slots(&self) -> &Slots;
    fn slots_mut(&mut self) -> &mut Slots;
    /// A part of the first line by its HTTP/2 name.
    fn pseudo(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Changes the first line.
    fn set_pseudo(&mut self, field: &Field, value: &str) -> Result<(), String>;
    /// A header of the request, which this may be.
    fn of_request(&self, name: &str) -> Option<Cow<'_, str>>;

    /// A header of this message.
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if name.starts_with(':') { self.pseudo(name) } else { first(self.headers(), name) }
    }
}

fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// The value of a header field; what surrounds it is no part of it.
pub(super) fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(text.trim().as_bytes())
        .map_err(|_| "a header would have bytes that no header value may have".to_owned())
}

/// A request.
pub(super) struct Request<'a, 'c>(pub(super) &'a mut RequestCx<'c>);

impl Head for Request<'_, '_> {
    fn headers(&self) -> &HeaderMap {
        self.0.headers.map()
    }
    fn headers_mut(&mut self) -> &mut dyn Headers {
        self.0.headers
    }
    fn slots(&self) -> &Slots {
        self.0.slots
    }
    fn slots_mut(&mut self) -> &mut Slots {
        self.0.slots
    }

    fn pseudo(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = match name {
            ":method" => self.0.method(),
            ":path" => self.0.path(),
            ":authority" => self.0.authority(),
            ":scheme" => self.0.facts.scheme,
            _ => return None,
        };
        Some(Cow::Borrowed(value))
    }

    fn set_pseudo(&mut self, field: &Field, value: &str) -> Result<(), String> {
        let value = value.trim();
        let bad = |part: &str| format!("{part} would be [{value}]");
        match field {
            Field::Method => {
                self.0.line.method =
                    Some(Method::from_bytes(value.as_bytes()).map_err(|_| bad("the method"))?);
            }
            Field::Path => {
                let target = value.parse::<PathAndQuery>().ok().filter(|_| value.starts_with('/'));
                self.0.line.target = Some(target.ok_or_else(|| bad("the path"))?);
            }
            Field::Authority => {
                value.parse::<Authority>().map_err(|_| bad("the authority"))?;
                self.0.line.authority = Some(value.into());
            }
            Field::Status | Field::Header(_) => {}
        }
        Ok(())
    }

    fn of_request(&self, name: &str) -> Option<Cow<'_, str>> {
        if name == "host" { self.pseudo(":authority") } else { self.get(name) }
    }

    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "host" => self.pseudo(":authority"),
            name if name.starts_with(':') => self.pseudo(name),
            name => first(self.headers(), name),
        }
    }
}

/// A response.
pub(super) struct Response<'a, 'c>(pub(super) &'a mut ResponseCx<'c>);

impl Head for Response<'_, '_> {
    fn headers(&self) -> &HeaderMap {
        self.0.headers.map()
    }
    fn headers_mut(&mut self) -> &mut dyn Headers {
        self.0.headers
    }
    fn slots(&self) -> &Slots {
        self.0.slots
    }
    fn slots_mut(&mut self) -> &mut Slots {
        self.0.slots
    }

    fn pseudo(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == ":status").then(|| Cow::Owned(self.0.status.as_str().to_owned()))
    }

    fn set_pseudo(&mut self, field: &Field, value: &str) -> Result<(), String> {
        if *field == Field::Status {
            let status = value.trim().parse::<u16>().ok().filter(|status| (200..600).contains(status));
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            *self.0.status = status.ok_or_else(|| format!("the status would be [{value}]"))?;
        }
        Ok(())
    }

    fn of_request(&self, name: &str) -> Option<Cow<'_, str>> {
        let facts = self.0.facts;
        let value = match name {
            ":method" => facts.method,
            ":path" => facts.path,
            ":authority" | "host" => facts.authority,
            ":scheme" => facts.scheme,
            name => return first(self.0.request_headers, name),
        };
        Some(Cow::Borrowed(value))
    }
}
