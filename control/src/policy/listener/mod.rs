//! Options of a Gateway's listener made into what travels with it.
//!
//! Where they name an Upstream it is by its name in the table, so that the model carries them encoded, like policies.

mod access_log;
mod connections;
mod headers;
mod http;
mod tcp;

pub use tcp::{TcpSettings, lower_tcp};

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use prost::Message as _;

use super::Layer;
use crate::resource::{HttpConnectionManagerSettings, HttpListenerOptions, ListenerOptions, ObjectRef};
use crate::translate::{Notes, ServerLookup};

/// The field of connection manager settings.
const MANAGER: &str = "httpConnectionManagerSettings";

/// A listener's settings as they travel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `HttpSettings`; empty = the defaults.
    pub http: Bytes,
    /// One `AccessLog` each.
    pub connection_logs: Vec<Bytes>,
    /// A `Listener` with what else it has.
    pub options: Bytes,
    /// `Admission` of its HTTP chains; empty = all connections are let in.
    pub admission: Bytes,
    /// A `TcpProxy` with what connections have that are passed on.
    pub tcp: Bytes,
}

/// Checks the settings of a Gateway, and those of its `http` side if it has one, and makes them what travels.
pub fn lower(
    options: Option<&ListenerOptions>,
    http: Option<&Layer<'_, HttpListenerOptions>>,
    id: &ObjectRef,
    upstreams: &mut dyn ServerLookup,
    notes: &mut Notes,
) -> Settings {
    let mut about = About::of(id, notes);
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
    let buffer_limit = connections::buffer_limit(options, &mut about);
    let own = connections::listener(options, &mut about);
    let tcp = wire::TcpProxy { access_logs: access_logs.clone(), buffer_limit, ..Default::default() };
    let mut settings = wire::HttpSettings { access_logs, buffer_limit, ..Default::default() };
    let mut admission = Bytes::new();
    if let Some(layer) = http {
        let Layer { options, owner, path, .. } = layer;
        if let Some(manager) = &options.http_connection_manager_settings {
            lower_manager(manager, owner, &format!("{path}.{MANAGER}"), &mut settings, upstreams, notes);
        }
        let router = options.router.as_ref();
        settings.suppress_envoy_headers = router.is_some_and(|it| it.suppress_envoy_headers == Some(true));
        let bucket = ("networkLocalRatelimit", options.network_local_ratelimit.as_ref());
        admission = connections::admission(layer, options.connection_limit.as_ref(), bucket, notes);
    }
    Settings {
        options: own,
        admission,
        tcp: tcp.encode_to_vec().into(),
        http: settings.encode_to_vec().into(),
        connection_logs: connection_logs.iter().map(|log| log.encode_to_vec().into()).collect(),
    }
}

/// Checks connection manager settings that stand at `path` of `owner` and are merged into others.
pub fn check_manager(
    settings: &HttpConnectionManagerSettings,
    owner: &ObjectRef,
    path: &str,
    upstreams: &mut dyn ServerLookup,
    notes: &mut Notes,
) {
    lower_manager(settings, owner, path, &mut wire::HttpSettings::default(), upstreams, notes);
}

fn lower_manager(
    settings: &HttpConnectionManagerSettings,
    owner: &ObjectRef,
    path: &str,
    to: &mut wire::HttpSettings,
    upstreams: &mut dyn ServerLookup,
    notes: &mut Notes,
) {
    http::lower(settings, to, upstreams, &mut About { id: owner, path, notes });
}

/// The resource that findings are about.
struct About<'a> {
    id: &'a ObjectRef,
    /// Where connection manager settings stand, where it is about those.
    path: &'a str,
    notes: &'a mut Notes,
}

impl<'a> About<'a> {
    fn of(id: &'a ObjectRef, notes: &'a mut Notes) -> Self {
        Self { id, path: "", notes }
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.warning(self.id, path, message);
    }

    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.error(self.id, path, message);
    }
}
