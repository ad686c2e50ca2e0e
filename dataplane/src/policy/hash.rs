//! What makes two requests go to the same endpoint. A setting of the engine, which asks for the hash once per request
//! and hands it to balancers that use it. Hashes and their combination are Envoy's.

use std::net::SocketAddr;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use xxhash_rust::xxh64::xxh64;

use super::{Facts, PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Hash";

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    builder.hash(Hash::try_from(registry::decode::<proto::Hash>(bytes)?)?);
    Ok(())
}

/// Where the hash of a request comes from.
#[derive(Debug)]
pub struct Hash(Box<[(Key, bool)]>);

#[derive(Debug)]
enum Key {
    Header(HeaderName),
    Authority,
    Path,
    Method,
    Scheme,
    SourceIp,
    Cookie(Cookie),
}

#[derive(Debug)]
struct Cookie {
    name: Box<str>,
    ttl: Option<u64>,
    path: Box<str>,
}

impl Hash {
    /// The request's hash, if it has any of the keys, and cookies that the answer has to set.
    #[must_use]
    pub fn of(&self, headers: &HeaderMap, facts: &Facts<'_>) -> (Option<u64>, Vec<HeaderValue>) {
        let (mut hash, mut cookies): (Option<u64>, Vec<HeaderValue>) = (None, Vec::new());
        for (key, terminal) in &self.0 {
            let found = match key {
                Key::Header(name) => header(headers, name),
                Key::Authority => Some(of(facts.authority.as_bytes())),
                Key::Path => Some(of(facts.path.as_bytes())),
                Key::Method => Some(of(facts.method.as_bytes())),
                Key::Scheme => Some(of(facts.scheme.as_bytes())),
                Key::SourceIp => Some(of(facts.client.ip().to_string().as_bytes())),
                Key::Cookie(cookie) => cookie.read(headers).or_else(|| {
                    let value = cookie.made(facts.direct, facts.local);
                    let hash = of(value.as_bytes());
                    cookies.push(cookie.set(&value)?);
                    Some(hash)
                }),
            };
            if let Some(found) = found {
                // Rotated, so that equal keys do not cancel each other.
                hash = Some(hash.map_or(found, |hash| hash.rotate_left(1) ^ found));
                if *terminal {
                    break;
                }
            }
        }
        (hash, cookies)
    }
}

fn of(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// Several values count as one, whatever their order.
fn header(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut all: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    if all.is_empty() {
        return Some(of(first.as_bytes()));
    }
    all.push(first.as_bytes());
    all.sort_unstable();
    Some(of(&all.concat()))
}

impl Cookie {
    fn read(&self, headers: &HeaderMap) -> Option<u64> {
        let pairs =
            headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let value = pairs
            .filter_map(|pair| {
                let pair = pair.trim_ascii();
                let at = pair.iter().position(|byte| *byte == b'=')?;
                let (name, value) = pair.split_at_checked(at)?;
                (name == self.name.as_bytes()).then(|| value.get(1..).unwrap_or_default())
            })
            .next()?;
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value)).filter(|value| !value.is_empty()).map(of)
    }

    /// A value for a client that has none. The same for all requests of its connection, should it not take cookies.
    fn made(&self, client: SocketAddr, local: SocketAddr) -> String {
        format!("{:016x}", of(format!("{client}{local}").as_bytes()))
    }

    /// The field that sets it, if the gateway is to.
    fn set(&self, value: &str) -> Option<HeaderValue> {
        let ttl = self.ttl?;
        let age = if ttl > 0 { format!("; Max-Age={ttl}") } else { String::new() };
        let path = if self.path.is_empty() { String::new() } else { format!("; Path={}", self.path) };
        HeaderValue::try_from(format!("{}=\"{value}\"{age}{path}; HttpOnly", self.name)).ok()
    }
}

impl TryFrom<proto::Hash> for Hash {
    type Error = Invalid;

