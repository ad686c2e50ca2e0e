//! The hosts that a listener's requests have named: each an upstream of its own, made when it is first asked for,
//! looked up again while it is in use, forgotten when it is not.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use portcullis_proto::table::v1 as wire;
use portcullis_shared::dns::{Answer, Family, Resolver, Servers};
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
    /// How long a host that was not found is not asked for, at first and at most; none = the next request asks.
    pub(super) failure: Option<(Duration, Duration)>,
    pub(super) servers: Servers,
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
    /// From Host or `:authority`; without a port it is `usual`.
    pub(super) fn parse(authority: &str, usual: u16) -> Option<Self> {
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
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
        (!host.is_empty() && host.len() <= 253).then(|| Self { host: host.to_ascii_lowercase().into(), port })
    }
}

/// What all hosts are like but for their addresses; none = plain text without limits of their own.
pub(super) type Like = Option<Arc<Upstream>>;

/// The upstream of a host, and what it was made like.
#[derive(Debug, Clone)]
struct Made {
    upstream: Arc<Upstream>,
    like: Like,
}

#[derive(Debug)]
struct Known {
    /// None while it is looked up for the first time.
    made: ArcSwap<Option<Made>>,
    /// Lookups that found nothing, one after the other.
    failures: AtomicU32,
    /// Before then it is not looked up again.
    again: AtomicU64,
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
    /// It was not found a short while ago.
    Absent,
}

