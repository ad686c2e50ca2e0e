//! Host (`:authority`) towards the upstream. A setting of the engine: an automatic rewrite needs the chosen endpoint.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::table::RegexSubstitution;

use super::{Headers, PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.HostRewrite";

/// Name of the field that keeps the host of the client.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Where the host comes from.
#[derive(Debug, Clone)]
pub enum HostSource {
    /// This text.
    Literal(HeaderValue),
    /// The name of the endpoint, when it has one.
    Endpoint,
    /// This request header, when it is there.
    Header(HeaderName),
    /// The path without its query, after the substitution.
    Path(RegexSubstitution),
}

/// How the host changes.
#[derive(Debug, Clone)]
pub struct HostRewrite {
    /// Where it comes from.
    pub source: HostSource,
    /// The host of the client is appended to `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
}

impl HostRewrite {
    /// The new host, or none when it stays. `path` is the client's path, with or without query; `endpoint` the name
    /// of the chosen endpoint.
    #[must_use]
    pub fn host(&self, headers: &HeaderMap, path: &str, endpoint: Option<&str>) -> Option<HeaderValue> {
        match &self.source {
            HostSource::Literal(host) => Some(host.clone()),
            HostSource::Endpoint => endpoint.and_then(|name| HeaderValue::from_str(name).ok()),
            HostSource::Header(name) => headers.get(name).filter(|value| !value.is_empty()).cloned(),
            HostSource::Path(substitution) => {
                let path = path.split_once('?').map_or(path, |(path, _)| path);
                let host: Cow<'_, str> = substitution.replace_all(path);
                HeaderValue::from_str(&host).ok().filter(|host| !host.is_empty())
            }
        }
    }
}

/// Appends the host of the client to `x-forwarded-host`, unless it stands there already as the last one.
pub fn append_forwarded_host(headers: &mut dyn Headers, original: &str) {
    let joined = match headers.map().get(&X_FORWARDED_HOST).and_then(|value| value.to_str().ok()) {
        _ if original.is_empty() => return,
        Some(before) if before.rsplit(',').next().is_some_and(|last| last.trim() == original) => return,
        Some(before) if !before.is_empty() => Cow::Owned(format!("{before},{original}")),
        _ => Cow::Borrowed(original),
    };
    if let Ok(value) = HeaderValue::from_str(&joined) {
        headers.insert(&X_FORWARDED_HOST, value);
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    use proto::host_rewrite::Rewrite;

    let wire: proto::HostRewrite = registry::decode(bytes)?;
    let source = match wire.rewrite {
        Some(Rewrite::Literal(host)) => HostSource::Literal(
            HeaderValue::from_str(&host)
                .map_err(|_| Invalid::new("literal", format!("bad host \"{host}\"")))?,
        ),
        Some(Rewrite::Auto(true)) => HostSource::Endpoint,
        Some(Rewrite::Header(name)) => HostSource::Header(
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Invalid::new("header", format!("bad header name \"{name}\"")))?,
        ),
        Some(Rewrite::PathRegex(regex)) => {
            HostSource::Path(regex.try_into().map_err(|e: Invalid| e.under("path_regex"))?)
        }
        // `auto: false` says the same as no rewrite at all.
        Some(Rewrite::Auto(false)) | None => return Ok(()),
    };
    builder.host_rewrite(HostRewrite { source, append_x_forwarded_host: wire.append_x_forwarded_host });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(source: HostSource) -> HostRewrite {
        HostRewrite { source, append_x_forwarded_host: false }
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().expect("value"))).collect()
    }

    #[test]
    fn each_source_gives_its_host() {
        let empty = HeaderMap::new();
        let literal = rewrite(HostSource::Literal(HeaderValue::from_static("a.b")));
        assert_eq!(literal.host(&empty, "/", None).expect("host"), "a.b");

        let auto = rewrite(HostSource::Endpoint);
        assert_eq!(auto.host(&empty, "/", None), None);
        assert_eq!(auto.host(&empty, "/", Some("db.internal")).expect("host"), "db.internal");

        let header = rewrite(HostSource::Header(HeaderName::from_static("x-host")));
        assert_eq!(header.host(&empty, "/", None), None);
        assert_eq!(header.host(&headers(&[("x-host", "h")]), "/", None).expect("host"), "h");

        let path = rewrite(HostSource::Path(RegexSubstitution::new("^/(.+)/.+$", r"\1").expect("valid")));
        assert_eq!(path.host(&empty, "/envoyproxy.io/some?x=/y/z", None).expect("host"), "envoyproxy.io");
    }

    #[test]
    fn the_forwarded_host_is_appended_once() {
        let mut map = HeaderMap::new();
        append_forwarded_host(&mut map, "a");
        append_forwarded_host(&mut map, "a");
        assert_eq!(map[X_FORWARDED_HOST], "a");
        append_forwarded_host(&mut map, "b");
        assert_eq!(map[X_FORWARDED_HOST], "a,b");
    }
}
