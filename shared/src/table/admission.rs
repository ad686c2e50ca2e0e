//! Which connections a filter chain lets in.

use std::{sync::Arc, time::Duration};

use portcullis_proto::{policy::v1 as policy, table::v1 as wire};

use super::field::required;
use crate::Invalid;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Chains with one scope share their counts within a worker process.
    pub scope: Arc<str>,
    /// How many there may be at one time.
    pub connections: Option<ConnectionLimit>,
    /// How many may come.
    pub rate: Option<TokenBucket>,
}

/// How many connections there may be at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// At least 1.
    pub max_active: u64,
    /// One too many is closed after so long.
    pub delay: Duration,
}

/// Size and filling of a token bucket; nothing in it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// What it holds, and what is in it at first.
    pub max: u32,
    /// So many tokens come
    pub per_fill: u32,
    /// within so much time.
    pub interval: Duration,
}

impl TryFrom<wire::Admission> for Admission {
    type Error = Invalid;

    fn try_from(wire: wire::Admission) -> Result<Self, Invalid> {
        let connections = match wire.connections {
            Some(limit) if limit.max_active == 0 => {
                return Err(Invalid::new("connections.max_active", "must be above 0"));
            }
            limit => limit.map(|limit| ConnectionLimit {
                max_active: limit.max_active,
                delay: Duration::from_millis(limit.delay_ms),
            }),
        };
        Ok(Self {
            scope: required("scope", wire.scope)?,
            connections,
            rate: wire.rate.map(TokenBucket::try_from).transpose().map_err(|e| e.under("rate"))?,
        })
    }
}

impl TryFrom<policy::TokenBucket> for TokenBucket {
    type Error = Invalid;

    fn try_from(wire: policy::TokenBucket) -> Result<Self, Invalid> {
        for (field, number) in [
            ("max_tokens", u64::from(wire.max_tokens)),
            ("tokens_per_fill", u64::from(wire.tokens_per_fill)),
            ("fill_interval_ms", wire.fill_interval_ms),
        ] {
            if number == 0 {
                return Err(Invalid::new(field, "must be above 0"));
            }
        }
        Ok(Self {
            max: wire.max_tokens,
            per_fill: wire.tokens_per_fill,
            interval: Duration::from_millis(wire.fill_interval_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_nothing_are_refused() {
        let wire = |max_active, fill_interval_ms| wire::Admission {
            scope: "a".into(),
            connections: Some(wire::ConnectionLimit { max_active, delay_ms: 0 }),
            rate: Some(policy::TokenBucket { max_tokens: 1, tokens_per_fill: 1, fill_interval_ms }),
        };
        assert!(Admission::try_from(wire(1, 50)).is_ok());
        assert_eq!(Admission::try_from(wire(0, 50)).unwrap_err().path, "connections.max_active");
        assert_eq!(Admission::try_from(wire(1, 0)).unwrap_err().path, "rate.fill_interval_ms");
    }
}
