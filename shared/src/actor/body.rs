//! An actor whose whole behaviour is one future: it lives as long as the future runs.
//!
//! Most children here react to topics, not to messages. Written as a future they read from top to bottom; as an actor
//! they are supervised: an error or a panic of the future fails the actor, dropping the actor aborts the future.

use std::sync::Arc;

use futures::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

/// Why a child failed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

pub(super) type Start = Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

pub(super) struct Body;

pub(super) enum BodyMsg {
    Finished(Result<(), BoxError>),
}

/// Aborts the task when the actor goes, whatever the reason.
pub(super) struct Running(Option<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

impl Actor for Body {
    type Msg = BodyMsg;
    type State = Running;
    type Arguments = Start;

    async fn pre_start(
        &self,
        myself: ActorRef<BodyMsg>,
        start: Start,
    ) -> Result<Running, ActorProcessingErr> {
        let watched = tokio::spawn(async move {
            // A task of its own, so that a panic of the body is seen as an error here.
            let mut inner = Guarded(tokio::spawn(async move { start().await }));
            let outcome = match (&mut inner.0).await {
                Ok(outcome) => outcome,
                Err(join) => Err(Box::new(join) as BoxError),
            };
            // The actor may be gone already: then nobody is interested any more.
            let _ = myself.send_message(BodyMsg::Finished(outcome));
        });
        Ok(Running(Some(watched)))
    }

    async fn handle(
        &self,
        myself: ActorRef<BodyMsg>,
        BodyMsg::Finished(outcome): BodyMsg,
        _: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        outcome?;
        myself.stop(Some("finished".to_owned()));
        Ok(())
    }
}

/// Aborting the watching task drops this, which aborts the body.
struct Guarded(JoinHandle<Result<(), BoxError>>);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.abort();
    }
}