    fn try_from(wire: proto::Hash) -> Result<Self, Invalid> {
        let key = |(i, key): (usize, proto::HashKey)| {
            let invalid = |reason: &str| Invalid::new(format!("keys[{i}]"), reason);
            let terminal = key.terminal;
            let key = match key.key.ok_or_else(|| invalid("missing"))? {
                proto::hash_key::Key::SourceIp(_) => Key::SourceIp,
                proto::hash_key::Key::Header(name) => match name.as_str() {
                    ":authority" | "host" => Key::Authority,
                    ":path" => Key::Path,
                    ":method" => Key::Method,
                    ":scheme" => Key::Scheme,
                    name => Key::Header(
                        HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("not a header name"))?,
                    ),
                },
                proto::hash_key::Key::Cookie(cookie) => Key::Cookie(Cookie {
                    name: Some(cookie.name)
                        .filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok())
                        .ok_or_else(|| invalid("not a cookie's name"))?
                        .into(),
                    ttl: cookie.ttl_s,
                    path: cookie.path.into(),
                }),
            };
            Ok((key, terminal))
        };
        Ok(Self(wire.keys.into_iter().enumerate().map(key).collect::<Result<_, Invalid>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: proto::hash_key::Key, terminal: bool) -> proto::HashKey {
        proto::HashKey { key: Some(key), terminal }
    }

    fn named(name: &str) -> proto::hash_key::Key {
        proto::hash_key::Key::Header(name.into())
    }

    fn cookie(ttl_s: Option<u64>) -> proto::hash_key::Key {
        proto::hash_key::Key::Cookie(proto::HashCookie { name: "lb".into(), ttl_s, path: "/p".into() })
    }

    fn hash(
        keys: Vec<proto::HashKey>,
        fields: &[(&'static str, &'static str)],
    ) -> (Option<u64>, Vec<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let facts = crate::policy::testing::facts();
        let (hash, cookies) = Hash::try_from(proto::Hash { keys }).unwrap().of(&headers, &facts);
        (hash, cookies.into_iter().map(|value| value.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn keys_combine_until_a_terminal_one_gave_something() {
        let both = || vec![key(named("a"), false), key(named("b"), false)];
        let one = |fields: &[_]| hash(both(), fields).0;
        assert_eq!(one(&[]), None);
        assert_eq!(one(&[("a", "x")]), Some(of(b"x")));
        assert_eq!(one(&[("a", "x"), ("b", "x")]), Some(of(b"x").rotate_left(1) ^ of(b"x")));
        let terminal = || vec![key(named("a"), true), key(named("b"), false)];
        assert_eq!(hash(terminal(), &[("a", "x"), ("b", "y")]).0, Some(of(b"x")));
        assert_eq!(hash(terminal(), &[("b", "y")]).0, Some(of(b"y")));
    }

    #[test]
    fn the_order_of_repeated_fields_does_not_matter() {
        let keys = || vec![key(named("a"), false)];
        assert_eq!(hash(keys(), &[("a", "x"), ("a", "y")]), hash(keys(), &[("a", "y"), ("a", "x")]));
    }

    #[test]
    fn a_cookie_is_read_and_set_where_it_is_missing() {
        let read = hash(vec![key(cookie(Some(60)), false)], &[("cookie", "a=b; lb=\"v\"")]);
        assert_eq!(read, (Some(of(b"v")), vec![]));
        let (made, set) = hash(vec![key(cookie(Some(60)), false)], &[]);
        let value = set[0].split('"').nth(1).unwrap();
        assert_eq!(made, Some(of(value.as_bytes())));
        assert_eq!(set, [format!("lb=\"{value}\"; Max-Age=60; Path=/p; HttpOnly")]);
        let (_, session) = hash(vec![key(cookie(Some(0)), false)], &[]);
        assert!(!session[0].contains("Max-Age"));
        assert_eq!(hash(vec![key(cookie(None), false)], &[]), (None, vec![]));
    }
}
