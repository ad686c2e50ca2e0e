//! One line per object for the command line.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_proto::admin::v1 as wire;
use portcullis_proto::link::v1::upsert::Resource;

use super::served::Served;
use crate::compile::{Body, Table};
use crate::config::Published;
use crate::publish::Rollout;
use crate::resource::{Entry, Finding, Kind, Level, ObjectRef};
use crate::translate::{ObjectReport, State};

/// What is known of one object.
pub struct Row<'a> {
    /// The object.
    pub id: &'a ObjectRef,
    /// What the source said.
    pub entry: &'a Arc<Entry>,
    /// What translation said.
    pub report: Option<&'a ObjectReport>,
}

impl Row<'_> {
    /// Accepted, Warning or Rejected.
    #[must_use]
    pub fn state(&self) -> State {
        match self.report {
            Some(report) => report.state(),
            None if self.entry.rejected() => State::Rejected,
            None => State::Accepted,
        }
    }

    /// The row as it travels. The kind's own columns are left to the reader, which has the document.
    #[must_use]
    pub fn to_wire(&self, published: &Published, served: &Served, now: SystemTime) -> wire::ResourceStatus {
        let (workers_serving, workers_total) = served.count(self.id);
        let findings = self.report.map_or(&self.entry.findings, |report| &report.findings);
        let first_seen = published.first_seen.get(self.id);
        wire::ResourceStatus {
            kind: self.id.kind.as_str().to_owned(),
            namespace: self.id.namespace.to_string(),
            name: self.id.name.to_string(),
            state: self.state().to_string(),
            reason: self.report.map(ObjectReport::reason).unwrap_or_default(),
            findings: findings.iter().map(finding).collect(),
            age_seconds: first_seen
                .and_then(|seen| now.duration_since(*seen).ok())
                .map_or(0, |age| age.as_secs()),
            workers_serving,
            workers_total,
            last_accepted_form: self.report.is_some_and(|report| report.using_last_accepted),
            file: self.entry.location.file.display().to_string(),
            line: self.entry.location.line,
            worker_errors: served.errors(self.id),
            document: self
                .entry
                .object
                .as_ref()
                .map(|object| object.document.to_string())
                .unwrap_or_default(),
        }
    }
}

/// The rows of `published` that fit, in order of kind, namespace and name. `""` fits everything.
pub fn rows<'a>(
    published: &'a Published,
    kind: Option<Kind>,
    namespace: &'a str,
    name: &'a str,
) -> impl Iterator<Item = Row<'a>> {
    published
        .entries
        .iter()
        .filter(move |(id, _)| kind.is_none_or(|kind| kind == id.kind))
        .filter(move |(id, _)| namespace.is_empty() || namespace == &*id.namespace)
        .filter(move |(id, _)| name.is_empty() || name == &*id.name)
        .map(|(id, entry)| Row { id, entry, report: published.report.objects.get(id) })
}

fn finding(finding: &Finding) -> wire::Finding {
    let location = finding.location.as_ref();
    wire::Finding {
        error: finding.level == Level::Error,
        path: finding.path.clone(),
        message: finding.message.clone(),
        file: location.map(|l| l.file.display().to_string()).unwrap_or_default(),
        line: location.map_or(0, |l| l.line),
        column: location.map_or(0, |l| l.column),
    }
}

/// The workers as they travel.
#[must_use]
pub fn workers(published: Option<&Published>, rollout: &Rollout, now: SystemTime) -> Vec<wire::Worker> {
    rollout
        .values()
        .map(|worker| {
            let wanted = published.map(|published| published.target(&worker.proxy).version);
            let acknowledged = worker.acknowledged.as_ref().map(|a| a.version);
            let refused = worker.refused.iter().map(|((_, name), refusal)| {
                let path =
                    if refusal.path.is_empty() { String::new() } else { format!("{}: ", refusal.path) };
                format!("{name}: {path}{}", refusal.reason)
            });
            let listeners =
                worker.listener_errors.iter().map(|(listener, reason)| format!("{listener}: {reason}"));
            let reason: Vec<String> = refused.chain(listeners).collect();
            let state = if worker.draining {
                "draining"
            } else if !reason.is_empty() {
                "rejecting"
            } else if acknowledged.is_some() && acknowledged == wanted {
                "synced"
            } else {
                "behind"
            };
            wire::Worker {
                id: worker.id.to_string(),
                proxy_name: worker.proxy.to_string(),
                pid: worker.pid,
                build: worker.build.clone(),
                version: acknowledged.map(|version| version.to_string()).unwrap_or_default(),
                state: state.to_owned(),
                reason: reason.join("; "),
                connected_seconds: now.duration_since(worker.connected).map_or(0, |d| d.as_secs()),
                admin_address: worker.admin_address.clone(),
                active_connections: worker.active_connections,
            }
        })
        .collect()
}

/// What the tables bind, for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Of proxies that have a worker: `http://[::]:8080`, sorted.
    pub served: Vec<String>,
    /// Of proxies that have none: `http://[::]:8080 (proxy other)`, sorted.
    pub unserved: Vec<String>,
}

/// What the tables bind, and whether anybody does it.
#[must_use]
pub fn listeners(published: &Published, rollout: &Rollout) -> Listeners {
    let mut listeners = Listeners::default();
    for (name, proxy) in published.proxies.iter() {
        let addresses = addresses(&proxy.table);
        if rollout.values().any(|worker| worker.proxy == *name) {
            listeners.served.extend(addresses);
        } else {
            listeners
                .unserved
                .extend(addresses.into_iter().map(|address| format!("{address} (proxy {name})")));
        }
    }
    listeners.served.sort_unstable();
    listeners.served.dedup();
    listeners.unserved.sort_unstable();
    listeners
}

fn addresses(table: &Table) -> BTreeSet<String> {
    let mut addresses = BTreeSet::new();
    for entry in table.entries.values() {
        let Body::Upsert(Resource::Listener(listener)) = &entry.body else { continue };
        let scheme =
            if listener.filter_chains.iter().any(|chain| chain.tls.is_some()) { "https" } else { "http" };
        let address = match listener.address.as_str() {
            v6 if v6.contains(':') => format!("[{v6}]"),
            v4 => v4.to_owned(),
        };
        addresses.insert(format!("{scheme}://{address}:{}", listener.port));
    }
    addresses
}