impl Hosts {
    /// `names` are looked up at once.
    pub(super) fn new(settings: Settings, names: &[Name]) -> Arc<Self> {
        let hosts = Arc::new(Self {
            resolver: Resolver::with(settings.family, settings.servers.clone()),
            settings,
            known: ArcSwap::default(),
            pending: AtomicUsize::new(0),
            start: Instant::now(),
        });
        // Tables are also built where there is no runtime; then the first request asks.
        if tokio::runtime::Handle::try_current().is_ok() {
            for name in names {
                hosts.find(name, &None);
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
        like: &Like,
    ) -> Found<impl Future<Output = Result<Arc<Upstream>, Failure>> + Send + use<>> {
        let now = self.now();
        let known = match self.known.load().get(name) {
            Some(known) => known.clone(),
            None => match self.add(name, like, now) {
                Some(known) => known,
                None => return Found::Full,
            },
        };
        known.used.store(now, Ordering::Relaxed);
        if let Some(made) = &**known.made.load() {
            let age = Duration::from_millis(now.saturating_sub(known.looked.load(Ordering::Relaxed)));
            if age >= self.settings.refresh && !known.looking.swap(true, Ordering::AcqRel) {
                self.look(name.clone(), known.clone(), like.clone());
            }
            return Found::Ready(known.current(made, like));
        }
        // Only where failures are remembered. The channel is not to be held while a lookup begins.
        let failed = matches!(&*known.first.borrow(), Some(Err(_)));
        if failed {
            if now < known.again.load(Ordering::Relaxed) {
                return Found::Absent;
            }
            if !known.looking.swap(true, Ordering::AcqRel) {
                self.look(name.clone(), known.clone(), like.clone());
            }
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
    fn add(self: &Arc<Self>, name: &Name, like: &Like, now: u64) -> Option<Arc<Known>> {
        let fresh = Arc::new(Known {
            made: ArcSwap::default(),
            failures: AtomicU32::new(0),
            again: AtomicU64::new(0),
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
            self.look(name.clone(), fresh, like.clone());
        }
        Some(there)
    }

    fn look(self: &Arc<Self>, name: Name, known: Arc<Known>, like: Like) {
        let hosts = self.clone();
        known.first.send_if_modified(|first| {
            let failed = matches!(first, Some(Err(_)));
            if failed {
                *first = None;
            }
            failed
        });
        self.pending.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let addresses = hosts.addresses(&name).await;
            hosts.pending.fetch_sub(1, Ordering::Relaxed);
            hosts.looked_up(&name, &known, like, addresses);
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
    fn looked_up(&self, name: &Name, known: &Arc<Known>, like: Like, addresses: Option<Vec<IpAddr>>) {
        let before = known.made.load();
        let former = before.as_ref().as_ref().map(|made| &*made.upstream);
        let found = addresses.and_then(|list| upstream(name, &list, like.as_deref(), former));
        known.looked.store(self.now(), Ordering::Relaxed);
        match (&found, self.settings.failure) {
            (Some(found), _) => {
                known.failures.store(0, Ordering::Relaxed);
                known.made.store(Arc::new(Some(Made { upstream: found.clone(), like })));
            }
            (None, _) if before.is_some() => {}
            (None, Some((base, most))) => {
                let times = known.failures.fetch_add(1, Ordering::Relaxed).min(16);
                let wait = base.saturating_mul(1 << times).min(most.max(base));
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                known.again.store(self.now().saturating_add(wait), Ordering::Relaxed);
            }
            (None, None) => self.forget(name, known),
        }
        known.looking.store(false, Ordering::Release);
        known.first.send_replace(Some(found.ok_or(Failure::Lookup)));
    }

    /// The next request asks again.
    fn forget(&self, name: &Name, known: &Arc<Known>) {
        self.known.rcu(|all| {
            let mut all = HashMap::clone(all);
            if all.get(name).is_some_and(|there| Arc::ptr_eq(there, known)) {
                all.remove(name);
            }
            all
        });
    }
}

impl Known {
    /// The upstream as it is to be now: certificates and limits may be others than when it was looked up.
    fn current(&self, made: &Made, like: &Like) -> Arc<Upstream> {
        let same = match (&made.like, like) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let Some(like_now) = like.as_ref().filter(|_| !same) else { return made.upstream.clone() };
        let endpoints = made.upstream.endpoints();
        let list: Vec<table::Endpoint> = endpoints.list().iter().map(|one| one.config()).collect();
        let upstream = Arc::new(like_now.with_endpoints(&list, Some(&made.upstream)));
        self.made.store(Arc::new(Some(Made { upstream: upstream.clone(), like: like.clone() })));
        upstream
    }
}

fn upstream(
    name: &Name,
    addresses: &[IpAddr],
    like: Option<&Upstream>,
    before: Option<&Upstream>,
) -> Option<Arc<Upstream>> {
    if let Some(like) = like {
        let endpoints: Vec<table::Endpoint> = addresses
            .iter()
            .map(|address| table::Endpoint {
                address: SocketAddr::new(*address, name.port).into(),
                weight: 1,
                hostname: Some((*name.host).into()),
                sni: None,
                labels: Default::default(),
            })
            .collect();
        return Some(Arc::new(like.with_endpoints(&endpoints, before)));
    }
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
            failure: None,
            servers: Servers::default(),
        };
        Hosts::new(settings, &[])
    }

    fn name(text: &str) -> Name {
        Name::parse(text, 80).expect(text)
    }

    #[test]
    fn authorities_are_taken_apart() {
        assert_eq!(name("Example.COM"), Name { host: "example.com".into(), port: 80 });
        assert_eq!(name("a:8080"), Name { host: "a".into(), port: 8080 });
        assert_eq!(name("[::1]:81"), Name { host: "::1".into(), port: 81 });
        for bad in ["", ":80", "a:0", "a:x", "a:70000", "[::1", "[::1]81"] {
            assert_eq!(Name::parse(bad, 80), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_host_is_looked_up_once_and_then_known() {
        let hosts = hosts(1);
        let Found::Looking(first) = hosts.find(&name("127.0.0.1:9"), &None) else { panic!("known already") };
        let upstream = first.await.expect("an address");
        assert_eq!(upstream.endpoints().list()[0].address.to_string(), "127.0.0.1:9");
        assert!(
            matches!(hosts.find(&name("127.0.0.1:9"), &None), Found::Ready(again) if Arc::ptr_eq(&again, &upstream))
        );
        assert!(matches!(hosts.find(&name("127.0.0.1:10"), &None), Found::Full));
    }

    #[tokio::test]
    async fn a_host_without_an_address_is_asked_for_again() {
        let hosts = hosts(10);
        for _ in 0..2 {
            let Found::Looking(lookup) = hosts.find(&name("no.such.host.invalid"), &None) else {
                panic!("known")
            };
            assert!(matches!(lookup.await, Err(Failure::Lookup)));
        }
    }

    #[tokio::test]
    async fn a_host_that_was_not_found_is_left_alone_for_a_while_where_that_is_wanted() {
        let mut hosts = hosts(10);
        let patient = (Duration::from_secs(3600), Duration::from_secs(7200));
        Arc::get_mut(&mut hosts).expect("one owner").settings.failure = Some(patient);
        let Found::Looking(lookup) = hosts.find(&name("no.such.host.invalid"), &None) else {
            panic!("known")
        };
        assert!(matches!(lookup.await, Err(Failure::Lookup)));
        assert!(matches!(hosts.find(&name("no.such.host.invalid"), &None), Found::Absent));
        hosts.known.load().values().for_each(|known| known.again.store(0, Ordering::Relaxed));
        let Found::Looking(lookup) = hosts.find(&name("no.such.host.invalid"), &None) else {
            panic!("known")
        };
        assert!(matches!(lookup.await, Err(Failure::Lookup)));
        let known = hosts.known.load().values().next().cloned().expect("remembered");
        assert_eq!(known.failures.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn hosts_become_what_their_listener_wants_now() {
        let hosts = hosts(10);
        let like = |most: u32| {
            let breakers = wire::CircuitBreakers { max_connections: Some(most), ..Default::default() };
            let config = wire::Upstream {
                name: "like".into(),
                origin: Some(wire::Origin::default()),
                circuit_breakers: Some(breakers),
                ..Default::default()
            };
            let config = table::Upstream::try_from(config).expect("valid");
            Some(Arc::new(Upstream::build(&config, None, None)))
        };
        let (one, two) = (like(1), like(2));
        let address = name("127.0.0.1:9");
        let Found::Looking(first) = hosts.find(&address, &one) else { panic!("known already") };
        let limit = |upstream: &Upstream| upstream.breakers.limit(crate::upstream::Bound::Connections);
        assert_eq!(limit(&first.await.expect("an address")), 1);
        let Found::Ready(again) = hosts.find(&address, &two) else { panic!("not known") };
        assert_eq!((limit(&again), again.endpoints().list().len()), (2, 1));
        assert!(matches!(hosts.find(&address, &two), Found::Ready(same) if Arc::ptr_eq(&same, &again)));
    }
}
