//! The worker, assembled: topics, data threads, and the actor tree beside them.
//!
//! The root owns every topic, so that state survives the restart of any actor. Order of the start: the cache is served
//! first, then the admin server, then control is looked for. Nothing here is in the path of a request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use portcullis_shared::actor::{self, BoxError, ChildSpec, Restarts};
use portcullis_shared::telemetry::{Telemetry, TracesError};
use portcullis_shared::transport::{Target, TlsFiles};
use portcullis_shared::{memory, systemd};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::admin::{self, Admin};
use crate::cache::{self, Journal, seal};
use crate::drain::Drain;
use crate::handover;
use crate::link::{self, Link};
use crate::listener::{Board, DataThread, Slots, fit_to_open_files, thread};
use crate::loader::{self, Endpoints, Loaded, Loader, Mailbox, Published, Topics};
use crate::notify::{self, Notify, Pulse, READY_FILE};
use crate::overload::{self, Overload};
use crate::proxy;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::telemetry::{Metrics, State};
use crate::upstream::care;

/// What a drain takes beyond its timeout: the data threads close what is left.
const SLACK: Duration = Duration::from_secs(1);
/// How long the last write of the cache, and that of the access log, may take.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// How long threads that do blocking work may keep the process.
const BLOCKING: Duration = Duration::from_millis(200);

/// Why a worker could not run, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system does not give what a worker needs.
    #[error("{0}: {1}")]
    System(&'static str, std::io::Error),
    /// The OTEL_* variables ask for something that does not exist.
    #[error(transparent)]
    Telemetry(#[from] TracesError),
    /// The key of the cache was given and is not usable.
    #[error(transparent)]
    CacheKey(#[from] seal::Error),
    /// A data thread ended by itself.
    #[error("a data thread failed")]
    DataThread,
    /// An actor failed too often.
    #[error("{0}")]
    Actors(BoxError),
}

/// Runs a worker until it is told to stop.
///
/// # Errors
/// It could not start, or something failed that cannot be repaired inside the process.
pub fn run(settings: Settings) -> Result<(), Error> {
    // One provider for the whole process. A second call (tests in one process) keeps the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // The first random bytes cost AWS-LC some 30 ms: while the cache is read, and not after it. Nobody waits for this
    // thread; whoever needs bytes earlier does the same work.
    std::thread::spawn(|| rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut [0]));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Error::System("cannot start a runtime", error))?;
    let result = runtime.block_on(worker(settings));
    runtime.shutdown_timeout(BLOCKING);
    result
}

