//! One worker's session: reads what the worker says, reads the topics, writes frames. All rules are in
//! [`State`](super::state::State); here are the sockets and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_proto::link::v1 as wire;
use portcullis_proto::link::v1::control_frame::Frame as Down;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::link::v1::worker_frame::Frame as Up;
use portcullis_proto::table::v1::EndpointSet;
use portcullis_shared::transport::PeerIdentity;
use portcullis_shared::version::{Digest, Version};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tonic::{Status, Streaming};

use super::end::{End, RESETS, SILENCE};
use super::frames::{Frames, bytes_of};
use super::server::Link;
use super::state::{Refusal, State};
use super::{Acknowledged, Target, Worker};
use crate::compile::{Body, Key, Table, TableEntry};
use crate::ordered::Ordered;

/// How often both sides say that they live.
const BEAT: Duration = Duration::from_secs(2);
/// Hello and Have must be complete by then.
const GREETING: Duration = Duration::from_secs(10);
/// How long the worker may take to take one frame.
const WRITE: Duration = Duration::from_secs(30);
/// More resources than any table has: a worker that lists more is confused.
const HAVE_LIMIT: usize = 1 << 20;
/// When a worker should come back after a Goodbye.
const RETRY_MS: u64 = 200;

/// A session before and while it runs.
pub(super) struct Session {
    link: Link,
    number: u64,
    peer: PeerIdentity,
    inbound: Streaming<wire::WorkerFrame>,
    outbound: mpsc::Sender<Result<wire::ControlFrame, Status>>,
}

impl Session {
    pub(super) fn new(
        link: Link,
        number: u64,
        peer: PeerIdentity,
        inbound: Streaming<wire::WorkerFrame>,
        outbound: mpsc::Sender<Result<wire::ControlFrame, Status>>,
    ) -> Self {
        Self { link, number, peer, inbound, outbound }
    }

    /// Runs to the end and says why it ended.
    pub(super) async fn run(mut self) {
        let end = match timeout(GREETING, self.greet()).await {
            Err(_) => End::Protocol(format!("no complete Hello and Have within {} s", GREETING.as_secs())),
            Ok(Err(end)) => end,
            Ok(Ok((hello, held))) => {
                let worker = Worker {
                    session: self.number,
                    id: hello.worker_id.into(),
                    proxy: hello.proxy_name.into(),
                    pid: hello.pid,
                    build: hello.build,
                    admin_address: hello.admin_address,
                    connected: SystemTime::now(),
                    acknowledged: None,
                    refused: Arc::default(),
                    listener_errors: Vec::new(),
                    draining: false,
                    active_connections: 0,
                };
                tracing::info!(worker = %worker.id, proxy = %worker.proxy, peer = %self.peer, resources = held.len(), "worker connected");
                let mut running = Running::new(&mut self, worker, held);
                let end = running.run().await;
                tracing::info!(worker = %running.worker.id, reason = %end, "worker disconnected");
                end
            }
        };
        if let End::Protocol(_) | End::Forbidden(_) | End::Answer(_) | End::Frame(_) | End::Drift = end {
            tracing::warn!(peer = %self.peer, error = %end, "session refused");
        }
        if let Some(status) = end.status() {
            // The worker may be gone already; then its end of the stream says so.
            let _ = timeout(WRITE, self.outbound.send(Err(status))).await;
        }
    }

    /// Hello, then everything that the worker has.
    async fn greet(&mut self) -> Result<(wire::Hello, Vec<(Key, Digest)>), End> {
        let Up::Hello(hello) = self.read().await? else {
            return Err(End::Protocol("the first frame must be Hello".to_owned()));
        };
        if hello.worker_id.is_empty() || hello.proxy_name.is_empty() {
            return Err(End::Protocol("Hello needs worker_id and proxy_name".to_owned()));
        }
        if !self.peer.may_be(&hello.proxy_name) {
            return Err(End::Forbidden(format!("{} may not be a worker of {}", self.peer, hello.proxy_name)));
        }
        let mut held = Vec::new();
        loop {
            let Up::Have(have) = self.read().await? else {
                return Err(End::Protocol("Hello must be followed by Have frames up to the last".to_owned()));
            };
            for resource in have.resources {
                let digest = Digest::from_slice(&resource.digest)
                    .ok_or_else(|| End::Protocol(format!("digest of {} is not 16 bytes", resource.name)))?;
                held.push(((resource.kind, resource.name.into()), digest));
            }
            if held.len() > HAVE_LIMIT {
                return Err(End::Protocol(format!("more than {HAVE_LIMIT} resources in Have")));
            }
            if have.last {
                return Ok((hello, held));
            }
        }
    }

