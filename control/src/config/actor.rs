//! The loop: wait, build, publish, remember.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_shared::actor::BoxError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::build::{Builder, Built};
use super::debounce::Debounce;
use super::memory::Memory;
use crate::admin::Metrics;
use crate::store::{Change, Store, StoreError};
use crate::topics::Topics;

/// A source that gave no list by then is replaced by what the store remembers.
const LIST: Duration = Duration::from_secs(3);
/// How long a build is held back for secrets that are being read.
const SECRETS: Duration = Duration::from_secs(3);
/// After the disk has refused.
const REWRITE: Duration = Duration::from_secs(5);

/// What the actor needs.
#[derive(Clone)]
pub struct Config {
    /// The topics.
    pub topics: Topics,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The last accepted forms on disk.
    pub store: Store,
    /// Epoch of this process.
    pub epoch: u64,
    /// Namespace that Gateways and Settings are read from.
    pub own_namespace: Arc<str>,
    /// Build after this long without a change ...
    pub quiet: Duration,
    /// ... and at most this long after the first one.
    pub max: Duration,
}

/// Runs until the process ends. A restart begins with a full build from the topics and the store.
///
/// # Errors
/// The process ends, or the store cannot be read.
pub async fn run(config: Config) -> Result<(), BoxError> {
    let mut model = Model::new(config).await?;
    loop {
        model.step().await?;
    }
}

struct Model {
    config: Config,
    sources: tokio::sync::watch::Receiver<crate::topics::Sources>,
    keys: tokio::sync::watch::Receiver<Arc<crate::keyring::Keys>>,
    debounce: Debounce,
    /// When missing sources are given up; `None` once the first build is out.
    list_by: Option<Instant>,
    /// Until when an outcome is held back for files that are being read.
    hold_until: Option<Instant>,
    builder: Option<Builder>,
    /// By the key of the record: the last change of each.
    unwritten: BTreeMap<String, Change>,
    writing: Option<Writing>,
    /// The disk refused; not before this is it asked again.
    write_at: Option<Instant>,
}

/// What is being written.
type Writing = (Arc<[Change]>, JoinHandle<Result<(), StoreError>>);

impl Model {
    async fn new(config: Config) -> Result<Self, BoxError> {
        let (sources, keys) = (config.topics.sources.subscribe(), config.topics.keys.subscribe());
        let mut debounce = Debounce::new(config.quiet, config.max, SECRETS);
        if config.topics.sources.borrow().listed() {
            debounce.touched(Instant::now());
        }
        let first = config.topics.tables.borrow().is_none();
        let builder = Some(fresh(&config).await?);
        Ok(Self {
            list_by: first.then(|| Instant::now() + LIST),
            config,
            sources,
            keys,
            debounce,
            hold_until: None,
            builder,
            unwritten: BTreeMap::new(),
            writing: None,
            write_at: None,
        })
    }

