//! The loader as an actor: one request at a time, the work on a blocking thread.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use portcullis_proto::link::v1::ResourceDigest;
use portcullis_shared::actor::BoxError;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Loader;
use super::load::Topics;
use crate::link::{Outcome, Transaction};
use crate::listener::Board;

/// Requests that wait. The link asks for one thing at a time.
const QUEUE: usize = 4;
/// How long an answer waits for the sockets: control should hear "applied" when the new ports accept.
const SOCKETS: Duration = Duration::from_secs(1);

enum Request {
    Have(oneshot::Sender<Vec<ResourceDigest>>),
    Apply(Transaction, oneshot::Sender<Outcome>),
}

/// The loader does not answer: it failed and is being started again.
#[derive(Debug, thiserror::Error)]
#[error("the loader was restarted")]
pub struct Gone;

/// Asks the loader, whichever incarnation of it runs.
#[derive(Clone)]
pub struct Client(mpsc::Sender<Request>);

impl Client {
    /// Everything that runs.
    ///
    /// # Errors
    /// The loader failed over it.
    pub async fn have(&self) -> Result<Vec<ResourceDigest>, Gone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request::Have(answer)).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }

    /// Has a transaction applied.
    ///
    /// # Errors
    /// The loader failed over it; whether it was applied is not known.
    pub async fn apply(&self, transaction: Transaction) -> Result<Outcome, Gone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Request::Apply(transaction, answer)).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

/// The loader's end. Owned by the root, so that requests survive a restart.
pub struct Mailbox {
    requests: Mutex<mpsc::Receiver<Request>>,
    topics: Topics,
    board: Arc<Board>,
    /// The loader that restored the cache, for the first incarnation.
    first: StdMutex<Option<Loader>>,
}

impl Mailbox {
    /// A mailbox whose first incarnation goes on with `first`.
    #[must_use]
    pub fn new(first: Loader, topics: Topics, board: Arc<Board>) -> (Client, Arc<Self>) {
        let (client, requests) = mpsc::channel(QUEUE);
        let mailbox =
            Self { requests: Mutex::new(requests), topics, board, first: StdMutex::new(Some(first)) };
        (Client(client), Arc::new(mailbox))
    }
}

/// The actor's body.
///
/// # Errors
/// The work panicked. What is served is not touched by that; the next incarnation holds nothing and asks control for
/// everything.
pub async fn run(mailbox: Arc<Mailbox>) -> Result<(), BoxError> {
    let first = mailbox.first.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut loader = first.unwrap_or_else(|| Loader::new(mailbox.topics.clone()));
    let mut requests = mailbox.requests.lock().await;
    while let Some(request) = requests.recv().await {
        match request {
            Request::Have(answer) => {
                // The one who asked may be gone; then nobody is waiting.
                let _ = answer.send(loader.have());
            }
            Request::Apply(transaction, answer) => {
                let outcome;
                (loader, outcome) = tokio::task::spawn_blocking(move || {
                    let outcome = loader.apply(transaction);
                    (loader, outcome)
                })
                .await?;
                mailbox.board.wait_reconciled(loader.generation(), SOCKETS).await;
                let _ = answer.send(outcome);
            }
        }
    }
    Ok(())
}
