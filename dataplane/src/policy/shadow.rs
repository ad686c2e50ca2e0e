//! Where copies of a route's requests go, and how many. The engine makes them: a copy is of the request as it is sent.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;

use super::{PlanBuilder, registry};

pub(super) const TYPE_URL: &str = "/portcullis.policy.v1.Shadow";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Name of the upstream.
    pub upstream: Arc<str>,
    /// Of a million requests, so many.
    pub per_million: u32,
    keep_host: bool,
    host: Box<str>,
}

impl Shadow {
    /// The host of the copy of a request with this one.
    #[must_use]
    pub fn host<'a>(&'a self, host: &'a str) -> Cow<'a, str> {
        if !self.host.is_empty() {
            return Cow::Borrowed(&self.host);
        }
        if self.keep_host {
            return Cow::Borrowed(host);
        }
        // The colons of an IPv6 address are no port's.
        let port = host.rfind(':').filter(|at| host.rfind(']').is_none_or(|end| end < *at));
        let (name, port) = host.split_at(port.unwrap_or(host.len()));
        Cow::Owned(format!("{name}-shadow{port}"))
    }
}

pub(super) fn install(bytes: &[u8], builder: &mut PlanBuilder) -> Result<(), Invalid> {
    let wire: proto::Shadow = registry::decode(bytes)?;
    if wire.upstream.is_empty() {
        return Err(Invalid::new("upstream", "is empty"));
    }
    builder.shadow(Shadow {
        upstream: wire.upstream.into(),
        per_million: wire.per_million,
        keep_host: wire.keep_host,
        host: wire.host.into(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_copy_says_that_it_is_one() {
        let shadow = |keep_host, host: &str| Shadow {
            upstream: "s".into(),
            per_million: 1,
            keep_host,
            host: host.into(),
        };
        for (host, wanted) in
            [("a.test", "a.test-shadow"), ("a.test:80", "a.test-shadow:80"), ("[::1]", "[::1]-shadow")]
        {
            assert_eq!(shadow(false, "").host(host), wanted);
        }
        assert_eq!(shadow(true, "").host("a"), "a");
        assert_eq!(shadow(false, "b").host("a"), "b");
    }
}
