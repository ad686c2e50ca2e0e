//! Endpoints at run time: an address, and what is known about it for as long as it stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use portcullis_shared::table::{self, Labels, Place};
use tokio::time::Instant;

use super::outlier;

/// One address. Its running requests and its health stay with it as long as the address stays in the set.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub address: Place,
    /// Its share among the endpoints; at least 1.
    pub weight: u32,
    /// The DNS name that it was resolved from.
    pub hostname: Option<Arc<str>>,
    /// Its own server name.
    pub sni: Option<Arc<str>>,
    /// What subsets are made by.
    pub labels: Labels,
    state: Arc<State>,
}

/// What outlives a set.
#[derive(Debug)]
pub(super) struct State {
    active: AtomicUsize,
    /// Active checks say that it is down.
    pub(super) failed: AtomicBool,
    /// Requests went wrong on it.
    pub(super) ejected: AtomicBool,
    /// Its address is gone from the set, and it is still healthy.
    pub(super) leaving: AtomicBool,
    /// Since when it takes its part, for slow start.
    pub(super) since: Mutex<Instant>,
    pub(super) outlier: outlier::Counts,
}

impl State {
    fn new(failed: bool) -> Self {
        Self {
            active: AtomicUsize::new(0),
            failed: AtomicBool::new(failed),
            ejected: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            since: Mutex::new(Instant::now()),
            outlier: outlier::Counts::default(),
        }
    }
}

impl Endpoint {
    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> table::Endpoint {
        table::Endpoint {
            address: self.address.clone(),
            weight: self.weight,
            hostname: self.hostname.clone(),
            sni: self.sni.clone(),
            labels: self.labels.clone(),
        }
    }

    /// An endpoint with the state of the one before it at that address, else `failed` or not.
    pub(super) fn new(config: &table::Endpoint, before: Option<&Self>, failed: bool) -> Self {
        let state = before.map_or_else(|| Arc::new(State::new(failed)), |before| Arc::clone(&before.state));
        state.leaving.store(false, Relaxed);
        Self {
            address: config.address.clone(),
            weight: config.weight.max(1),
            hostname: config.hostname.clone(),
            sni: config.sni.clone(),
            labels: config.labels.clone(),
            state,
        }
    }

    /// Requests that run on it now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.state.active.load(Relaxed)
    }

    /// It should get requests, as far as health decides it.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.failed_check() && !self.is_ejected()
    }

    /// Active checks say that it is down.
    #[must_use]
    pub fn failed_check(&self) -> bool {
        self.state.failed.load(Relaxed)
    }

    /// It is out for a while, because requests went wrong on it.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.state.ejected.load(Relaxed)
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// It stands for the same address, in this set or another.
    pub(super) fn shares_state(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

/// A chosen endpoint. The request counts as running on it until this is dropped.
#[derive(Debug)]
pub struct Picked {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
}

impl Picked {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.state.active.fetch_add(1, Relaxed);
        Self { endpoint }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.endpoint.state.active.fetch_sub(1, Relaxed);
    }
}
