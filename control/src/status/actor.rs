//! Logs what changes: states of objects, findings without an object, and when all workers follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_shared::actor::BoxError;
use portcullis_shared::version::Version;

use crate::config::Published;
use crate::publish::Rollout;
use crate::resource::{Finding, ObjectRef};
use crate::topics::Topics;
use crate::translate::{Report, State};

/// Lines about single objects per build; the rest is summed up.
const LINES: usize = 50;

/// Runs until the process ends. A restart says everything that is not well once more.
///
/// # Errors
/// The process ends.
pub async fn run(topics: Topics) -> Result<(), BoxError> {
    let (mut tables, mut rollout) = (topics.tables.subscribe(), topics.rollout.subscribe());
    tables.mark_changed();
    let mut said = Said::default();
    loop {
        tokio::select! {
            changed = tables.changed() => {
                changed?;
                let published = tables.borrow_and_update().clone();
                if let Some(published) = published {
                    said.objects(&published);
                    said.findings(&published);
                }
            }
            changed = rollout.changed() => changed?,
        }
        let (published, rollout) = (tables.borrow().clone(), rollout.borrow_and_update().clone());
        if let Some(published) = published {
            said.rollout(&published, &rollout);
        }
    }
}

/// What was said already.
#[derive(Default)]
struct Said {
    /// The report that was looked at last.
    report: Option<Arc<Report>>,
    objects: BTreeMap<ObjectRef, (State, String)>,
    findings: BTreeSet<Finding>,
    followed: Option<Version>,
}

impl Said {
    fn objects(&mut self, published: &Published) {
        if self.report.as_ref().is_some_and(|report| Arc::ptr_eq(report, &published.report)) {
            return;
        }
        self.report = Some(Arc::clone(&published.report));
        let mut now = BTreeMap::new();
        for (id, report) in &published.report.objects {
            if report.state() != State::Accepted {
                now.insert(id.clone(), (report.state(), report.reason()));
            }
        }
        let mut lines = 0;
        for (id, (state, reason)) in &now {
            if self.objects.get(id).is_some_and(|(s, r)| s == state && r == reason) {
                continue;
            }
            lines += 1;
            if lines > LINES {
                continue;
            }
            let last_accepted_form = published.report.objects.get(id).is_some_and(|r| r.using_last_accepted);
            let place = published.entries.get(id).map(|entry| entry.location.to_string()).unwrap_or_default();
            tracing::warn!(object = %id, %state, reason = %reason.trim(), last_accepted_form, place, "object is not accepted as it stands");
        }
        if lines > LINES {
            tracing::warn!(more = lines - LINES, "further objects are not accepted as they stand");
        }
        for id in self.objects.keys().filter(|id| !now.contains_key(*id)).take(LINES) {
            if published.entries.contains_key(id) {
                tracing::info!(object = %id, "object is accepted now");
            }
        }
        self.objects = now;
    }

    fn findings(&mut self, published: &Published) {
        let all = || published.problems.iter().chain(published.notices.iter());
        for finding in all().filter(|finding| !self.findings.contains(*finding)).take(LINES) {
            let place = finding.location.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(place, "{finding}");
        }
        self.findings = all().cloned().collect();
    }

    fn rollout(&mut self, published: &Arc<Published>, rollout: &Rollout) {
        let follows = |worker: &crate::publish::Worker| {
            let wanted = published.target(&worker.proxy).version;
            worker.acknowledged.as_ref().is_some_and(|a| a.version == wanted)
        };
        if rollout.is_empty() || self.followed == Some(published.version) {
            return;
        }
        if rollout.values().all(|worker| follows(worker)) {
            self.followed = Some(published.version);
            tracing::info!(version = %published.version, workers = rollout.len(), "all workers run the newest tables");
        }
    }
}