    async fn read(&mut self) -> Result<Up, End> {
        match self.inbound.message().await {
            Ok(Some(wire::WorkerFrame { frame: Some(frame) })) => Ok(frame),
            Ok(Some(wire::WorkerFrame { frame: None })) => {
                Err(End::Protocol("a frame of a kind that control does not know".to_owned()))
            }
            Ok(None) => Err(End::Closed),
            Err(status) => Err(End::Stream(status.message().to_owned())),
        }
    }

    async fn write(&self, frame: Down) -> Result<(), End> {
        let frame = wire::ControlFrame { frame: Some(frame) };
        match timeout(WRITE, self.outbound.send(Ok(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Err(End::Stuck),
        }
    }
}

/// A greeted session.
struct Running<'a> {
    session: &'a mut Session,
    worker: Worker,
    state: State,
    /// Sequence of the endpoint set that was sent last, by upstream.
    endpoints: BTreeMap<Arc<str>, u64>,
    /// The sets that were looked at last.
    looked_at: Ordered<Arc<str>, Arc<EndpointSet>>,
    /// The newest table.
    offered: Arc<Table>,
    /// Upstreams of it whose endpoints come on the endpoint lane.
    dynamic: BTreeSet<Arc<str>>,
    /// Those that were not among them when sets were looked at last.
    fresh: Vec<Arc<str>>,
    synced: bool,
}

impl<'a> Running<'a> {
    fn new(session: &'a mut Session, worker: Worker, held: Vec<(Key, Digest)>) -> Self {
        session.link.metrics.session_began();
        Self {
            session,
            worker,
            state: State::new(held),
            endpoints: BTreeMap::new(),
            looked_at: Ordered::default(),
            offered: Arc::default(),
            dynamic: BTreeSet::new(),
            fresh: Vec::new(),
            synced: false,
        }
    }