    /// When to build next, if something is to be built.
    fn due(&self) -> Option<Instant> {
        let sources = self.sources.borrow();
        if !sources.listed() {
            // Before that, absence means nothing; after it, the store stands in.
            if let Some(by) = self.list_by {
                return Some(by);
            }
        }
        let in_step = self.keys.borrow().sources == sources.seq;
        match (self.debounce.due(in_step), self.hold_until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// An input changed. Before everything is listed for the first time that is no reason to build.
    fn touched(&mut self) {
        if self.list_by.is_none() || self.sources.borrow().listed() {
            self.debounce.touched(Instant::now());
        }
    }

    async fn step(&mut self) -> Result<(), BoxError> {
        let due = self.due();
        let rewrite = self.write_at.filter(|_| self.writing.is_none());
        tokio::select! {
            changed = self.sources.changed() => {
                changed?;
                self.sources.mark_unchanged();
                self.touched();
            }
            changed = self.keys.changed() => {
                changed?;
                self.keys.mark_unchanged();
                self.touched();
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.build().await?,
            () = sleep_until(rewrite.unwrap_or_else(Instant::now)), if rewrite.is_some() => {
                self.write_at = None;
                self.write();
            }
            written = finished(&mut self.writing), if self.writing.is_some() => self.written(written),
        }
        Ok(())
    }

    async fn build(&mut self) -> Result<(), BoxError> {
        self.debounce.taken();
        let builder = match self.builder.take() {
            Some(builder) => builder,
            None => fresh(&self.config).await?,
        };
        let sources = self.sources.borrow_and_update().clone();
        let keys = self.keys.borrow_and_update().clone();
        let build = move |mut builder: Builder| {
            let built = builder.build(&sources, &keys);
            (builder, built)
        };
        let built = match self.attempt(build.clone(), builder).await {
            Some(built) => built,
            // Perhaps a memo is broken: once more without.
            None => {
                let builder = fresh(&self.config).await?;
                match self.attempt(build, builder).await {
                    Some(built) => built,
                    None => {
                        tracing::error!(
                            "the configuration cannot be built; the last tables stay until the next change"
                        );
                        self.hold_until = None;
                        return Ok(());
                    }
                }
            }
        };
        match built {
            Some(built) => self.publish(built),
            None => tracing::warn!(
                missing = ?self.sources.borrow().missing().collect::<Vec<_>>(),
                "sources gave no list yet and nothing is remembered; still waiting"
            ),
        }
        self.list_by = None;
        self.write();
        Ok(())
    }

    /// Builds away from the runtime. `None` when it panicked, which costs the memos and nothing else.
    async fn attempt(
        &mut self,
        build: impl FnOnce(Builder) -> (Builder, Option<Built>) + Send + 'static,
        builder: Builder,
    ) -> Option<Option<Built>> {
        match tokio::task::spawn_blocking(move || build(builder)).await {
            Ok((builder, built)) => {
                self.builder = Some(builder);
                Some(built)
            }
            Err(error) => {
                tracing::error!(%error, "a build panicked");
                self.config.metrics.build_failed();
                None
            }
        }
    }

    fn publish(&mut self, built: Built) {
        let Built { published, wanted, dynamic, unread, blind, changes } = built;
        let topics = &self.config.topics;
        self.unwritten.extend(changes.into_iter().map(|change| (change.key(), change)));
        // Sent even if it is equal: equal sources may differ in the text of an inline key.
        topics.wanted.send_replace(wanted);
        if blind {
            self.hold_until = None;
            tracing::warn!(
                "the remembered configuration needs secrets that only its sources have; workers keep what they run"
            );
            return;
        }
        let now = Instant::now();
        if unread && self.hold_until.is_none_or(|until| now < until) {
            self.hold_until.get_or_insert(now + SECRETS);
            return;
        }
        self.hold_until = None;
        self.config.metrics.built(published.took);
        tracing::info!(
            version = %published.version,
            objects = published.entries.len(),
            proxies = published.proxies.len(),
            took_us = u64::try_from(published.took.as_micros()).unwrap_or(u64::MAX),
            "configuration built"
        );
        publish_if_new(&topics.dynamic, dynamic);
        topics.tables.send_replace(Some(Arc::new(published)));
    }

    /// Starts writing what the store does not know yet, one batch at a time.
    fn write(&mut self) {
        if self.writing.is_some() || self.unwritten.is_empty() || self.write_at.is_some() {
            return;
        }
        let store = self.config.store.clone();
        let changes: Arc<[Change]> = std::mem::take(&mut self.unwritten).into_values().collect();
        let batch = Arc::clone(&changes);
        self.writing = Some((changes, tokio::task::spawn_blocking(move || store.write(&batch))));
    }

    fn written(&mut self, outcome: Result<(), StoreError>) {
        let Some((changes, _)) = self.writing.take() else { return };
        if let Err(error) = outcome {
            // What is in memory still protects against everything but a restart.
            tracing::error!(%error, "accepted resources could not be stored; trying again");
            self.config.metrics.store_failed();
            self.write_at = Some(Instant::now() + REWRITE);
            for change in &*changes {
                // A newer one of the same object wins.
                self.unwritten.entry(change.key()).or_insert_with(|| change.clone());
            }
        }
        self.write();
    }
}

/// Waits for a batch.
async fn finished(writing: &mut Option<Writing>) -> Result<(), StoreError> {
    match writing {
        Some((_, task)) => task.await.unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string()))),
        None => std::future::pending().await,
    }
}

/// A builder that starts from the store and the tables that are out.
async fn fresh(config: &Config) -> Result<Builder, BoxError> {
    let store = config.store.clone();
    let memory = tokio::task::spawn_blocking(move || store.load().map(Memory::load)).await??;
    let published = config.topics.tables.borrow().clone();
    let seq = published.as_ref().map_or(0, |published| published.version.seq);
    let mut builder = Builder::new(config.epoch, seq, Arc::clone(&config.own_namespace), memory);
    if let Some(published) = published {
        builder.resume(&published);
    }
    Ok(builder)
}

/// Wakes nobody when nothing changed.
fn publish_if_new<T: PartialEq>(topic: &tokio::sync::watch::Sender<T>, value: T) {
    topic.send_if_modified(|known| {
        let new = *known != value;
        if new {
            *known = value;
        }
        new
    });
}
