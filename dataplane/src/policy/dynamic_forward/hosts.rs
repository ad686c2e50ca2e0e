//! The hosts that a listener's requests have named: each an upstream of its own, made when it is first asked for,
//! looked up again while it is in use, forgotten when it is not.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::dns::{Answer, Family, Resolver};
use portcullis_shared::table;
use tokio::sync::watch;

use crate::upstream::Upstream;

/// Name of all these upstreams in logs and metrics.
const UPSTREAM: &str = "dynamic_forward_proxy";

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) family: Family,
    /// A host in use is looked up again this often.
    pub(super) refresh: Duration,
    /// A host that is not asked for so long is forgotten.
    pub(super) host_ttl: Duration,
    pub(super) query_timeout: Duration,
    pub(super) max_hosts: usize,
    /// First lookups at one time.
    pub(super) max_pending: usize,
}

/// Why a request cannot be sent on.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// It names no host.
    Name,
    /// The host has no address.
    Lookup,
    /// There are too many others.
    Full,
}

/// A host and a port, the former in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    host: Box<str>,
    port: u16,
}

impl Name {
    /// From Host or `:authority`; without a port it is 80.
    pub(super) fn parse(authority: &str) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Some(80), |port| port.parse().ok().filter(|port| *port > 0))?;
        (!host.is_empty() && host.len() <= 253).then(|| Self { host: host.to_ascii_lowercase().into(), port })
    }
}

#[derive(Debug)]
struct Known {
    /// None while it is looked up for the first time.
    upstream: ArcSwap<Option<Arc<Upstream>>>,
    /// Milliseconds since the start of the cache.
    used: AtomicU64,
    looked: AtomicU64,
    looking: AtomicBool,
    first: watch::Sender<Option<Result<Arc<Upstream>, Failure>>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Hosts {
    settings: Settings,
    resolver: Resolver,
    known: ArcSwap<HashMap<Name, Arc<Known>>>,
    pending: AtomicUsize,
    start: Instant,
}

/// What is known of a host.
pub(super) enum Found<F> {
    Ready(Arc<Upstream>),
    /// It is being looked up.
    Looking(F),
    /// No more hosts can be remembered.
    Full,
}

impl Hosts {
    /// `names` are looked up at once.
    pub(super) fn new(settings: Settings, names: &[Name]) -> Arc<Self> {
        let hosts = Arc::new(Self {
            resolver: Resolver::system(settings.family),
            settings,
            known: ArcSwap::default(),
            pending: AtomicUsize::new(0),
            start: Instant::now(),
        });
        // Tables are also built where there is no runtime; then the first request asks.
        if tokio::runtime::Handle::try_current().is_ok() {
            for name in names {
                hosts.find(name);
            }
        }
        hosts
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The upstream of a host.
    pub(super) fn find(
        self: &Arc<Self>,
        name: &Name,
    ) -> Found<impl Future<Output = Result<Arc<Upstream>, Failure>> + Send + use<>> {
        let now = self.now();
        let known = match self.known.load().get(name) {
            Some(known) => known.clone(),
            None => match self.add(name, now) {
                Some(known) => known,
                None => return Found::Full,
            },
        };
        known.used.store(now, Ordering::Relaxed);
        if let Some(upstream) = &**known.upstream.load() {
            let age = Duration::from_millis(now.saturating_sub(known.looked.load(Ordering::Relaxed)));
            if age >= self.settings.refresh && !known.looking.swap(true, Ordering::AcqRel) {
                self.look(name.clone(), known.clone());
            }
            return Found::Ready(upstream.clone());
        }
        let mut first = known.first.subscribe();
        Found::Looking(async move {
            match first.wait_for(Option::is_some).await {
                Ok(found) => found.clone().unwrap_or(Err(Failure::Lookup)),
                Err(_) => Err(Failure::Lookup),
            }
        })
    }

    /// Remembers one more host and has it looked up.
    fn add(self: &Arc<Self>, name: &Name, now: u64) -> Option<Arc<Known>> {
        let fresh = Arc::new(Known {
            upstream: ArcSwap::default(),
            used: AtomicU64::new(now),
            looked: AtomicU64::new(now),
            looking: AtomicBool::new(true),
            first: watch::channel(None).0,
        });
        let ttl = u64::try_from(self.settings.host_ttl.as_millis()).unwrap_or(u64::MAX);
        if self.pending.load(Ordering::Relaxed) >= self.settings.max_pending {
            return None;
        }
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.retain(|_, known| now.saturating_sub(known.used.load(Ordering::Relaxed)) < ttl);
            if known.len() < self.settings.max_hosts {
                known.entry(name.clone()).or_insert_with(|| fresh.clone());
            }
            known
        });
        let there = self.known.load().get(name).cloned()?;
        if Arc::ptr_eq(&there, &fresh) {
            self.look(name.clone(), fresh);
        }
        Some(there)
    }

