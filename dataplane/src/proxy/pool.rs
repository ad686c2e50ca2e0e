//! The upstream connections of one data thread.
//!
//! Owns idle HTTP/1 connections, shared HTTP/2 connections, and the rule that requests which need a new HTTP/2
//! connection at once share one connect. Must not choose endpoints; must not hold a lock while it waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use pingora_core::connectors::http::v2::{ConnectionRef, H2HandshakeSettings, handshake};
use pingora_core::protocols::http::v2::client::Http2Session as H2;
use tokio::time::Instant;

use super::connect::{Dialed, Key, Target, dial};
use super::failure::{Failure, Kind};
use super::h1::{Among, Client, Open};
use super::limits;
use super::transport::Transport;
use crate::upstream::Bound;

struct Idle {
    client: Box<Client>,
    since: Instant,
    limit: Duration,
}

impl Idle {
    fn is_usable(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < self.limit && self.client.is_quiet()
    }
}

/// How much there is of the HTTP/1 connections of a target.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// With a request.
    pub(super) busy: usize,
    /// All, those included that are being made.
    pub(super) open: usize,
}

/// A connection that will be made in advance.
pub(super) struct Coming {
    open: Open,
    _among: Among,
}

impl Coming {
    pub(super) async fn connect(self, target: &Target) -> Result<Box<Client>, Failure> {
        let Dialed { io, .. } = dial(target).await?;
        Ok(Box::new(Client::new(io, self.open, &target.manner)))
    }
}

/// The HTTP/1 connections of one target.
#[derive(Default)]
struct Own {
    idle: Vec<Idle>,
    /// All that are open, in use or not.
    open: Arc<AtomicUsize>,
    /// Of these, those that are made in advance and not there yet.
    coming: Arc<AtomicUsize>,
}

struct Shared {
    conn: ConnectionRef,
    uses: AtomicU32,
    used: Mutex<Instant>,
    idle_limit: Duration,
}

impl Shared {
    fn is_usable(&self) -> bool {
        !self.conn.is_closed() && !self.conn.is_shutting_down()
    }
}

/// The HTTP/2 connections of one target.
#[derive(Default)]
struct Group {
    conns: Mutex<Vec<Arc<Shared>>>,
    /// Held by the one request that connects; its failure is the answer for those that came before it ended.
    gate: tokio::sync::Mutex<Option<(Instant, Failure)>>,
    open: Arc<AtomicUsize>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Pool {
    h1: Mutex<HashMap<Key, Own, RandomState>>,
    h2: Mutex<HashMap<Key, Arc<Group>>>,
    swept: AtomicBool,
    pub(super) shadows: super::shadow::Count,
}

/// A connection, or a stream of one, for one request.
pub(super) enum Lease {
    H1(Box<Client>),
    H2(Box<H2>),
}

impl Pool {
    /// An idle HTTP/1 connection, which costs no wait.
    pub(super) fn idle(&self, target: &Target, now: Instant) -> Option<Lease> {
        // While others wait for one, nobody passes them by.
        if target.http2 || target.breakers.is_short_of_connections() {
            return None;
        }
        self.take_idle(&target.key(), now).map(Lease::H1)
    }