    async fn run(&mut self) -> End {
        self.report();
        match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let topics = self.session.link.topics.clone();
        let (mut tables, mut endpoints) = (topics.tables.subscribe(), topics.endpoints.subscribe());
        let mut stopping = topics.stopping.subscribe();
        tables.mark_changed();
        let welcome = wire::Welcome {
            session_id: format!("{}/{}", self.worker.id, self.worker.session),
            epoch: self.session.link.epoch,
            beat_interval_ms: u64::try_from(BEAT.as_millis()).unwrap_or(u64::MAX),
            protocol_minor: 0,
        };
        self.session.write(Down::Welcome(welcome)).await?;
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                changed = tables.changed() => {
                    changed?;
                    let published = tables.borrow_and_update().clone();
                    if let Some(published) = published {
                        self.offer(published.target(&self.worker.proxy));
                    }
                }
                changed = endpoints.changed() => {
                    changed?;
                    endpoints.mark_unchanged();
                    self.write_endpoints().await?;
                }
                frame = self.session.read() => {
                    heard = Instant::now();
                    self.hear(frame?)?;
                }
                _ = beat.tick() => {
                    let table_digest = bytes_of(&self.state.digest());
                    self.session.write(Down::Beat(wire::ControlBeat { table_digest })).await?;
                }
                () = sleep_until(heard + SILENCE) => return Err(End::Silent),
                stop = async { stopping.wait_for(|stop| *stop).await.map(drop) } => {
                    stop?;
                    let goodbye = wire::Goodbye { reason: "control is stopping".to_owned(), retry_after_ms: RETRY_MS };
                    self.session.write(Down::Goodbye(goodbye)).await?;
                    return Err(End::Stopping);
                }
            }
            self.advance().await?;
        }
    }

    fn offer(&mut self, target: Target) {
        self.offered.entries.compare(&target.table.entries, |key, was, is| {
            let (was, is) = (was.is_some_and(is_dynamic), is.is_some_and(is_dynamic));
            if is && !was {
                self.dynamic.insert(Arc::clone(&key.1));
                self.fresh.push(Arc::clone(&key.1));
            } else if was && !is {
                self.dynamic.remove(&key.1);
                self.endpoints.remove(&key.1);
            }
        });
        self.offered = Arc::clone(&target.table);
        self.state.offer(target);
    }

    /// Sends what is due: endpoints first, so that a new upstream does not answer 503 until they come.
    async fn advance(&mut self) -> Result<(), End> {
        if self.state.resets() > RESETS {
            return Err(End::Drift);
        }
        let Some(plan) = self.state.next_plan() else { return Ok(()) };
        if plan.reset {
            self.endpoints.clear();
            self.looked_at = Ordered::default();
        }
        self.write_endpoints().await?;
        let (version, reset) = (plan.target.version, plan.reset);
        tracing::debug!(worker = %self.worker.id, %version, reset, upserts = plan.upserts.len(), removes = plan.removes.len(), "sending a delta");
        for delta in Frames::new(plan) {
            self.session.write(Down::Delta(delta?)).await?;
        }
        if !self.synced {
            self.synced = true;
            self.session.write(Down::Synced(wire::Synced {})).await?;
        }
        Ok(())
    }

    async fn write_endpoints(&mut self) -> Result<(), End> {
        let known = self.session.link.topics.endpoints.borrow().clone();
        let mut due: Vec<(Arc<str>, Arc<EndpointSet>)> = Vec::new();
        for upstream in self.fresh.drain(..) {
            due.extend(known.sets.get(&upstream).map(|set| (upstream, Arc::clone(set))));
        }
        self.looked_at.compare(&known.sets, |upstream, was, is| {
            let Some(set) = is else { return };
            if !was.is_some_and(|was| Arc::ptr_eq(was, set)) {
                due.push((Arc::clone(upstream), Arc::clone(set)));
            }
        });
        self.looked_at = known.sets.clone();
        for (upstream, set) in due {
            let sent = self.endpoints.get(&upstream).is_some_and(|sent| *sent >= set.sequence);
            if sent || !self.dynamic.contains(&upstream) {
                continue;
            }
            self.endpoints.insert(upstream, set.sequence);
            self.session.write(Down::Endpoints(set.as_ref().clone())).await?;
        }
        Ok(())
    }

    fn hear(&mut self, frame: Up) -> Result<(), End> {
        match frame {
            Up::Ack(ack) => {
                self.state.answered(version(ack.version)?, [])?;
                self.answered();
            }
            Up::Nack(nack) => {
                let version = version(nack.version)?;
                self.session.link.metrics.nack();
                if nack.table_digest_mismatch {
                    tracing::warn!(worker = %self.worker.id, %version, "the worker got another table digest; sending everything");
                    self.state.mismatch(version)?;
                    self.session.link.metrics.reset();
                } else {
                    let refused: Vec<(Key, Refusal)> =
                        nack.rejected.into_iter().filter_map(refusal).collect();
                    for ((_, name), refusal) in &refused {
                        tracing::warn!(worker = %self.worker.id, resource = %name, path = %refusal.path, reason = %refusal.reason, "the worker refused a resource");
                    }
                    self.state.answered(version, refused)?;
                    self.answered();
                }
            }
            Up::Beat(beat) => {
                if let Some(digest) = Digest::from_slice(&beat.table_digest)
                    && self.state.beat(digest)
                {
                    tracing::warn!(worker = %self.worker.id, "the worker's table drifted; sending everything");
                    self.session.link.metrics.reset();
                }
                let errors: Vec<_> =
                    beat.listener_errors.into_iter().map(|e| (e.listener, e.reason)).collect();
                let same = errors == self.worker.listener_errors
                    && beat.draining == self.worker.draining
                    && beat.active_connections == self.worker.active_connections;
                if !same {
                    self.worker.listener_errors = errors;
                    self.worker.draining = beat.draining;
                    self.worker.active_connections = beat.active_connections;
                    self.report();
                }
            }
            Up::Hello(_) | Up::Have(_) => {
                return Err(End::Protocol("Hello and Have are for the beginning of a session".to_owned()));
            }
        }
        Ok(())
    }

    fn answered(&mut self) {
        self.worker.acknowledged = self
            .state
            .acknowledged()
            .map(|target| Acknowledged { version: target.version, table: Arc::clone(&target.table) });
        self.worker.refused = Arc::new(self.state.refused().clone());
        self.report();
    }

    /// Puts what is known of the worker on the rollout topic, unless a newer session of it is there.
    fn report(&self) {
        self.session.link.topics.rollout.send_if_modified(|rollout| {
            if rollout.get(&self.worker.id).is_some_and(|other| other.session > self.worker.session) {
                return false;
            }
            Arc::make_mut(rollout).insert(Arc::clone(&self.worker.id), Arc::new(self.worker.clone()));
            true
        });
    }

    /// Takes the worker off the rollout topic.
    fn leave(&self) {
        self.session.link.topics.rollout.send_if_modified(|rollout| {
            let own = rollout.get(&self.worker.id).is_some_and(|other| other.session == self.worker.session);
            if own {
                Arc::make_mut(rollout).remove(&self.worker.id);
            }
            own
        });
    }
}

impl Drop for Running<'_> {
    // A session that is cancelled or panics must not be listed for ever.
    fn drop(&mut self) {
        self.session.link.metrics.session_ended();
        self.leave();
    }
}

fn version(version: Option<wire::Version>) -> Result<Version, End> {
    version.map(Version::from).ok_or_else(|| End::Protocol("an answer without a version".to_owned()))
}

fn refusal(rejected: wire::Rejected) -> Option<(Key, Refusal)> {
    let id = rejected.resource?;
    Some(((id.kind, id.name.into()), Refusal { path: rejected.path, reason: rejected.reason }))
}

fn is_dynamic(entry: &Arc<TableEntry>) -> bool {
    matches!(&entry.body, Body::Upsert(Resource::Upstream(upstream)) if upstream.dynamic_endpoints)
}
