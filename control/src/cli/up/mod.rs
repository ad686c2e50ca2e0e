//! `portcullis up`: control and workers as child processes in the foreground.
//!
//! Owns the children's lives: start, readiness, restart, drain, end. Must not take part in configuration or traffic; a
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
use plan::Plan;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Beyond the drain time a worker closes what is left; this much later it is killed.
const GRACE: Duration = Duration::from_secs(5);

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
    control.spawn(child::supervise(plan.control.clone(), control_rx, ready_tx.clone(), *console));
    for program in &plan.workers {
        workers.spawn(child::supervise(program.clone(), workers_rx.clone(), ready_tx.clone(), *console));
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
    let result = loop {
        tokio::select! {
            () = &mut greet, if !greeted => greeted = true,
            () = stop.asked() => break Ok(()),
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

/// The signals that end `up`.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Stop, Failure> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
    }
}

/// "1 worker", "2 workers".
fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
