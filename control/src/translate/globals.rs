//! What every unit depends on: the switches of Settings.

use std::sync::Arc;

use super::cx::{Cx, Lookup};
use super::notes::Notes;
use super::{Snapshot, of_kind};
use crate::ir::{CircuitBreakers, DirectResponse};
use crate::policy::Servers;
use crate::resource::{Kind, ObjectRef, Spec};
use crate::upstream;

/// Switches of the whole installation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Globals {
    /// What answers in place of a broken route; `None` = a broken route breaks its virtual host.
    pub replacement: Option<DirectResponse>,
    /// Default of `oneWayTls`.
    pub one_way_tls: Option<bool>,
    /// A TLS connection reaches only the virtual hosts of its own sslConfig.
    pub isolate: bool,
    /// For upstreams without their own.
    pub circuit_breakers: Option<CircuitBreakers>,
    /// Gateways count in every namespace.
    pub all_namespaces: bool,
    /// The servers of listeners that name none.
    pub servers: Servers,
}

/// The name of the Settings object that counts.
const NAME: &str = "default";

/// Warns of Settings objects that do not count.
pub fn warn_of_others(snapshot: &Snapshot, notes: &mut Notes) {
    let own = &snapshot.own_namespace;
    for (id, _) in of_kind(snapshot, Kind::Settings) {
        let field = match (id.namespace == *own, &*id.name == NAME) {
            (true, true) => continue,
            (false, _) => "metadata.namespace",
            (true, false) => "metadata.name",
        };
        notes.warning(id, field, format!("not read: settings are those named {NAME} in namespace {own}"));
    }
}

/// Reads the Settings object that counts: `default` in the own namespace.
pub fn read(cx: &mut Cx<'_>, own_namespace: &Arc<str>, notes: &mut Notes) -> Globals {
    let id = ObjectRef::new(Kind::Settings, Arc::clone(own_namespace), NAME);
    let Lookup::Found(object) = cx.object(&id) else {
        return Globals::default();
    };
    let Spec::Settings(settings) = &object.spec else {
        return Globals::default();
    };
    let policy = settings.gloo.as_ref().and_then(|gloo| gloo.invalid_config_policy.as_ref());
    let gateway = settings.gateway.as_ref();
    let replacement = policy.filter(|policy| policy.replace_invalid_routes).map(|policy| {
        let path = "spec.gloo.invalidConfigPolicy.invalidRouteResponseCode";
        let status = match policy.invalid_route_response_code {
            0 => 404,
            code => u16::try_from(code).ok().filter(|code| (200..600).contains(code)).unwrap_or_else(|| {
                notes.complaint(&id, path, format!("{code} is not a status from 200 to 599, 404 is used"));
                404
            }),
        };
        DirectResponse { status, body: policy.invalid_route_response_body.as_str().into() }
    });
    let breakers = settings.gloo.as_ref().and_then(|gloo| gloo.circuit_breakers.as_ref());
    Globals {
        replacement,
        circuit_breakers: breakers.map(upstream::circuit_breakers),
        one_way_tls: gateway.and_then(|it| it.virtual_service_options.as_ref()?.one_way_tls),
        isolate: gateway.and_then(|it| it.isolate_virtual_hosts_by_ssl_config).unwrap_or(false),
        servers: Servers::of_settings(settings, &id, notes),
        all_namespaces: gateway.is_some_and(|it| it.read_gateways_from_all_namespaces),
    }
}
