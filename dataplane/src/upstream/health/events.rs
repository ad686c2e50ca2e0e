//! The log of what checks find: JSON lines in a file, in the form of Envoy's.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_shared::table::{Checker, HealthCheck, Place};
use serde_json::{Value, json};

use super::super::Upstream;
use super::super::endpoint::Endpoint;
use super::probe::Failure;

/// Something to tell.
pub(super) enum Event {
    AddHealthy { first: bool },
    EjectUnhealthy { failure: Failure },
    CheckFailure { failure: Failure, first: bool },
}

/// Whom it is about, and where it is told.
pub(super) struct Log<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) endpoint: &'a Endpoint,
    pub(super) check: &'a HealthCheck,
}

impl Log<'_> {
    /// Writes a line, if there is a file for it. One that cannot be written is told and lost.
    pub(super) fn write(&self, event: Event) {
        let Some(path) = &self.check.event_log else { return };
        let (path, line) = (Arc::clone(path), format!("{}\n", self.line(&event)));
        tokio::task::spawn_blocking(move || {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&*path);
            if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
                tracing::warn!(%path, %error, "the health check event log cannot be written");
            }
        });
    }

    fn line(&self, event: &Event) -> Value {
        let checker = match self.check.checker {
            Checker::Http(_) => "HTTP",
            Checker::Tcp(_) => "TCP",
            Checker::Grpc(_) => "GRPC",
        };
        let host = match &self.endpoint.address {
            Place::Address(address) => json!({"socket_address": {
                "protocol": "TCP",
                "address": address.ip().to_string(),
                "port_value": address.port(),
            }}),
            Place::Pipe(path) => json!({"pipe": {"path": &**path}}),
        };
        let mut line = json!({
            "health_checker_type": checker,
            "host": host,
            "cluster_name": &*self.upstream.name,
            "timestamp": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        });
        let (name, about) = match event {
            Event::AddHealthy { first } => ("add_healthy_event", json!({"first_check": first})),
            Event::EjectUnhealthy { failure } => {
                ("eject_unhealthy_event", json!({"failure_type": failure.word()}))
            }
            Event::CheckFailure { failure, first } => {
                ("health_check_failure_event", json!({"failure_type": failure.word(), "first_check": first}))
            }
        };
        if let Some(line) = line.as_object_mut() {
            line.insert(name.to_owned(), about);
        }
        line
    }
}
