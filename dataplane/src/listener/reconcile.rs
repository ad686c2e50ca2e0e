//! The sockets of one data thread: what is bound, what should be, and the way from one to the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::Backoff;
use portcullis_shared::table::SocketOption;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::accept;
use super::bind::{bind, explain};
use super::serve::serve;
use super::thread::Context;
use crate::proxy::Engine;
use crate::runtime::{Listener, Runtime};

/// Waits between tries to bind a port that is in use.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A socket with its connections.
struct Bound {
    /// Stop accepting.
    stop: CancellationToken,
    /// Its connections end after their current requests.
    drain: watch::Sender<bool>,
    /// Its connections end now.
    kill: CancellationToken,
    connections: TaskTracker,
    /// What its socket was opened with.
    options: Arc<[SocketOption]>,
}

/// A socket that could not be bound.
struct Failed {
    again: Instant,
    backoff: Backoff,
}

/// The thread's sockets.
pub struct Sockets {
    context: Arc<Context>,
    thread: usize,
    engine: Arc<Engine>,
    bound: BTreeMap<SocketAddr, Bound>,
    failed: BTreeMap<SocketAddr, Failed>,
    /// Every connection, also those whose listener is gone.
    all: TaskTracker,
}

impl Sockets {
    pub fn new(context: Arc<Context>, thread: usize, engine: Arc<Engine>) -> Self {
        Self {
            context,
            thread,
            engine,
            bound: BTreeMap::new(),
            failed: BTreeMap::new(),
            all: TaskTracker::new(),
        }
    }

    /// Binds what `runtime` has and is not bound yet, retires what it has no more. Every other listener is left alone.
    pub fn reconcile(&mut self, runtime: &Runtime) {
        let wanted: BTreeMap<SocketAddr, &Arc<Listener>> =
            runtime.listeners().iter().map(|listener| (listener.address, listener)).collect();
        let gone: Vec<SocketAddr> =
            self.bound.keys().filter(|at| !wanted.contains_key(at)).copied().collect();
        for address in gone {
            if let Some(bound) = self.bound.remove(&address) {
                self.context.board.forget(self.thread, address);
                bound.retire(self.context.drain_timeout);
            }
        }
        let gone: Vec<SocketAddr> =
            self.failed.keys().filter(|at| !wanted.contains_key(at)).copied().collect();
        for address in gone {
            self.failed.remove(&address);
            self.context.board.forget(self.thread, address);
        }
        for (address, listener) in wanted {
            self.ensure(address, listener);
        }
    }

    fn ensure(&mut self, address: SocketAddr, listener: &Arc<Listener>) {
        let board = &self.context.board;
        if self.bound.get(&address).is_some_and(|bound| bound.options == listener.socket_options) {
            self.failed.remove(&address);
            // Its name may have changed; everything else is read per connection.
            board.report(self.thread, address, &listener.name, Ok(()));
            return;
        }
        let now = Instant::now();
        if self.failed.get(&address).is_some_and(|failed| failed.again > now) {
            return;
        }
        match bind(address, &listener.socket_options) {
            Ok(socket) => {
                self.failed.remove(&address);
                let options = Arc::clone(&listener.socket_options);
                let bound = match self.bound.remove(&address) {
                    // Another socket for the same connections: those that it has are not touched.
                    Some(before) => before.reopen(options),
                    None => Bound::open(options),
                };
                // Tracked as well: what it takes from the kernel at its end is a connection like any other.
                tokio::spawn(self.all.track_future(self.accepting(address, socket, &bound)));
                self.bound.insert(address, bound);
                if self.thread == 0 {
                    tracing::info!(listener = %listener.name, %address, "listening");
                }
                board.report(self.thread, address, &listener.name, Ok(()));
            }
            Err(error) => {
                let reason = explain(address, &error);
                let first = matches!(self.failed.entry(address), Entry::Vacant(_));
                if first {
                    tracing::error!(listener = %listener.name, reason, "cannot listen; trying again");
                }
                let failed = self
                    .failed
                    .entry(address)
                    .or_insert_with(|| Failed { again: now, backoff: Backoff::new(RETRY.0, RETRY.1) });
                failed.again = now + failed.backoff.next();
                board.report(self.thread, address, &listener.name, Err(reason));
            }
        }
    }

    /// When to reconcile again although nothing new was published.
    pub fn retry_at(&self) -> Option<Instant> {
        self.failed.values().map(|failed| failed.again).min()
    }

    fn accepting(
        &self,
        address: SocketAddr,
        socket: tokio::net::TcpListener,
        bound: &Bound,
    ) -> impl Future<Output = ()> + use<> {
        let stop = bound.stop.clone();
        let (kill, connections, drain) =
            (bound.kill.clone(), bound.connections.clone(), bound.drain.subscribe());
        let (context, engine) = (Arc::clone(&self.context), Arc::clone(&self.engine));
        let (failing, all) = (Arc::clone(&context), self.all.clone());
        async move {
            let failed = move |error: &std::io::Error| {
                tracing::warn!(%address, %error, "cannot accept; waiting");
                failing.metrics.accept_failed();
            };
            accept(socket, stop, failed, move |tcp, peer| {
                // The current runtime, not the one of the time when the socket was bound.
                let Some(listener) = context.listener(address) else { return };
                let Some(slot) = context.slots.take() else {
                    return context.metrics.refused(&listener.name, "connection_limit");
                };
                let (context, engine) = (Arc::clone(&context), Arc::clone(&engine));
                let (kill, drain) = (kill.clone(), drain.clone());
                connections.spawn(all.track_future(async move {
                    let _slot = slot;
                    let _open = context.metrics.connection(&listener.name);
                    tokio::select! {
                        () = serve(tcp, peer, &listener, &engine, &context.metrics, &drain) => {}
                        () = kill.cancelled() => {}
                    }
                }));
            })
            .await;
        }
    }

    /// Stops accepting everywhere and waits for the connections to end, but not beyond `deadline`.
    pub async fn drain(self, deadline: Instant) {
        self.bound.values().for_each(Bound::close);
        self.all.close();
        // What is left at the deadline ends with the thread's runtime.
        let _ = timeout_at(deadline, self.all.wait()).await;
    }
}

impl Bound {
    fn open(options: Arc<[SocketOption]>) -> Self {
        Self {
            stop: CancellationToken::new(),
            drain: watch::Sender::new(false),
            kill: CancellationToken::new(),
            connections: TaskTracker::new(),
            options,
        }
    }

    /// Stops accepting on the present socket; the next one goes on.
    fn reopen(self, options: Arc<[SocketOption]>) -> Self {
        self.stop.cancel();
        Self { stop: CancellationToken::new(), options, ..self }
    }

    /// No new connections; the present ones are told to end.
    fn close(&self) {
        self.stop.cancel();
        self.drain.send_replace(true);
        self.connections.close();
    }

    /// The listener is gone: its connections may finish what they do, for a while.
    fn retire(self, patience: Duration) {
        self.close();
        tokio::spawn(async move {
            if tokio::time::timeout(patience, self.connections.wait()).await.is_err() {
                self.kill.cancel();
            }
        });
    }
}
