//! One-for-one supervision with backoff and a restart budget.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::child::ChildSpec;

/// How many failures of one child, in which time, a supervisor puts up with before it fails itself.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Failures that are tolerated inside `window`.
    pub failures: usize,
    /// The time over which failures are counted.
    pub window: Duration,
}

impl Default for Budget {
    /// Five restarts in a minute.
    fn default() -> Self {
        Self { failures: 5, window: Duration::from_secs(60) }
    }
}

/// Restarts by child name since the process began, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Restarts(Arc<Mutex<BTreeMap<Arc<str>, u64>>>);

impl Restarts {
    fn count(&self, child: &Arc<str>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(Arc::clone(child)).or_default() += 1;
    }

    /// A copy of the counts.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Arc<str>, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What can be asked of a supervisor.
pub enum SupervisorMsg {
    /// Starts a further child. A running child of the same name is stopped first.
    Add(ChildSpec),
    /// Stops a child for good. An unknown name is ignored.
    Remove(Arc<str>),
    /// Internal: the backoff of a failed child has passed.
    Restart(Arc<str>),
    /// Internal: a test wants to see what goes on without this child.
    #[cfg(debug_assertions)]
    Kill(Arc<str>),
}

/// The supervising actor. Its arguments are the children to start with.
pub struct Supervisor {
    name: Arc<str>,
    budget: Budget,
    restarts: Restarts,
}

impl Supervisor {
    /// A supervisor that logs as `name` and counts into `restarts`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, budget: Budget, restarts: Restarts) -> Self {
        Self { name: name.into(), budget, restarts }
    }
}

struct Child {
    spec: ChildSpec,
    running: Option<ActorCell>,
    backoff: Backoff,
    failures: VecDeque<Instant>,
}

/// The children of a supervisor by name.
#[derive(Default)]
pub struct Children(BTreeMap<Arc<str>, Child>);

impl Children {
    fn by_id(&mut self, id: ActorId) -> Option<&mut Child> {
        self.0.values_mut().find(|child| child.running.as_ref().is_some_and(|cell| cell.get_id() == id))
    }
}

impl Supervisor {
    /// Starts `child`; a start that fails counts like a failure while running.
    async fn start(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        child: &mut Child,
    ) -> Result<(), ActorProcessingErr> {
        match (child.spec.spawn)(myself.get_cell()).await {
            Ok(cell) => {
                child.running = Some(cell);
                Ok(())
            }
            Err(error) => self.failed(myself, child, &error.to_string()),
        }
    }

    /// Plans the restart of a failed child, or fails when its budget is spent.
    fn failed(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        child: &mut Child,
        reason: &str,
    ) -> Result<(), ActorProcessingErr> {
        child.running = None;
        let now = Instant::now();
        while child.failures.front().is_some_and(|at| now.duration_since(*at) > self.budget.window) {
            child.failures.pop_front();
        }
        if child.failures.is_empty() {
            child.backoff.reset();
        }
        child.failures.push_back(now);
        let name = Arc::clone(&child.spec.name);
        if child.failures.len() > self.budget.failures {
            tracing::error!(supervisor = %self.name, child = %name, reason, "child fails too often; giving up");
            return Err(format!("{}: child {name} fails too often: {reason}", self.name).into());
        }
        let wait = child.backoff.next();
        tracing::warn!(supervisor = %self.name, child = %name, reason, restart_in_ms = wait.as_millis() as u64, "child failed");
        self.restarts.count(&name);
        myself.send_after(wait, move || SupervisorMsg::Restart(name));
        Ok(())
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = Children;
    type Arguments = Vec<ChildSpec>;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        specs: Vec<ChildSpec>,
    ) -> Result<Children, ActorProcessingErr> {
        for spec in specs {
            myself.send_message(SupervisorMsg::Add(spec))?;
        }
        #[cfg(debug_assertions)]
        super::faults::follow(myself.clone());
        Ok(Children::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Add(spec) => {
                let name = Arc::clone(&spec.name);
                let mut child =
                    Child { spec, running: None, backoff: Backoff::standard(), failures: VecDeque::new() };
                self.start(&myself, &mut child).await?;
                if let Some(old) = children.0.insert(name, child).and_then(|old| old.running) {
                    old.stop(Some("replaced".to_owned()));
                }
            }
            SupervisorMsg::Remove(name) => {
                if let Some(cell) = children.0.remove(&name).and_then(|child| child.running) {
                    cell.stop(Some("removed".to_owned()));
                }
            }
            SupervisorMsg::Restart(name) => {
                if let Some(child) = children.0.get_mut(&name).filter(|child| child.running.is_none()) {
                    self.start(&myself, child).await?;
                }
            }
            #[cfg(debug_assertions)]
            SupervisorMsg::Kill(name) => {
                if let Some(cell) = children.0.get(&name).and_then(|child| child.running.as_ref()) {
                    super::faults::done(&name);
                    cell.kill();
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => match children.by_id(cell.get_id()) {
                Some(child) => self.failed(&myself, child, &error.to_string()),
                None => Ok(()),
            },
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let Some(child) = children.by_id(cell.get_id()) else { return Ok(()) };
                if child.spec.temporary {
                    let name = Arc::clone(&child.spec.name);
                    children.0.remove(&name);
                    return Ok(());
                }
                let reason = reason.unwrap_or_else(|| "ended".to_owned());
                self.failed(&myself, child, &reason)
            }
            _ => Ok(()),
        }
    }

    async fn post_stop(
        &self,
        myself: ActorRef<SupervisorMsg>,
        _: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        // In time for children to say goodbye, but not for ever: what is left is killed with the supervisor.
        myself.get_cell().stop_children_and_wait(None, Some(Duration::from_secs(2))).await;
        Ok(())
    }
}

/// Runs `children` under a root supervisor until `stop` completes or the root fails.
///
/// # Errors
/// The root failed: one of its children used up its budget. The process should exit with a non-zero status.
pub async fn run_root(
    name: &'static str,
    restarts: Restarts,
    children: Vec<ChildSpec>,
    stop: impl Future<Output = ()>,
) -> Result<(), super::BoxError> {
    let root = Supervisor::new(name, Budget::default(), restarts);
    let (actor, mut joined) = Actor::spawn(None, root, children).await?;
    tokio::select! {
        () = stop => {
            actor.stop(None);
            // The handle only says that the actor has ended; how is known.
            let _ = joined.await;
            Ok(())
        }
        _ = &mut joined => Err(format!("{name}: the root supervisor gave up").into()),
    }
}
