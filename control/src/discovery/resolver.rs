//! Asks DNS, with the system's configuration.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::RData;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::lookup::Answer;

/// No lookup takes longer, retries included.
const LIMIT: Duration = Duration::from_secs(10);
/// How often the system's files are looked at for changes.
const LOOK: Duration = Duration::from_secs(5);
/// The system's files.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

type Stamps = [Option<(u64, i64, i64, u64)>; 2];

/// A resolver that follows changes of `/etc/resolv.conf` and `/etc/hosts`. Cheap to clone.
#[derive(Clone)]
pub(super) struct Resolver {
    current: Arc<Mutex<Current>>,
}

struct Current {
    resolver: Result<TokioResolver, String>,
    stamps: Stamps,
    looked: Instant,
}

impl Current {
    fn read() -> Self {
        Self { resolver: build(), stamps: stamps(), looked: Instant::now() }
    }
}

impl Resolver {
    /// Reads the system's configuration. If it is missing, every lookup fails until it is there.
    pub(super) fn system() -> Self {
        Self { current: Arc::new(Mutex::new(Current::read())) }
    }

    /// Looks up the IPv4 addresses of `host`.
    pub(super) async fn look_up(&self, host: &str) -> Answer {
        let resolver = match self.current().await {
            Ok(resolver) => resolver,
            Err(reason) => return Answer::Failed(reason),
        };
        let lookup = match timeout(LIMIT, resolver.lookup_ip(host)).await {
            Err(_) => return Answer::Failed(format!("no answer within {} s", LIMIT.as_secs())),
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) if error.is_nx_domain() || error.is_no_records_found() => {
                return Answer::Absent(error.to_string());
            }
            Ok(Err(error)) => return Answer::Failed(error.to_string()),
        };
        let addresses: Vec<Ipv4Addr> = lookup
            .as_lookup()
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(a.0),
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
                *current = Current::read();
            }
        }
        current.resolver.clone()
    }
}

fn build() -> Result<TokioResolver, String> {
    let mut builder =
        TokioResolver::builder_tokio().map_err(|error| format!("system configuration: {error}"))?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4Only;
    options.positive_min_ttl = None;
    // Each name has one task that waits for its TTL: a cache would only delay what it asks for.
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
