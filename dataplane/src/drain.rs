//! Stopping without dropping requests: who may ask for it, and the one flag that everybody follows.
//!
//! A first SIGTERM or SIGINT, or the end of standard input under `portcullis up`, begins the drain; a second signal
//! ends the process at once. What happens while draining is with those who follow the flag: data threads stop accepting
//! and tell their connections to end, readiness says no, beats say "draining".

use std::io::Read as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Set by a parent that holds the other end of our standard input.
const SUPERVISED: &str = "PORTCULLIS_SUPERVISED";
/// The status of a process that was told twice.
const FORCED: i32 = 1;

/// The flag. It is only ever raised.
#[derive(Debug, Clone)]
pub struct Drain {
    draining: watch::Sender<bool>,
    /// A successor has taken over: what there can only be one of is its.
    relieved: watch::Sender<bool>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { draining: watch::Sender::new(false), relieved: watch::Sender::new(false) }
    }
}

/// Whether a parent watches over us that also starts our successors.
#[must_use]
pub fn is_supervised() -> bool {
    std::env::var_os(SUPERVISED).is_some_and(|value| value == "1")
}

impl Drain {
    /// Begins the drain. `false` when it had begun already.
    pub fn begin(&self, reason: &str) -> bool {
        let first = !self.draining.send_replace(true);
        if first {
            tracing::info!(reason, "draining");
        }
        first
    }

    /// Begins the drain of a worker whose successor serves already.
    pub fn relieve(&self, reason: &str) {
        self.relieved.send_replace(true);
        self.begin(reason);
    }

    /// Whether a successor serves.
    #[must_use]
    pub fn is_relieved(&self) -> bool {
        *self.relieved.borrow()
    }

    /// Completes when a successor serves.
    pub async fn relieved(&self) {
        // The sender lives in self, so this ends only when the value is true.
        let _ = self.relieved.subscribe().wait_for(|relieved| *relieved).await;
    }

    /// Follows the flag.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Whether it has begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        *self.draining.borrow()
    }

    /// Completes when the drain begins.
    pub async fn begun(&self) {
        // The sender lives in self, so this ends only when the value is true.
        let _ = self.draining.subscribe().wait_for(|draining| *draining).await;
    }

    /// Raises the flag at the first signal and ends the process at the second.
    ///
    /// # Errors
    /// The system does not let us handle signals.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let drain = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if !drain.begin(name) {
                    tracing::warn!(signal = name, "told again while draining; ending now");
                    std::process::exit(FORCED);
                }
            }
        });
        Ok(())
    }

    /// Raises the flag when the parent that started us is gone, if it asked for that.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn on_parent_gone(&self) -> std::io::Result<()> {
        if !is_supervised() {
            return Ok(());
        }
        let drain = self.clone();
        // A thread, because a read of standard input cannot be given up and would keep a runtime from ending.
        std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
            let mut sink = [0u8; 256];
            let mut stdin = std::io::stdin().lock();
            loop {
                match stdin.read(&mut sink) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            drain.begin("the parent process is gone");
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_flag_is_raised_once() {
        let drain = Drain::default();
        let follower = drain.follow();
        assert!(!*follower.borrow());
        assert!(drain.begin("test"));
        assert!(!drain.begin("test"));
        assert!(*follower.borrow());
        drain.begun().await;
    }
}
