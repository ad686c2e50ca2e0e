//! The root of control: opens what must be there, owns the topics, and supervises everything else.
//!
//! What cannot work (a data directory in use, an address that is taken) is an error before anything starts. When a child
//! fails too often the root fails, the process exits non-zero, and whoever started it starts it again; workers keep
//! serving meanwhile.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_shared::actor::{BoxError, Budget, ChildSpec, Restarts, run_root};
use portcullis_shared::systemd;
use portcullis_shared::transport::Bind;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::admin::{self, Admin, Metrics};
use crate::config::{self, Config};
use crate::publish::{self, Link};
use crate::settings::Settings;
use crate::source::file::{self, Loaded};
use crate::store::{DataDir, LockError, Store};
use crate::topics::{Set, Sources, Topics};
use crate::{discovery, keyring, status};

/// Name of the file source on the sources' topic.
const FILE: &str = "file";
/// How long sessions may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a reload may take.
const RELIST: Duration = Duration::from_secs(20);

/// Why control cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The admin address cannot be bound.
    #[error("--admin {address}: {source}")]
    Admin {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The tree failed.
    #[error("{0}")]
    Failed(BoxError),
}

/// Runs control until `stop` completes (then sessions get a Goodbye) or the tree fails.
///
/// # Errors
/// Something cannot be opened, or a child failed too often.
pub async fn run(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), RootError> {
    let data = DataDir::lock(&settings.data_dir)?;
    let listener = std::net::TcpListener::bind(settings.admin)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| RootError::Admin { address: settings.admin, source })?;
    let admin_address = listener.local_addr().unwrap_or(settings.admin);
    let (store, data) = tokio::task::spawn_blocking(move || (Store::open(&data), data))
        .await
        .map_err(|error| RootError::Failed(error.into()))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %settings.config.display(),
        data_dir = %data.path().display(),
        admin = %admin_address,
        "portcullis-control starts"
    );
    let topics = Topics::new(&[FILE]);
    let restarts = Restarts::default();
    let children = children(&settings, &topics, &restarts, &store, listener);
    let stopping = topics.clone();
    let stop = async move {
        stop.await;
        systemd::tell(&[NotifyState::Stopping]);
        stopping.stopping.send_replace(true);
        let mut rollout = stopping.rollout.subscribe();
        // Whoever does not take its Goodbye by then sees the stream end.
        let _ = timeout(GOODBYE, rollout.wait_for(|rollout| rollout.is_empty())).await;
    };
    // Ready to be asked; whether workers can be served is what /readyz says. A missing folder must not end in a kill by
    // systemd, because workers are better off with a control that waits.
    systemd::tell(&[NotifyState::Ready]);
    run_root("control", restarts, children, stop).await.map_err(RootError::Failed)?;
    tracing::info!("portcullis-control ends");
    Ok(())
}

fn children(
    settings: &Settings,
    topics: &Topics,
    restarts: &Restarts,
    store: &Store,
    listener: std::net::TcpListener,
) -> Vec<ChildSpec> {
    let epoch =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| u64::try_from(d.as_millis()).unwrap_or(1));
    let metrics = Arc::new(Metrics::new(restarts.clone()));
    let config = Config {
        topics: topics.clone(),
        metrics: Arc::clone(&metrics),
        store: store.clone(),
        epoch,
        own_namespace: settings.namespace.as_str().into(),
        quiet: settings.debounce,
        max: settings.debounce_max,
    };
    let link = Link {
        topics: topics.clone(),
        metrics: Arc::clone(&metrics),
        epoch,
        sessions: Arc::new(AtomicU64::new(1)),
    };
    let admin = Admin { topics: topics.clone(), metrics };
    let (for_status, for_discovery, for_keyring) = (topics.clone(), topics.clone(), topics.clone());
    let relist = watch::Sender::new(());
    let sources = vec![file_source(settings, topics, relist.subscribe())];
    let sources_topic = topics.sources.clone();
    let mut children = vec![
        ChildSpec::body("status", move || status::run(for_status.clone())),
        ChildSpec::body("discovery", move || discovery::run(for_discovery.clone())),
        ChildSpec::body("keyring", move || keyring::run(for_keyring.clone())),
        ChildSpec::body("config", move || config::run(config.clone())),
        ChildSpec::supervisor("sources", Budget::default(), restarts.clone(), move || sources.clone()),
        ChildSpec::body("admin-server", move || {
            // A clone of the socket for every start: the address stays bound in between.
            let (admin, listener) = (admin.clone(), listener.try_clone());
            async move { admin::serve(admin, listener?).await }
        }),
        ChildSpec::body("reload", move || reload(sources_topic.clone(), relist.clone())),
    ];
    if let Some(every) = systemd::watchdog() {
        children.push(ChildSpec::body("watchdog", move || async move {
            loop {
                systemd::tell(&[NotifyState::Watchdog]);
                tokio::time::sleep(every).await;
            }
        }));
    }
    for bind in settings.links() {
        let name = match &bind {
            Bind::Unix(_) => "link-server",
            Bind::Tls { .. } => "link-server-tls",
        };
        let link = link.clone();
        children.push(ChildSpec::body(name, move || publish::serve(link.clone(), bind.clone())));
    }
    children
}

/// Reads everything anew at SIGHUP. Changes are seen without it; it is for folders that tell nothing, and for habits.
async fn reload(sources: watch::Sender<Sources>, relist: watch::Sender<()>) -> Result<(), BoxError> {
    let mut hangups = signal(SignalKind::hangup())?;
    let mut changed = sources.subscribe();
    while hangups.recv().await.is_some() {
        tracing::info!("SIGHUP: reading the configuration folder anew");
        systemd::reloading();
        let before = changed.borrow_and_update().seq;
        relist.send_replace(());
        // A folder that cannot be read is no reason to be reloading for ever.
        let _ = timeout(RELIST, changed.wait_for(|sources| sources.seq > before)).await;
        systemd::tell(&[NotifyState::Ready]);
    }
    Ok(())
}

fn file_source(settings: &Settings, topics: &Topics, relist: watch::Receiver<()>) -> ChildSpec {
    // Absolute, because the store compares paths over restarts; links stay, because mounts swap them.
    let folder = std::path::absolute(&settings.config).unwrap_or_else(|_| settings.config.clone());
    let namespace = settings.namespace.clone();
    let topics = topics.clone();
    ChildSpec::body("source/file", move || {
        let (folder, namespace, topics) = (folder.clone(), namespace.to_string(), topics.clone());
        let mut relist = relist.clone();
        relist.mark_unchanged();
        async move {
            loop {
                let follow =
                    file::follow(folder.clone(), namespace.clone(), file::Pace::default(), |loaded| {
                        let Loaded { entries, problems, notices, incomplete } = loaded;
                        let set = Arc::new(Set { entries, problems, notices, incomplete });
                        topics.sources.send_modify(|sources| sources.put(FILE, set));
                    });
                tokio::select! {
                    () = follow => return Ok(()),
                    Ok(()) = relist.changed() => {}
                }
            }
        }
    })
}
