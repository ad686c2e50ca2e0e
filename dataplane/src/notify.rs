//! What whoever started us is told: systemd over its notification socket (sd_notify(3)), and a predecessor or
//! `portcullis up` by a file that appears when we are ready. Reads topics only; nothing is sent where nobody asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_shared::actor::BoxError;
use portcullis_shared::systemd;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::drain::Drain;
use crate::link;
use crate::listener::Board;
use crate::loader::Loaded;

/// Names the file that a successor makes when it is ready.
pub const READY_FILE: &str = "PORTCULLIS_READY_FILE";

/// Counts of the data threads that only grow while they do their work.
#[derive(Debug)]
pub struct Pulse {
    beats: Vec<AtomicU64>,
    every: Option<Duration>,
}

impl Pulse {
    /// For so many threads. `every`, if anybody looks.
    #[must_use]
    pub fn new(threads: usize, every: Option<Duration>) -> Self {
        Self { beats: (0..threads).map(|_| AtomicU64::new(0)).collect(), every }
    }

    /// Beats for a thread, inside its runtime, for as long as that runs.
    pub async fn beat(&self, thread: usize) {
        let (Some(every), Some(beats)) = (self.every, self.beats.get(thread)) else { return };
        loop {
            beats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(every / 2).await;
        }
    }

    fn read(&self) -> Vec<u64> {
        self.beats.iter().map(|beats| beats.load(Ordering::Relaxed)).collect()
    }
}

/// What is told.
pub struct Notify {
    /// What runs.
    pub loaded: watch::Receiver<Loaded>,
    /// The link's state.
    pub link: watch::Receiver<link::Status>,
    /// The listeners' state.
    pub board: Arc<Board>,
    /// Whether the worker goes down.
    pub drain: Drain,
    /// The data threads.
    pub pulse: Arc<Pulse>,
    /// Where a predecessor looks.
    pub ready_file: Option<PathBuf>,
}

/// The actor's body: says READY once, then what changes, and that the data threads live.
///
/// # Errors
/// None: the supervisor's signature asks for the type.
pub async fn run(notify: Arc<Notify>) -> Result<(), BoxError> {
    let (mut loaded, mut link, mut board) =
        (notify.loaded.clone(), notify.link.clone(), notify.board.changes());
    let mut draining = notify.drain.follow();
    let mut ticks = interval(notify.pulse.every.unwrap_or(Duration::from_secs(3600)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ready, mut told, mut seen) = (false, String::new(), None);
    loop {
        if notify.drain.is_begun() {
            // After a handover the service is the successor's: a word of ours would be taken for its.
            if !notify.drain.is_relieved() {
                systemd::tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
            }
            return std::future::pending().await;
        }
        if !ready && notify.is_ready() {
            ready = true;
            systemd::tell(&[NotifyState::Ready]);
            notify.write_ready_file();
        }
        let status = notify.status();
        if status != told {
            systemd::tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        tokio::select! {
            Ok(()) = loaded.changed() => {}
            Ok(()) = link.changed() => {}
            Ok(()) = board.changed() => {}
            Ok(()) = draining.changed() => {}
            _ = ticks.tick(), if notify.pulse.every.is_some() => {
                let beats = notify.pulse.read();
                let all = seen.as_ref().is_none_or(|seen: &Vec<u64>| beats.iter().zip(seen).all(|(now, then)| now > then));
                if all {
                    systemd::tell(&[NotifyState::Watchdog]);
                } else {
                    tracing::error!("a data thread does not move");
                }
                seen = Some(beats);
            }
        }
    }
}

impl Notify {
    /// It serves, or there is nothing to serve: a service without listeners is started all the same.
    fn is_ready(&self) -> bool {
        let loaded = self.loaded.borrow();
        let bound = || self.board.listening().iter().any(|listener| listener.threads > 0);
        loaded.complete && (loaded.listeners == 0 || bound())
    }

    fn status(&self) -> String {
        let table = self.loaded.borrow();
        let link = self.link.borrow();
        match (table.complete, link.connected) {
            (false, _) => "waiting for control: there is no table".to_owned(),
            (true, true) => format!("serving, {} listeners", table.listeners),
            (true, false) => format!("serving without control, {} listeners", table.listeners),
        }
    }

    fn write_ready_file(&self) {
        let Some(file) = &self.ready_file else { return };
        if let Err(error) = std::fs::write(file, std::process::id().to_string()) {
            tracing::error!(file = %file.display(), %error, "cannot say that we are ready");
        }
    }
}