    fn look(self: &Arc<Self>, name: Name, known: Arc<Known>) {
        let hosts = self.clone();
        self.pending.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let addresses = hosts.addresses(&name).await;
            hosts.pending.fetch_sub(1, Ordering::Relaxed);
            hosts.looked_up(&name, &known, addresses);
        });
    }

    async fn addresses(&self, name: &Name) -> Option<Vec<IpAddr>> {
        if let Ok(address) = name.host.parse() {
            return Some(vec![address]);
        }
        match self.resolver.look_up(&name.host, self.settings.query_timeout).await {
            Answer::Addresses(list, _) if !list.is_empty() => Some(list),
            Answer::Addresses(..) | Answer::Absent(_) => None,
            Answer::Failed(reason) => {
                tracing::debug!(host = %name.host, reason, "the host cannot be looked up");
                None
            }
        }
    }

    /// Takes an answer. A host that was found once keeps its addresses when it is not found again.
    fn looked_up(&self, name: &Name, known: &Arc<Known>, addresses: Option<Vec<IpAddr>>) {
        let before = known.upstream.load();
        let found = addresses.and_then(|list| upstream(name, &list, before.as_ref().as_deref()));
        known.looked.store(self.now(), Ordering::Relaxed);
        known.looking.store(false, Ordering::Release);
        if let Some(found) = &found {
            known.upstream.store(Arc::new(Some(found.clone())));
        } else if before.is_none() {
            // The next request asks again.
            self.known.rcu(|all| {
                let mut all = HashMap::clone(all);
                if all.get(name).is_some_and(|there| Arc::ptr_eq(there, known)) {
                    all.remove(name);
                }
                all
            });
        }
        known.first.send_replace(Some(found.ok_or(Failure::Lookup)));
    }
}

fn upstream(name: &Name, addresses: &[IpAddr], before: Option<&Upstream>) -> Option<Arc<Upstream>> {
    let endpoint = |address: &IpAddr| wire::Endpoint {
        address: address.to_string(),
        port: u32::from(name.port),
        weight: 1,
        hostname: name.host.to_string(),
        ..wire::Endpoint::default()
    };
    let config = wire::Upstream {
        name: UPSTREAM.to_owned(),
        origin: Some(wire::Origin { kind: "Gateway".to_owned(), ..wire::Origin::default() }),
        endpoints: addresses.iter().map(endpoint).collect(),
        ..wire::Upstream::default()
    };
    let config = table::Upstream::try_from(config)
        .inspect_err(|invalid| tracing::error!(%invalid, "an upstream for a host cannot be made"))
        .ok()?;
    Some(Arc::new(Upstream::build(&config, None, before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(max_hosts: usize) -> Arc<Hosts> {
        let settings = Settings {
            family: Family::V4First,
            refresh: Duration::from_secs(60),
            host_ttl: Duration::from_secs(300),
            query_timeout: Duration::from_secs(5),
            max_hosts,
            max_pending: 10,
        };
        Hosts::new(settings, &[])
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    #[test]
    fn authorities_are_taken_apart() {
        assert_eq!(name("Example.COM"), Name { host: "example.com".into(), port: 80 });
        assert_eq!(name("a:8080"), Name { host: "a".into(), port: 8080 });
        assert_eq!(name("[::1]:81"), Name { host: "::1".into(), port: 81 });
        for bad in ["", ":80", "a:0", "a:x", "a:70000", "[::1", "[::1]81"] {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_host_is_looked_up_once_and_then_known() {
        let hosts = hosts(1);
        let Found::Looking(first) = hosts.find(&name("127.0.0.1:9")) else { panic!("known already") };
        let upstream = first.await.expect("an address");
        assert_eq!(upstream.endpoints().list()[0].address.to_string(), "127.0.0.1:9");
        assert!(
            matches!(hosts.find(&name("127.0.0.1:9")), Found::Ready(again) if Arc::ptr_eq(&again, &upstream))
        );
        assert!(matches!(hosts.find(&name("127.0.0.1:10")), Found::Full));
    }

    #[tokio::test]
    async fn a_host_without_an_address_is_asked_for_again() {
        let hosts = hosts(10);
        for _ in 0..2 {
            let Found::Looking(lookup) = hosts.find(&name("no.such.host.invalid")) else { panic!("known") };
            assert!(matches!(lookup.await, Err(Failure::Lookup)));
        }
    }
}
