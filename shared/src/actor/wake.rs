//! From a topic to an actor's mailbox: one pending wake-up at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ractor::ActorRef;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Ends the forwarding when dropped. Kept in the actor's state.
pub struct Wake {
    pending: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Wake {
    /// Sends `message()` to `actor` whenever `topic` changes, unless the last one has not been taken yet.
    pub fn on_change<T, M>(
        mut topic: watch::Receiver<T>,
        actor: ActorRef<M>,
        message: impl Fn() -> M + Send + 'static,
    ) -> Self
    where
        T: Send + Sync + 'static,
        M: ractor::Message,
    {
        let pending = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&pending);
        let task = tokio::spawn(async move {
            while topic.changed().await.is_ok() {
                topic.mark_unchanged();
                if !flag.swap(true, Ordering::AcqRel) && actor.send_message(message()).is_err() {
                    return;
                }
            }
        });
        Self { pending, task }
    }

    /// To be called when the message is handled, before the topic is read.
    pub fn taken(&self) {
        self.pending.store(false, Ordering::Release);
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.task.abort();
    }
}
