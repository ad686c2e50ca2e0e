//! `lbHash` of a route: what makes two requests go to the same endpoint.

use serde::Deserialize;

use super::scalar::GoDuration;

/// `lbHash`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LbHash {
    /// Their hashes are combined.
    pub hash_policies: Vec<HashPolicy>,
}

/// One of `hashPolicies`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HashPolicy {
    /// A header's name. Exactly one of the three is set, see [`HashPolicy::key`].
    pub header: Option<String>,
    /// A cookie.
    pub cookie: Option<HashCookie>,
    /// The client's address.
    pub source_ip: Option<bool>,
    /// What follows is not looked at when this one gave something.
    pub terminal: bool,
}

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the field of its name")]
pub enum HashKey<'a> {
    Header(&'a str),
    Cookie(&'a HashCookie),
    SourceIp,
}

impl HashPolicy {
    /// What is hashed, if that is set.
    pub fn key(&self) -> Option<HashKey<'_>> {
        if self.source_ip == Some(true) {
            return Some(HashKey::SourceIp);
        }
        let header = || self.header.as_deref().map(HashKey::Header);
        self.cookie.as_ref().map(HashKey::Cookie).or_else(header)
    }
}

/// `cookie`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HashCookie {
    /// Name; needed.
    pub name: String,
    /// The gateway sets the cookie where it is missing, for so long; 0 = a session. Absent = it does not.
    pub ttl: Option<GoDuration>,
    /// Path of a cookie that is set.
    pub path: String,
}
