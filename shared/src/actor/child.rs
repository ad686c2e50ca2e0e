//! What a supervisor needs to know to start a child, again and again.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{Actor, ActorCell, SpawnErr};

use super::body::{Body, BoxError, Start};
use super::supervisor::{Budget, Restarts, Supervisor};

type Spawn = Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A named recipe for a child. Cheap to clone.
#[derive(Clone)]
pub struct ChildSpec {
    pub(super) name: Arc<str>,
    pub(super) spawn: Spawn,
    /// A child that ends without an error is started again unless it is temporary.
    pub(super) temporary: bool,
}

impl ChildSpec {
    /// A child whose behaviour is the future that `start` makes: it is called anew for every (re)start.
    ///
    /// The child fails when the future returns an error or panics.
    pub fn body<F, Fut>(name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let start: Start = Arc::new(move || start().boxed());
        Self::actor(name, move || (Body, Arc::clone(&start)))
    }

    /// A child that is a message-handling actor: `make` gives the actor and its arguments for every (re)start.
    pub fn actor<A, F>(name: impl Into<Arc<str>>, make: F) -> Self
    where
        A: Actor,
        F: Fn() -> (A, A::Arguments) + Send + Sync + 'static,
    {
        let spawn: Spawn = Arc::new(move |supervisor| {
            let (actor, arguments) = make();
            async move {
                let (child, _) = Actor::spawn_linked(None, actor, arguments, supervisor).await?;
                Ok(child.get_cell())
            }
            .boxed()
        });
        Self { name: name.into(), spawn, temporary: false }
    }

    /// A child that is a supervisor with children of its own.
    pub fn supervisor(
        name: impl Into<Arc<str>>,
        budget: Budget,
        restarts: Restarts,
        children: impl Fn() -> Vec<ChildSpec> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let label = Arc::clone(&name);
        Self::actor(name, move || (Supervisor::new(Arc::clone(&label), budget, restarts.clone()), children()))
    }

    /// The child is not started again when it ends without an error (sessions, one-shot work).
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }
}
