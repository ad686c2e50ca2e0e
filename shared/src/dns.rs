//! Asks DNS, with the system's configuration or with servers of a user's own.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::system_conf::read_system_conf;
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

/// What stands in for the system's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// Asked in place of the system's, unless empty.
    pub addresses: Vec<SocketAddr>,
    /// Never by UDP.
    pub tcp: bool,
    /// Without the system's search domains.
    pub no_search: bool,
}

/// A resolver that follows changes of `/etc/resolv.conf` and `/etc/hosts`. Cheap to clone. Keeps nothing: who asks
/// knows how long an answer is good for.
#[derive(Clone)]
pub struct Resolver {
    family: Family,
    servers: Arc<Servers>,
    current: Arc<Mutex<Current>>,
}

struct Current {
    resolver: Result<TokioResolver, String>,
    stamps: Stamps,
    looked: Instant,
}

impl Current {
    fn read(family: Family, servers: &Servers) -> Self {
        Self { resolver: build(family, servers), stamps: stamps(), looked: Instant::now() }
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
        Self::with(family, Servers::default())
    }

    /// As [`Resolver::system`], with `servers` in place of what is there.
    #[must_use]
    pub fn with(family: Family, servers: Servers) -> Self {
        let current = Arc::new(Mutex::new(Current::read(family, &servers)));
        Self { family, servers: Arc::new(servers), current }
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
                *current = Current::read(self.family, &self.servers);
            }
        }
        current.resolver.clone()
    }
}

fn build(family: Family, servers: &Servers) -> Result<TokioResolver, String> {
    let (config, options) = match read_system_conf() {
        Ok((config, options)) => (config, options),
        Err(error) if servers.addresses.is_empty() => return Err(format!("system configuration: {error}")),
        Err(_) => (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default()),
    };
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(configured(config, servers), provider);
    *builder.options_mut() = options;
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

fn configured(config: ResolverConfig, servers: &Servers) -> ResolverConfig {
    let (mut domain, mut search, mut asked) = config.into_parts();
    if servers.no_search {
        (domain, search) = (None, Vec::new());
    }
    if !servers.addresses.is_empty() {
        asked = servers.addresses.iter().map(name_server).collect();
    }
    if servers.tcp {
        for server in &mut asked {
            server.connections.retain(|connection| matches!(connection.protocol, ProtocolConfig::Tcp));
        }
    }
    ResolverConfig::from_parts(domain, search, asked)
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// Two small files on the local disk: looked at without a detour over another thread.
fn stamps() -> Stamps {
    FILES.map(|file| {
        let meta = std::fs::metadata(Path::new(file)).ok()?;
        Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size()))
    })
}
