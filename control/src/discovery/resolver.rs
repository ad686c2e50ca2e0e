//! Asks DNS for what an upstream's host name stands for: IPv4 addresses only, as users are used to.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_shared::dns::{self, Family};

use super::lookup::Answer;

/// No lookup takes longer, retries included.
const LIMIT: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Resolver(dns::Resolver);

impl Resolver {
    /// With the system's configuration.
    pub(super) fn system() -> Self {
        Self(dns::Resolver::system(Family::V4))
    }

    /// Looks up the IPv4 addresses of `host`.
    pub(super) async fn look_up(&self, host: &str) -> Answer {
        match self.0.look_up(host, LIMIT).await {
            dns::Answer::Absent(reason) => Answer::Absent(reason),
            dns::Answer::Failed(reason) => Answer::Failed(reason),
            dns::Answer::Addresses(list, ttl) => {
                let v4 = |address| match address {
                    IpAddr::V4(address) => Some(address),
                    IpAddr::V6(_) => None,
                };
                Answer::Addresses(list.into_iter().filter_map(v4).collect(), ttl)
            }
        }
    }
}
