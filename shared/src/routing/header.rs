//! Matching of header fields and of the pseudo header fields of HTTP/2.

use std::{borrow::Cow, fmt};

use http::HeaderName;
use portcullis_proto::table::v1 as wire;
use smallvec::SmallVec;

use super::{RequestView, query::ValueMatcher};
use crate::Invalid;

/// A header field, or a part of the request line under its HTTP/2 name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldName {
    /// `:method`.
    Method,
    /// `:path`, with the query.
    Path,
    /// `:authority`, also by the name `host`.
    Authority,
    /// `:scheme`.
    Scheme,
    /// A field that no pseudo header can be: unknown names with a colon. Always absent.
    UnknownPseudo(Box<str>),
    /// Any other field.
    Header(HeaderName),
}

impl FieldName {
    /// Parses a name in any case.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        Ok(match name.to_ascii_lowercase().as_str() {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" | "host" => Self::Authority,
            ":scheme" => Self::Scheme,
            pseudo if pseudo.len() > 1 && pseudo.starts_with(':') => Self::UnknownPseudo(pseudo.into()),
            name => Self::Header(
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Invalid::new("name", format!("\"{name}\" is not a header name")))?,
            ),
        })
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Authority => ":authority",
            Self::Scheme => ":scheme",
            Self::UnknownPseudo(name) => name,
            Self::Header(name) => name.as_str(),
        }
    }

    /// The values in `request`: every occurrence by itself.
    pub(super) fn values<'a>(&self, request: &RequestView<'a>) -> SmallVec<[FieldValue<'a>; 4]> {
        let pseudo = |text: &'a str| (!text.is_empty()).then_some(FieldValue::Text(Cow::Borrowed(text)));
        match self {
            Self::Method => pseudo(request.method).into_iter().collect(),
            Self::Authority => pseudo(request.authority).into_iter().collect(),
            Self::Scheme => pseudo(request.scheme).into_iter().collect(),
            Self::Path => match request.query {
                _ if request.path.is_empty() => SmallVec::new(),
                None => pseudo(request.path).into_iter().collect(),
                Some(query) => {
                    let whole = [request.path, "?", query].concat();
                    std::iter::once(FieldValue::Text(Cow::Owned(whole))).collect()
                }
            },
            Self::UnknownPseudo(_) => SmallVec::new(),
            Self::Header(name) => {
                request.headers.get_all(name).iter().map(|v| FieldValue::of(v.as_bytes())).collect()
            }
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One occurrence of a field.
pub(super) enum FieldValue<'a> {
    Text(Cow<'a, str>),
    /// Not UTF-8: present, but equal to no text.
    Opaque,
}

impl<'a> FieldValue<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Opaque, |text| Self::Text(Cow::Borrowed(text)))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Opaque => None,
        }
    }
}

/// A condition on one header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatcher {
    /// Which field.
    pub name: FieldName,
    /// What its value must be.
    pub value: ValueMatcher,
    /// The value must not be that. An absent field still fits only an inverted presence.
    pub invert: bool,
}

impl HeaderMatcher {
    /// Whether `request` fits. Every occurrence is compared by itself: one that fits is enough, and for an inverted
    /// condition too much.
    pub fn matches(&self, request: &RequestView<'_>) -> bool {
        let values = self.name.values(request);
        match &self.value {
            ValueMatcher::Present => values.is_empty() == self.invert,
            _ if values.is_empty() => false,
            value => values.iter().any(|v| v.text().is_some_and(|text| value.fits(text))) != self.invert,
        }
    }
}

impl fmt::Display for HeaderMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.invert { "not " } else { "" };
        write!(f, "{not}{}{}", self.name, self.value)
    }
}

impl TryFrom<wire::HeaderMatch> for HeaderMatcher {
    type Error = Invalid;

    fn try_from(wire: wire::HeaderMatch) -> Result<Self, Invalid> {
        use wire::header_match::Value as Wire;
        let value = match wire.value.ok_or_else(|| Invalid::new("value", "missing"))? {
            Wire::Present(true) => ValueMatcher::Present,
            Wire::Present(false) => {
                return Err(Invalid::new("present", "false; absence is an inverted presence"));
            }
            Wire::Exact(text) => ValueMatcher::Exact(text.into()),
            Wire::Regex(text) => ValueMatcher::regex(text)?,
        };
        Ok(Self { name: FieldName::parse(&wire.name)?, value, invert: wire.invert })
    }
}
