//! `portcullis up`: control and workers as child processes in the foreground.
//!
//! Owns the children's lives: start, readiness, restart, replacement at SIGHUP, drain, end. Must not take part in configuration or traffic; a
//! `kill -9` of this process ends the children too, because each watches a pipe that this process holds open.

mod cache_key;
mod child;
mod plan;
mod ready;
mod report;

use super::Failure;
use super::args::UpArgs;
use super::console::{Console, Paint};
use child::{Outcome, Phase};
use futures::FutureExt;
use futures::future::BoxFuture;
use plan::Plan;
use std::future::pending;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Beyond the drain time a worker closes what is left; this much later it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long control may take to be ready again, and a worker to hand over and to drain, beyond its own limits.
const REPLACED: Duration = Duration::from_secs(600);

/// Runs until SIGINT or SIGTERM, or until a child cannot be started.
pub async fn run(args: UpArgs, console: &Console) -> Result<(), Failure> {
    let plan = Plan::new(&args)?;
    let _lock = plan.lock()?;
    let mut stop = Stop::new()?;
    let (workers_phase, workers_rx) = watch::channel(Phase::Run);
    let (control_phase, control_rx) = watch::channel(Phase::Run);
    let (ready_tx, ready_rx) = watch::channel(0_usize);
    let mut control = JoinSet::new();
    let mut workers = JoinSet::new();
    let mut orders = Vec::new();
    let mut order = |name: &str| {
        let (sender, receiver) = mpsc::channel(1);
        orders.push((name.to_owned(), sender));
        receiver
    };
    let received = order(&plan.control.name);
    control.spawn(child::supervise(plan.control.clone(), control_rx, ready_tx.clone(), received, *console));
    for program in &plan.workers {
        let received = order(&program.name);
        workers.spawn(child::supervise(
            program.clone(),
            workers_rx.clone(),
            ready_tx.clone(),
            received,
            *console,
        ));
    }
    console.say(&format!(
        "portcullis: control and {} of {} start, state is in {}",
        count(plan.workers.len(), "worker"),
        args.config.display(),
        plan.data_dir.display()
    ));

    let greet = report::when_ready(&plan, ready_rx, *console);
    tokio::pin!(greet);
    let mut greeted = false;
    let mut replacing: Option<BoxFuture<'_, ()>> = None;
    let result = loop {
        tokio::select! {
            () = &mut greet, if !greeted => greeted = true,
            asked = stop.told() => {
                if asked == Asked::Stop {
                    break Ok(());
                }
                if replacing.is_none() {
                    replacing = Some(replace_all(&orders, console).boxed());
                }
            }
            () = async { match &mut replacing { Some(work) => work.await, None => pending().await } } => {
                replacing = None;
            }
            Some(ended) = control.join_next() => break ended_early(ended),
            Some(ended) = workers.join_next() => break ended_early(ended),
        }
    };

    if result.is_ok() {
        console.note(Paint::Dim, "portcullis:", "drains; once more to stop without waiting");
    }
    let limit = if result.is_ok() { args.drain + GRACE } else { GRACE };
    finish(&workers_phase, &mut workers, limit, &mut stop).await;
    finish(&control_phase, &mut control, GRACE, &mut stop).await;
    if result.is_ok() {
        console.note(Paint::Dim, "portcullis:", "stopped");
    }
    result
}

/// Puts new processes in the place of all, one after the other: control first, so that new workers find it. Traffic goes
/// on: each worker's successor serves before it drains. At the first that fails the rest stays as it is.
async fn replace_all(orders: &[(String, mpsc::Sender<child::Replace>)], console: &Console) {
    console.note(Paint::Dim, "portcullis:", "SIGHUP: replaces control and the workers, one at a time");
    for (name, order) in orders {
        let (answer, done) = oneshot::channel();
        let replaced = match order.send(answer).await {
            Ok(()) => timeout(REPLACED, done).await,
            // It is ending.
            Err(_) => return,
        };
        let reason = match replaced {
            Ok(Ok(Ok(()))) => continue,
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(_)) => "it ends".to_owned(),
            Err(_) => "it is not ready".to_owned(),
        };
        console.note(
            Paint::Bad,
            "portcullis:",
            &format!("{name} is not replaced: {reason}; what runs goes on"),
        );
        return;
    }
    console.note(Paint::Good, "portcullis:", "all are replaced");
}

/// Drains a group of children; kills what is left after `limit` or when asked once more.
async fn finish(
    phase: &watch::Sender<Phase>,
    group: &mut JoinSet<Outcome>,
    limit: Duration,
    stop: &mut Stop,
) {
    let _ = phase.send(Phase::Drain);
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        tokio::select! {
            ended = group.join_next() => if ended.is_none() { return },
            () = tokio::time::sleep_until(deadline) => break,
            () = stop.asked() => break,
        }
    }
    let _ = phase.send(Phase::Kill);
    while group.join_next().await.is_some() {}
}

fn ended_early(ended: Result<Outcome, tokio::task::JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(Outcome::Stopped) => Ok(()),
        Ok(Outcome::GaveUp(reason)) => Err(Failure::Because(reason)),
        Err(error) => Err(Failure::Because(format!("a supervising task failed: {error}"))),
    }
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Replace,
}

/// The signals to `up`.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Started from a terminal.
    interactive: bool,
}

impl Stop {
    fn new() -> Result<Stop, Failure> {
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interactive: std::io::stdin().is_terminal(),
        })
    }

    async fn told(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => {
                if self.is_terminal_gone() { Asked::Stop } else { Asked::Replace }
            }
        }
    }

    /// A SIGHUP has two meanings: somebody wants new processes, or the terminal was closed.
    fn is_terminal_gone(&self) -> bool {
        self.interactive && !std::io::stdin().is_terminal()
    }

    async fn asked(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }
}

/// "1 worker", "2 workers".
fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
