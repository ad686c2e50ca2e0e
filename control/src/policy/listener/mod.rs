//! Options of a Gateway's listener made into what travels with it.
//!
//! Where they name an Upstream it is by its name in the table, so that the model carries them encoded, like policies.

mod access_log;
mod http;

use bytes::Bytes;
use portcullis_proto::table::v1 as wire;
use prost::Message as _;

use crate::resource::{Gateway, ObjectRef};
use crate::translate::{Notes, ServerLookup};

/// A listener's settings as they travel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// `HttpSettings`; empty = the defaults.
    pub http: Bytes,
    /// One `AccessLog` each.
    pub connection_logs: Vec<Bytes>,
}

/// Checks the settings of `gateway` and makes them what travels.
pub fn lower(
    gateway: &Gateway,
    id: &ObjectRef,
    upstreams: &mut dyn ServerLookup,
    notes: &mut Notes,
) -> Settings {
    let mut about = About { id, upstreams, notes };
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
    let mut http = wire::HttpSettings { access_logs, ..Default::default() };
    let options = gateway.http_gateway.as_ref().and_then(|it| it.options.as_ref());
    if let Some(settings) = options.and_then(|it| it.http_connection_manager_settings.as_ref()) {
        http::lower(settings, &mut http, &mut about);
    }
    let router = options.and_then(|it| it.router.as_ref());
    http.suppress_envoy_headers = router.is_some_and(|it| it.suppress_envoy_headers == Some(true));
    Settings {
        http: http.encode_to_vec().into(),
        connection_logs: connection_logs.iter().map(|log| log.encode_to_vec().into()).collect(),
    }
}

/// The Gateway that findings are about.
struct About<'a> {
    id: &'a ObjectRef,
    upstreams: &'a mut dyn ServerLookup,
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
