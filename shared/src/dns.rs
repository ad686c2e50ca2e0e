//! Asks DNS, with the system's configuration.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::RData;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How often the system's files are looked at for changes.
const LOOK: Duration = Duration::from_secs(5);
/// The system's files.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

type Stamps = [Option<(u64, i64, i64, u64)>; 2];

/// What a resolver says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its addresses and how long they are valid.
    Addresses(Vec<IpAddr>, Duration),
    /// The name does not exist, or has no such address.
    Absent(String),
    /// It could not be found out.
    Failed(String),
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// IPv4, and IPv6 where there is none.
    V4First,
    /// IPv6, and IPv4 where there is none.
    V6First,
    /// Both.
    All,
}

/// A resolver that follows changes of `/etc/resolv.conf` and `/etc/hosts`. Cheap to clone. Keeps nothing: who asks
/// knows how long an answer is good for.
#[derive(Clone)]
pub struct Resolver {
    family: Family,
    current: Arc<Mutex<Current>>,
}

struct Current {
    resolver: Result<TokioResolver, String>,
    stamps: Stamps,
    looked: Instant,
}

impl Current {
    fn read(family: Family) -> Self {
        Self { resolver: build(family), stamps: stamps(), looked: Instant::now() }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({:?})", self.family)
    }
}

impl Resolver {
    /// Reads the system's configuration. If it is missing, every lookup fails until it is there.
    #[must_use]
    pub fn system(family: Family) -> Self {
        Self { family, current: Arc::new(Mutex::new(Current::read(family))) }
    }

    /// Looks up the addresses of `host`, retries included within `limit`.
    pub async fn look_up(&self, host: &str, limit: Duration) -> Answer {
        let resolver = match self.current().await {
            Ok(resolver) => resolver,
            Err(reason) => return Answer::Failed(reason),
        };
        let lookup = match timeout(limit, resolver.lookup_ip(host)).await {
            Err(_) => return Answer::Failed(format!("no answer within {} s", limit.as_secs())),
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) if error.is_nx_domain() || error.is_no_records_found() => {
                return Answer::Absent(error.to_string());
            }
            Ok(Err(error)) => return Answer::Failed(error.to_string()),
        };
        let addresses = lookup
            .as_lookup()
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .collect();
        let ttl = lookup.valid_until().saturating_duration_since(std::time::Instant::now());
        Answer::Addresses(addresses, ttl)
    }

    async fn current(&self) -> Result<TokioResolver, String> {
        let mut current = self.current.lock().await;
        if current.looked.elapsed() >= LOOK {
            current.looked = Instant::now();
            if current.resolver.is_err() || stamps() != current.stamps {
                *current = Current::read(self.family);
            }
        }
        current.resolver.clone()
    }
}

fn build(family: Family) -> Result<TokioResolver, String> {
    let mut builder =
        TokioResolver::builder_tokio().map_err(|error| format!("system configuration: {error}"))?;
    let options = builder.options_mut();
    options.ip_strategy = match family {
        Family::V4 => LookupIpStrategy::Ipv4Only,
        Family::V6 => LookupIpStrategy::Ipv6Only,
        Family::V4First => LookupIpStrategy::Ipv4thenIpv6,
        Family::V6First => LookupIpStrategy::Ipv6thenIpv4,
        Family::All => LookupIpStrategy::Ipv4AndIpv6,
    };
    options.positive_min_ttl = None;
    // Who asks waits for the TTL: a cache would only delay what it asks for.
    options.cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

/// Two small files on the local disk: looked at without a detour over another thread.
fn stamps() -> Stamps {
    FILES.map(|file| {
        let meta = std::fs::metadata(Path::new(file)).ok()?;
        Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size()))
    })
}