async fn worker(settings: Settings) -> Result<(), Error> {
    let telemetry = Telemetry::init("portcullis-dataplane", settings.log_format)?;
    tracing::info!(
        worker = settings.worker_id,
        proxy = settings.proxy_name,
        threads = settings.threads,
        build = env!("CARGO_PKG_VERSION"),
        "worker starting"
    );
    let drain = Drain::default();
    drain.on_signals().map_err(|error| Error::System("cannot handle signals", error))?;
    drain.on_parent_gone().map_err(|error| Error::System("cannot start a thread", error))?;

    // What every part of the worker sees of the others.
    // Without a prefix: the request metrics have Envoy's names.
    let mut registry = Registry::default();
    let own = registry.sub_registry_with_prefix("portcullis");
    let metrics = Metrics::new(own);
    let restarts = Restarts::default();
    let current = Arc::new(ArcSwap::from_pointee(Runtime::default()));
    let place = cache_place(&settings)?;
    let journal = Arc::new(if place.is_some() { Journal::default() } else { Journal::idle() });
    let pulse = Arc::new(Pulse::new(usize::from(settings.threads), systemd::watchdog()));
    let ready_file = std::env::var_os(READY_FILE).map(PathBuf::from);
    let successors = handover::ready_file(settings.data_dir.as_deref(), &settings.worker_id);
    handover::on_signal(drain.clone(), successors)
        .map_err(|error| Error::System("cannot handle signals", error))?;
    let endpoints = Endpoints::new(Arc::clone(&current), Arc::clone(&journal));
    let published = Arc::new(watch::Sender::new(Published { runtime: current.load_full(), generation: 0 }));
    let loaded = Arc::new(watch::Sender::new(Loaded::default()));
    let topics = Topics {
        endpoints: Arc::clone(&endpoints),
        journal: Arc::clone(&journal),
        published: Arc::clone(&published),
        loaded: Arc::clone(&loaded),
    };
    let link_status = watch::Sender::new(link::Status::default());
    // The one that it will have, before it has it: a predecessor may still be there.
    let admin_address = watch::Sender::new((settings.admin.port() != 0).then_some(settings.admin));
    let overload = Overload::new(settings.max_memory.map_or_else(memory::limit, |size| size.0));
    let slots = Slots::new(fit_to_open_files(settings.max_connections));
    let board = Board::new(usize::from(settings.threads), Arc::clone(&slots));

    let state =
        State { loaded: loaded.subscribe(), link: link_status.subscribe(), restarts: restarts.clone() };
    let own = registry.sub_registry_with_prefix("portcullis");
    own.register_collector(Box::new(state));
    own.register_collector(Box::new(overload::Shown(Arc::clone(&overload))));
    proxy::access_log::reopen_on_signals().map_err(|error| Error::System("cannot handle signals", error))?;
    let access_log = proxy::AccessLog::open(&settings.access_log)
        .map_err(|error| Error::System("cannot open the access log", error))?;
    let shared = proxy::Shared::new(Arc::clone(&current), &telemetry, &mut registry)
        .with_access_log(access_log.clone())
        .with_overload(Arc::clone(&overload))
        .with_stream_patience(settings.stream_patience());

    let context = Arc::new(thread::Context {
        runtime: Arc::clone(&current),
        published: published.subscribe(),
        engine: Arc::new(shared),
        board: Arc::clone(&board),
        slots,
        metrics,
        overload: Arc::clone(&overload),
        drain: drain.follow(),
        drain_timeout: settings.drain_timeout,
        pulse: Arc::clone(&pulse),
    });
    let threads = (0..usize::from(settings.threads))
        .map(|index| DataThread::spawn(index, Arc::clone(&context)))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|error| Error::System("cannot start a data thread", error))?;

    // A predecessor has the cache, and control the newest table.
    let cached = place.clone().filter(|_| ready_file.is_none());
    let first = restore(Loader::new(topics.clone()), cached).await;
    let (client, mailbox) = Mailbox::new(first, topics, Arc::clone(&board));
    let admin = Arc::new(Admin {
        address: settings.admin,
        bound: admin_address.clone(),
        registry,
        loaded: loaded.subscribe(),
        link: link_status.subscribe(),
        board: Arc::clone(&board),
        runtime: current,
        drain: drain.clone(),
    });
    let notify = Arc::new(Notify {
        loaded: loaded.subscribe(),
        link: link_status.subscribe(),
        board: Arc::clone(&board),
        drain: drain.clone(),
        pulse,
        ready_file,
    });
    let link = Arc::new(Link {
        target: target(&settings),
        worker_id: settings.worker_id.clone(),
        proxy_name: settings.proxy_name.clone(),
        admin: admin_address.subscribe(),
        loader: client,
        endpoints,
        loaded,
        board,
        drain: drain.follow(),
        status: link_status,
    });
    let followed = published.subscribe();
    let mut children = vec![
        ChildSpec::body("admin", move || admin::run(Arc::clone(&admin))),
        ChildSpec::body("loader", move || loader::actor::run(Arc::clone(&mailbox))),
        ChildSpec::body("care", move || care::run(followed.clone())),
        ChildSpec::body("overload", move || overload::run(Arc::clone(&overload))),
        ChildSpec::body("link", move || link::client::run(Arc::clone(&link))),
        ChildSpec::body("notify", move || notify::run(Arc::clone(&notify))),
    ];
    if let Some(place) = place.clone() {
        let journal = Arc::clone(&journal);
        let write = move || cache::write_behind(Arc::clone(&journal), Arc::clone(&place));
        children.push(ChildSpec::body("cache", write));
    }

    let mut failed = false;
    let stop = async { failed = end_of(threads, &drain, settings.drain_timeout + SLACK).await };
    actor::run_root("worker", restarts, children, stop).await.map_err(Error::Actors)?;
    if let Some(place) = place {
        match tokio::time::timeout(LAST_WRITE, cache::flush(&journal, &place)).await {
            Ok(Err(error)) => tracing::warn!(%error, "the cache misses the last changes"),
            Err(_) => tracing::warn!("the cache misses the last changes: the disk is slow"),
            Ok(Ok(())) => {}
        }
    }
    // It cannot fail: it waits for a bounded time.
    let _ = tokio::task::spawn_blocking(|| proxy::access_log::finish_all(LAST_WRITE)).await;
    // Held until here, so that its writer was still there.
    drop(access_log);
    if failed {
        return Err(Error::DataThread);
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits for the drain and for the data threads to finish it. Says whether one of them ended before it was asked to.
async fn end_of(threads: Vec<DataThread>, drain: &Drain, patience: Duration) -> bool {
    let mut running: FuturesUnordered<_> = threads.into_iter().map(|thread| thread.ended).collect();
    let failed = tokio::select! {
        () = drain.begun() => false,
        _ = running.next() => !drain.is_begun(),
    };
    if failed {
        drain.begin("a data thread failed");
    }
    let all = async { while running.next().await.is_some() {} };
    if tokio::time::timeout(patience, all).await.is_err() {
        tracing::warn!("data threads do not end; ending without them");
    }
    failed
}

/// Where the cache is to be, if there is to be one.
fn cache_place(settings: &Settings) -> Result<Option<Arc<cache::Place>>, Error> {
    let Some(data_dir) = &settings.data_dir else { return Ok(None) };
    let key = settings.cache_key();
    // Now, and not when the first table is to be written.
    key.as_deref().map(seal::Sealer::from_file).transpose()?;
    let folder = data_dir.join(format!("{}-cache", settings.worker_id));
    Ok(Some(Arc::new(cache::Place::new(folder, key))))
}

/// Serves what the cache has, before anything else is tried. One that cannot be opened costs this cold start, nothing
/// else.
async fn restore(loader: Loader, place: Option<Arc<cache::Place>>) -> Loader {
    let Some(place) = place else { return loader };
    let spare = loader.clone_cold();
    let restored = tokio::task::spawn_blocking(move || {
        let store = match place.open() {
            Ok(store) => store,
            Err(error) => {
                tracing::error!(folder = %place.folder().display(), %error, "no cache: this start needs control");
                return loader;
            }
        };
        let mut loader = loader;
        let cached = store.load();
        if cached.unusable > 0 {
            tracing::warn!(entries = cached.unusable, "entries of the cache are not usable");
        }
        loader.restore(cached);
        loader
    });
    // Whatever is in the cache, the worker starts.
    restored.await.unwrap_or(spare)
}

fn target(settings: &Settings) -> Target {
    match (&settings.link_tcp, &settings.link) {
        (Some(address), _) => {
            let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            // The flags require one another, so that none of these is missing.
            let file = |flag: &Option<std::path::PathBuf>| flag.clone().unwrap_or_default();
            Target::Tls {
                address: address.clone(),
                server_name: settings.link_server_name.clone().unwrap_or_else(|| host.to_owned()),
                files: TlsFiles {
                    certificate: file(&settings.link_cert),
                    key: file(&settings.link_key),
                    ca: file(&settings.link_ca),
                },
            }
        }
        (None, path) => Target::Unix(path.clone().unwrap_or_default()),
    }
}