    /// A lease, and whether its connection was used before. `fresh` asks for one that was not: a connection that looks
    /// alive may be dead, and the next one with it.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        target: &Target,
        fresh: bool,
    ) -> Result<(Lease, bool), Failure> {
        if !self.swept.swap(true, Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        if target.http2 {
            return self.acquire_h2(target, fresh).await;
        }
        let open = match self.open(target) {
            Some(open) => open,
            None => match target.breakers.wait_for_connection(|| self.idle_or_open(target, fresh)).await {
                Ok(client) => return Ok((Lease::H1(client), true)),
                Err(open) => open,
            },
        };
        let Dialed { io, .. } = dial(target).await?;
        Ok((Lease::H1(Box::new(Client::new(io, open, &target.manner))), false))
    }

    /// An idle connection, or leave to open one.
    fn idle_or_open(&self, target: &Target, fresh: bool) -> Option<Result<Box<Client>, Open>> {
        match self.take_idle(&target.key(), Instant::now()) {
            Some(client) if !fresh => Some(Ok(client)),
            // One that is not trusted makes room.
            idle => {
                drop(idle);
                self.open(target).map(Err)
            }
        }
    }

    /// Leave to open a connection: always where there is none to wait for.
    fn open(&self, target: &Target) -> Option<Open> {
        let mut pool = self.h1.lock();
        open_among(&pool.entry(target.key()).or_default().open, target)
    }

    /// The connection that was used last and is still open.
    fn take_idle(&self, key: &Key, now: Instant) -> Option<Box<Client>> {
        let mut pool = self.h1.lock();
        let idle = &mut pool.get_mut(key)?.idle;
        while let Some(mut one) = idle.pop() {
            if one.is_usable(now) {
                return Some(one.client);
            }
        }
        None
    }

    /// Takes back a connection whose request and answer are complete.
    pub(super) fn put_back(&self, target: &Target, client: Box<Client>) {
        if target.manner.max_requests.is_some_and(|max| client.uses >= max) {
            return;
        }
        let limit = idle_limit(target);
        let mut pool = self.h1.lock();
        let idle = &mut pool.entry(target.key()).or_default().idle;
        if idle.len() < limits::POOL_SIZE {
            idle.push(Idle { client, since: Instant::now(), limit });
        }
    }

    /// How much there is for `target`.
    pub(super) fn load(&self, target: &Target) -> Load {
        let pool = self.h1.lock();
        let Some(own) = pool.get(&target.key()) else { return Load::default() };
        let open = own.open.load(Relaxed);
        Load { busy: open.saturating_sub(own.idle.len() + own.coming.load(Relaxed)), open }
    }

    /// Leave to open a connection in advance.
    pub(super) fn coming(&self, target: &Target) -> Option<Coming> {
        let mut pool = self.h1.lock();
        let own = pool.entry(target.key()).or_default();
        let open = Open::among(&own.open, target.breakers.take(Bound::Connections)?);
        Some(Coming { open, _among: Among::of(&own.coming) })
    }

    /// Takes back what was not used.
    pub(super) fn give_back(&self, target: &Target, lease: Lease) {
        if let Lease::H1(client) = lease {
            self.put_back(target, client);
        }
    }

    async fn acquire_h2(&self, target: &Target, fresh: bool) -> Result<(Lease, bool), Failure> {
        let group = self.h2.lock().entry(target.key()).or_default().clone();
        let asked = Instant::now();
        if fresh {
            group.distrust();
        }
        if let Some(stream) = group.stream(target).await? {
            return Ok((Lease::H2(Box::new(stream)), true));
        }
        let mut gate = group.gate.lock().await;
        // Whoever had the gate before may have made a connection with room for this request, or failed for it too.
        if let Some(stream) = group.stream(target).await? {
            return Ok((Lease::H2(Box::new(stream)), true));
        }
        if let Some((at, failure)) = &*gate
            && *at >= asked
        {
            return Err(failure.clone());
        }
        let open = loop {
            // Whoever waits holds the gate: no one else would get further.
            let way =
                || open_among(&group.open, target).map(Some).or_else(|| group.has_room().then_some(None));
            let Some(open) = target.breakers.wait_for_connection(way).await else {
                match group.stream(target).await? {
                    Some(stream) => return Ok((Lease::H2(Box::new(stream)), true)),
                    None => continue,
                }
            };
            break open;
        };
        match group.connect(target, open).await {
            Ok(stream) => Ok((Lease::H2(Box::new(stream)), false)),
            Err(failure) => {
                *gate = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    fn sweep(&self) {
        self.h1.lock().retain(|_, own| {
            let now = Instant::now();
            own.idle.retain_mut(|one| one.is_usable(now));
            own.open.load(Relaxed) > 0
        });
        self.h2.lock().retain(|_, group| {
            let mut conns = group.conns.lock();
            conns.retain(|one| {
                one.is_usable() && !(one.conn.is_idle() && one.used.lock().elapsed() >= one.idle_limit)
            });
            // A group in use by an acquire has another owner.
            !conns.is_empty() || Arc::strong_count(group) > 1
        });
    }
}

impl Group {
    /// A stream on an existing connection, if one has room.
    async fn stream(&self, target: &Target) -> Result<Option<H2>, Failure> {
        loop {
            let shared = {
                let mut conns = self.conns.lock();
                conns.retain(|one| one.is_usable());
                conns.iter().find(|one| one.conn.more_streams_allowed()).cloned()
            };
            let Some(shared) = shared else { return Ok(None) };
            // A connection that just went away is not this request's failure: look for another one.
            if let Ok(Some(stream)) = shared.conn.spawn_stream().await {
                self.used(&shared, target);
                return Ok(Some(stream));
            }
            shared.conn.mark_shutdown();
        }
    }

    fn has_room(&self) -> bool {
        self.conns.lock().iter().any(|one| one.is_usable() && one.conn.more_streams_allowed())
    }

    /// Connections that served before are not used for new requests any more.
    fn distrust(&self) {
        self.conns.lock().iter().for_each(|one| one.conn.mark_shutdown());
    }

    fn used(&self, shared: &Arc<Shared>, target: &Target) {
        *shared.used.lock() = Instant::now();
        let uses = shared.uses.fetch_add(1, Relaxed).saturating_add(1);
        if target.manner.max_requests.is_some_and(|max| uses >= max) {
            shared.conn.mark_shutdown();
        }
    }

    async fn connect(&self, target: &Target, open: Open) -> Result<H2, Failure> {
        let Dialed { io, fd } = dial(target).await?;
        let mut settings = H2HandshakeSettings::new();
        let http = &target.manner.http;
        let streams = http.max_concurrent_streams.and_then(|most| usize::try_from(most).ok());
        settings.max_streams = streams.unwrap_or(limits::H2_STREAMS);
        settings.stream_window_size = http.stream_window.or(Some(limits::H2_STREAM_WINDOW));
        settings.connection_window_size = http.connection_window.or(Some(limits::H2_CONNECTION_WINDOW));
        let failed = |error: Box<pingora_error::Error>| Failure::new(Kind::Connect, error.to_string());
        let conn = handshake(Box::new(Transport::new(io, fd, open)), settings).await.map_err(failed)?;
        let stream = conn
            .spawn_stream()
            .await
            .map_err(failed)?
            .ok_or_else(|| Failure::new(Kind::Connect, "the upstream allows no stream"))?;
        let used = Mutex::new(Instant::now());
        let shared = Arc::new(Shared { conn, uses: AtomicU32::new(0), used, idle_limit: idle_limit(target) });
        self.used(&shared, target);
        self.conns.lock().push(shared);
        Ok(stream)
    }
}

/// Leave to open one more connection, of those that are counted here.
fn open_among(count: &Arc<AtomicUsize>, target: &Target) -> Option<Open> {
    let slot = target.breakers.take(Bound::Connections);
    let slot = slot.or_else(|| {
        // A thread that waited without a connection of its own would wait for ever.
        (count.load(Relaxed) == 0).then(|| target.breakers.take_anyway(Bound::Connections))
    })?;
    Some(Open::among(count, slot))
}

/// How long a connection may lie idle.
fn idle_limit(target: &Target) -> Duration {
    match target.manner.idle_timeout {
        None => limits::POOL_IDLE,
        Some(limit) => limit.unwrap_or(limits::FOREVER),
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(limits::POOL_SWEEP).await;
        match pool.upgrade() {
            Some(pool) => pool.sweep(),
            None => return,
        }
    }
}
