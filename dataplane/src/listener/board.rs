//! How the listeners are, as seen by the rest of the worker: written by the data threads when something changes, read by
//! readiness, beats and metrics. Never touched by a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Slots;

/// One listener over all threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Its name in the table.
    pub name: Arc<str>,
    /// Where it is bound or should be.
    pub address: SocketAddr,
    /// Threads that accept on it.
    pub threads: usize,
    /// Why a thread does not.
    pub problem: Option<String>,
}

/// A listener's name, and what came of binding it.
type Socket = (Arc<str>, Result<(), String>);

#[derive(Debug, Default)]
struct State {
    /// By address and thread.
    sockets: BTreeMap<(SocketAddr, usize), Socket>,
    /// Which publication each thread has reconciled.
    reconciled: Vec<u64>,
}

/// The board.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    slots: Arc<Slots>,
}

impl Board {
    /// A board for so many data threads.
    #[must_use]
    pub fn new(threads: usize, slots: Arc<Slots>) -> Arc<Self> {
        let state = State { reconciled: vec![0; threads], ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: watch::Sender::new(0), slots })
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|count| *count += 1);
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A thread tried to bind.
    pub fn report(&self, thread: usize, address: SocketAddr, name: &Arc<str>, outcome: Result<(), String>) {
        self.update(|state| {
            state.sockets.insert((address, thread), (Arc::clone(name), outcome));
        });
    }

    /// A thread no longer has this listener.
    pub fn forget(&self, thread: usize, address: SocketAddr) {
        self.update(|state| {
            state.sockets.remove(&(address, thread));
        });
    }

    /// A thread has done what publication number `generation` asks for, as far as it could.
    pub fn reconciled(&self, thread: usize, generation: u64) {
        self.update(|state| {
            if let Some(seen) = state.reconciled.get_mut(thread) {
                *seen = generation;
            }
        });
    }

    /// Waits until every thread has reconciled `generation`, but no longer than `patience`.
    pub async fn wait_reconciled(&self, generation: u64, patience: Duration) {
        let mut changed = self.changed.subscribe();
        let all = |_: &u64| self.read(|state| state.reconciled.iter().all(|seen| *seen >= generation));
        // Late is no failure: what could not be bound in time is in the next beat.
        let _ = tokio::time::timeout(patience, changed.wait_for(all)).await;
    }

    /// Tells of every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// All listeners by address.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        let mut all: Vec<Listening> = Vec::new();
        self.read(|state| {
            for ((address, _), (name, outcome)) in &state.sockets {
                let known = all.last_mut().filter(|last| last.address == *address);
                let problem = outcome.as_ref().err().cloned();
                let threads = usize::from(problem.is_none());
                match known {
                    Some(last) => {
                        last.threads += threads;
                        last.problem = last.problem.take().or(problem);
                    }
                    None => {
                        all.push(Listening { name: Arc::clone(name), address: *address, threads, problem })
                    }
                }
            }
        });
        all
    }

    /// Listeners that some thread could not bind, and why.
    #[must_use]
    pub fn problems(&self) -> Vec<(Arc<str>, String)> {
        self.listening()
            .into_iter()
            .filter_map(|listener| listener.problem.map(|problem| (listener.name, problem)))
            .collect()
    }

    /// Client connections right now.
    #[must_use]
    pub fn active_connections(&self) -> u64 {
        self.slots.taken() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_board_sums_up_the_threads() {
        let board = Board::new(2, Slots::new(1));
        let (a, b): (SocketAddr, SocketAddr) = ("[::]:80".parse().unwrap(), "[::]:81".parse().unwrap());
        let (na, nb): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        board.report(0, a, &na, Ok(()));
        board.report(1, a, &na, Ok(()));
        board.report(0, b, &nb, Err("in use".into()));
        board.report(1, b, &nb, Ok(()));
        let threads: Vec<usize> = board.listening().iter().map(|l| l.threads).collect();
        assert_eq!(threads, [2, 1]);
        assert_eq!(board.problems(), [(nb.clone(), "in use".to_owned())]);
        board.forget(0, b);
        assert_eq!(board.problems(), []);

        board.reconciled(0, 7);
        board.wait_reconciled(7, Duration::from_secs(1)).await; // gives up on thread 1
        let waiting = tokio::spawn({
            let board = Arc::clone(&board);
            async move { board.wait_reconciled(7, Duration::from_secs(3600)).await }
        });
        board.reconciled(1, 7);
        waiting.await.unwrap();
    }
}
