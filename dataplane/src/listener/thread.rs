//! A data thread: a single-threaded runtime with an engine and sockets of its own. Threads share nothing that a request
//! would wait for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::reconcile::Sockets;
use super::{Board, Slots};
use crate::loader::Published;
use crate::notify::Pulse;
use crate::overload::{self, Level, Overload, Told};
use crate::proxy::{self, Engine};
use crate::runtime::{Listener, Runtime};
use crate::telemetry::Metrics;

/// How often the thread looks at its sockets after so many polls of tasks. What tokio uses by default.
const EVENT_INTERVAL: u32 = 61;

/// Streams that are cut at the drain's end have so long to be logged.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What all data threads share.
pub struct Context {
    /// What is served.
    pub runtime: Arc<ArcSwap<Runtime>>,
    /// Tells that it has changed.
    pub published: watch::Receiver<Published>,
    /// For the engines.
    pub engine: Arc<proxy::Shared>,
    /// Where the sockets' state is reported.
    pub board: Arc<Board>,
    /// The limit of connections.
    pub slots: Arc<Slots>,
    /// Whether anything new may be taken on.
    pub overload: Arc<Overload>,
    /// Counters of connections.
    pub metrics: Arc<Metrics>,
    /// True when the worker goes down.
    pub drain: watch::Receiver<bool>,
    /// How long connections may take to end.
    pub drain_timeout: Duration,
    /// Shows that the threads do their work.
    pub pulse: Arc<Pulse>,
}

impl Context {
    /// The listener of `address` in the current runtime.
    pub fn listener(&self, address: SocketAddr) -> Option<Arc<Listener>> {
        let runtime = self.runtime.load();
        runtime.listeners().iter().find(|listener| listener.address == address).cloned()
    }
}

/// A running data thread.
pub struct DataThread {
    /// Completes when the thread has ended, after a drain or by a failure.
    pub ended: oneshot::Receiver<()>,
}

impl DataThread {
    /// Starts data thread number `index`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(index: usize, context: Arc<Context>) -> std::io::Result<Self> {
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name(format!("data-{index}")).spawn(move || {
            // Dropped at the thread's end, however it comes.
            let _alive = alive;
            if let Err(error) = run(index, context) {
                tracing::error!(thread = index, %error, "data thread cannot run");
            }
        })?;
        Ok(Self { ended })
    }
}

fn run(index: usize, context: Arc<Context>) -> std::io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build()?;
    runtime.block_on(follow(index, context));
    // Whatever still runs had its time.
    runtime.shutdown_background();
    Ok(())
}

async fn follow(index: usize, context: Arc<Context>) {
    let engine = Arc::new(Engine::new(Arc::clone(&context.engine)));
    let mut sockets = Sockets::new(Arc::clone(&context), index, engine);
    let (mut overload, mut level) = (context.overload.follow(), Level::Calm);
    let (mut published, mut drain) = (context.published.clone(), context.drain.clone());
    let pulse = Arc::clone(&context.pulse);
    tokio::spawn(async move { pulse.beat(index).await });
    loop {
        let Published { runtime, generation } = published.borrow_and_update().clone();
        sockets.reconcile(&runtime);
        context.board.reconciled(index, generation);
        let retry = sockets.retry_at();
        tokio::select! {
            told = overload.changed() => {
                if told.is_err() { break }
                let Told { level: now, .. } = *overload.borrow_and_update();
                if now > level {
                    sockets.relieve();
                }
                level = now;
                overload::give_back();
            }
            changed = published.changed() => if changed.is_err() { break },
            () = async { match retry { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
            // An error means that the process is going down.
            _ = drain.wait_for(|draining| *draining) => break,
        }
    }
    sockets.drain(Instant::now() + context.drain_timeout + LAST_WORDS).await;
}
