//! Which virtual host a Host or `:authority` belongs to.

use std::{collections::HashMap, fmt};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::Invalid;

/// A domain of a virtual host, lower case. A port is part of the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// `example.com`.
    Exact(Box<str>),
    /// `*.example.com` or `*-x.example.com`, kept without the star, which stands for at least one character.
    Suffix(Box<str>),
    /// `example.*` or `example-*`, kept without the star, which stands for at least one character.
    Prefix(Box<str>),
    /// `*`.
    Any,
}

impl Domain {
    /// Parses a domain as it travels. Upper case becomes lower case.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_ascii_lowercase();
        let domain = match (lower.strip_prefix('*'), lower.strip_suffix('*')) {
            (Some(""), _) => return Ok(Self::Any),
            (Some(rest), _) => Self::Suffix(rest.into()),
            (None, Some(rest)) => Self::Prefix(rest.into()),
            (None, None) => Self::Exact(lower.as_str().into()),
        };
        let (Self::Exact(rest) | Self::Suffix(rest) | Self::Prefix(rest)) = &domain else {
            return Ok(domain);
        };
        if rest.is_empty() {
            return Err(Invalid::new("", "must not be empty"));
        }
        if rest.contains('*') {
            return Err(Invalid::new(
                "",
                format!("\"{text}\" may have one \"*\", at the beginning or the end"),
            ));
        }
        Ok(domain)
    }

    /// Whether the lower-case `host` is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *host,
            Self::Suffix(text) => host.len() > text.len() && host.ends_with(&**text),
            Self::Prefix(text) => host.len() > text.len() && host.starts_with(&**text),
            Self::Any => true,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Suffix(text) => write!(f, "*{text}"),
            Self::Prefix(text) => write!(f, "{text}*"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Hosts up to this length are lowered without allocating; a DNS name with a port is shorter.
const INLINE: usize = 264;

/// Finds what belongs to a host (hashed by a quick function: only who configures could choose domains that collide): exact domain, then longest suffix, then longest prefix, then `*`.
#[derive(Debug, Clone)]
pub struct DomainIndex<T> {
    exact: HashMap<Box<[u8]>, T, RandomState>,
    suffix: Affixes<T>,
    prefix: Affixes<T>,
    any: Option<T>,
}

impl<T> Default for DomainIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), suffix: Affixes::default(), prefix: Affixes::default(), any: None }
    }
}

impl<T> DomainIndex<T> {
    /// Builds the index. Of equal domains the first counts.
    pub fn build(domains: impl IntoIterator<Item = (Domain, T)>) -> Self {
        let mut index = Self::default();
        for (domain, value) in domains {
            match domain {
                Domain::Exact(text) => {
                    index.exact.entry(text.into_boxed_bytes()).or_insert(value);
                }
                Domain::Suffix(text) => index.suffix.insert(text, value),
                Domain::Prefix(text) => index.prefix.insert(text, value),
                Domain::Any => {
                    index.any.get_or_insert(value);
                }
            }
        }
        index
    }

    /// What `host` (in any case, with its port if it has one) belongs to.
    pub fn find(&self, host: &str) -> Option<&T> {
        let mut lowered: SmallVec<[u8; INLINE]>;
        let host = match host.bytes().any(|b| b.is_ascii_uppercase()) {
            false => host.as_bytes(),
            true => {
                lowered = SmallVec::from_slice(host.as_bytes());
                lowered.make_ascii_lowercase();
                &lowered
            }
        };
        let suffix = |len| host.get(host.len().checked_sub(len)?..);
        let prefix = |len| host.get(..len);
        self.exact
            .get(host)
            .or_else(|| self.suffix.longest(host.len(), suffix))
            .or_else(|| self.prefix.longest(host.len(), prefix))
            .or(self.any.as_ref())
    }
}

/// Beginnings or ends of hosts, with the lengths that occur, longest first.
#[derive(Debug, Clone)]
struct Affixes<T> {
    map: HashMap<Box<[u8]>, T, RandomState>,
    lengths: Vec<usize>,
}

impl<T> Default for Affixes<T> {
    fn default() -> Self {
        Self { map: HashMap::default(), lengths: Vec::new() }
    }
}

impl<T> Affixes<T> {
    fn insert(&mut self, text: Box<str>, value: T) {
        if let Err(at) = self.lengths.binary_search_by(|len| text.len().cmp(len)) {
            self.lengths.insert(at, text.len());
        }
        self.map.entry(text.into_boxed_bytes()).or_insert(value);
    }

    /// The star needs a character, so only shorter texts are asked for.
    fn longest<'h>(&self, host: usize, part: impl Fn(usize) -> Option<&'h [u8]>) -> Option<&T> {
        let shorter = self.lengths.iter().filter(|len| **len < host);
        shorter.filter_map(|len| part(*len)).find_map(|text| self.map.get(text))
    }
}

#[cfg(test)]
mod tests;
