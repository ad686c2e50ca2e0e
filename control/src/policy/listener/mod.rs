//! Options of a Gateway's listener made into what travels with it.
//!
//! Nothing in them refers to other resources, so that the model carries them encoded, like policies.

mod access_log;
mod http;

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use prost::Message as _;

use super::Layer;
use crate::resource::{HttpConnectionManagerSettings, HttpListenerOptions, ListenerOptions, ObjectRef};
use crate::translate::Notes;

/// The field of connection manager settings.
const MANAGER: &str = "httpConnectionManagerSettings";

/// A listener's settings as they travel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `HttpSettings`; empty = the defaults.
    pub http: Bytes,
    /// One `AccessLog` each.
    pub connection_logs: Vec<Bytes>,
}

/// Checks the settings of a Gateway, and those of its `http` side if it has one, and makes them what travels.
pub fn lower(
    options: Option<&ListenerOptions>,
    http: Option<&Layer<'_, HttpListenerOptions>>,
    id: &ObjectRef,
    notes: &mut Notes,
) -> Settings {
    let mut about = About { id, notes };
    let logs = |service: Option<&_>, field: &str, about: &mut About<'_>| {
        service.map(|it| access_log::lower(it, &format!("spec.options.{field}"), about)).unwrap_or_default()
    };
    let access_logs =
        logs(options.and_then(|it| it.access_logging_service.as_ref()), "accessLoggingService", &mut about);
    let connection_logs = logs(
        options.and_then(|it| it.listener_access_logging_service.as_ref()),
        "listenerAccessLoggingService",
        &mut about,
    );
    let mut settings = wire::HttpSettings { access_logs, ..Default::default() };
    if let Some(Layer { options, owner, path, .. }) = http {
        if let Some(manager) = &options.http_connection_manager_settings {
            let path = format!("{path}.{MANAGER}");
            http::lower(manager, &path, &mut settings, &mut About { id: owner, notes: &mut *about.notes });
        }
        let router = options.router.as_ref();
        settings.suppress_envoy_headers = router.is_some_and(|it| it.suppress_envoy_headers == Some(true));
    }
    Settings {
        http: settings.encode_to_vec().into(),
        connection_logs: connection_logs.iter().map(|log| log.encode_to_vec().into()).collect(),
    }
}

/// Checks connection manager settings that stand at `path` of `owner` and are merged into others.
pub fn check(settings: &HttpConnectionManagerSettings, owner: &ObjectRef, path: &str, notes: &mut Notes) {
    let mut nowhere = wire::HttpSettings::default();
    http::lower(settings, path, &mut nowhere, &mut About { id: owner, notes });
}

/// The resource that findings are about.
struct About<'a> {
    id: &'a ObjectRef,
    notes: &'a mut Notes,
}

impl About<'_> {
    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.warning(self.id, path, message);
    }

    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.error(self.id, path, message);
    }
}
