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
use crate::resource::{Gateway, ObjectRef};
use crate::translate::{Notes, ServerLookup};

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

/// Checks the settings of `gateway` and makes them what travels.
pub fn lower(
    gateway: &Gateway,
    id: &ObjectRef,
    upstreams: &mut dyn ServerLookup,
    notes: &mut Notes,
) -> Settings {
    let mut about = About::of(id, notes);
    let options = gateway.options.as_ref();
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
    let mut http = wire::HttpSettings { access_logs, buffer_limit, ..Default::default() };
    let options = gateway.http_gateway.as_ref().and_then(|it| it.options.as_ref());
    if let Some(settings) = options.and_then(|it| it.http_connection_manager_settings.as_ref()) {
        http::lower(settings, &mut http, upstreams, &mut about);
    }
    let router = options.and_then(|it| it.router.as_ref());
    http.suppress_envoy_headers = router.is_some_and(|it| it.suppress_envoy_headers == Some(true));
    let admission = options.map(|options| {
        let layer = Layer { options, owner: id, path: "spec.httpGateway.options".into(), depth: 0 };
        let bucket = ("networkLocalRatelimit", options.network_local_ratelimit.as_ref());
        connections::admission(&layer, options.connection_limit.as_ref(), bucket, notes)
    });
    Settings {
        options: own,
        admission: admission.unwrap_or_default(),
        tcp: tcp.encode_to_vec().into(),
        http: http.encode_to_vec().into(),
        connection_logs: connection_logs.iter().map(|log| log.encode_to_vec().into()).collect(),
    }
}

/// The Gateway that findings are about.
struct About<'a> {
    id: &'a ObjectRef,
    notes: &'a mut Notes,
}

impl<'a> About<'a> {
    fn of(id: &'a ObjectRef, notes: &'a mut Notes) -> Self {
        Self { id, notes }
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.warning(self.id, path, message);
    }

    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.notes.error(self.id, path, message);
    }
}
