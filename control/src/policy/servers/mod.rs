//! The user's own servers that policies ask: an auth and a rate limit server for each listener, further auth servers by
//! name.
//!
//! Owns what Settings and listeners say about servers, checked. A server that is not as it must be is left out, so that
//! options that want it are errors: nothing is let through because of a typing error.

mod auth;
mod rate_limit;

pub use auth::AuthServer;
pub use rate_limit::RateLimitServer;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Layer;
use crate::resource::{GoDuration, HttpListenerOptions, Kind, ObjectRef, Ref, Settings};
use crate::translate::{Notes, ServerLookup, wire_name};

/// The servers of one listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Servers {
    /// Asked by `customAuth`.
    pub auth: Option<Arc<AuthServer>>,
    /// Asked by `customAuth` with a name.
    pub named_auth: BTreeMap<Arc<str>, Arc<AuthServer>>,
    /// Asked by rate limits.
    pub rate_limit: Option<Arc<RateLimitServer>>,
    /// Each connection has local rate limits of its own.
    pub local_per_connection: bool,
    /// Answers say what is left of local rate limits.
    pub local_headers: bool,
}

impl Servers {
    /// What Settings say.
    pub fn of_settings(settings: &Settings, owner: &ObjectRef, notes: &mut Notes) -> Self {
        let mut place = Place { owner, path: "spec.extauth".into(), notes };
        let auth = settings.extauth.as_ref().and_then(|it| auth::lower(it, &mut place));
        let named = settings.named_extauth.iter().filter_map(|(name, it)| {
            place.path = format!("spec.namedExtauth.{name}");
            Some((name.as_str().into(), auth::lower(it, &mut place)?))
        });
        let named_auth = named.collect();
        place.path = "spec.ratelimitServer".into();
        let rate_limit = settings.ratelimit_server.as_ref().and_then(|it| rate_limit::lower(it, &mut place));
        Servers { auth, named_auth, rate_limit, ..Servers::default() }
    }

    /// What holds for a listener with these options.
    pub fn of_listener(&self, options: &Layer<'_, HttpListenerOptions>, notes: &mut Notes) -> Self {
        let mut servers = self.clone();
        if let Some(settings) = &options.options.extauth {
            let path = format!("{}.extauth", options.path);
            servers.auth = auth::lower(settings, &mut Place { owner: options.owner, path, notes });
        }
        if let Some(settings) = &options.options.ratelimit_server {
            let path = format!("{}.ratelimitServer", options.path);
            servers.rate_limit =
                rate_limit::lower(settings, &mut Place { owner: options.owner, path, notes });
        }
        if let Some(local) = &options.options.http_local_ratelimit {
            servers.local_per_connection = local.local_rate_limit_per_downstream_connection == Some(true);
            servers.local_headers = local.enable_x_ratelimit_headers == Some(true);
        }
        servers
    }

    /// Warns of servers whose upstream is not there or cannot be what they are. `owner` and `path` are where they were
    /// said.
    pub fn check(&self, upstreams: &mut dyn ServerLookup, notes: &mut Notes) {
        for server in self.auth.iter().chain(self.named_auth.values()) {
            let what =
                if server.failure_mode_allow { "requests pass unasked" } else { "requests are denied" };
            server.said.check(&server.reference, server.is_grpc(), what, upstreams, notes);
        }
        if let Some(server) = &self.rate_limit {
            let what = if server.deny_on_fail { "requests are denied" } else { "requests pass unlimited" };
            server.said.check(&server.reference, true, what, upstreams, notes);
        }
    }
}

/// Where a server was said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Said {
    owner: ObjectRef,
    path: Arc<str>,
}

impl Said {
    fn check(
        &self,
        upstream: &ObjectRef,
        grpc: bool,
        what: &str,
        upstreams: &mut dyn ServerLookup,
        notes: &mut Notes,
    ) {
        let id = format!("{}.{}", upstream.namespace, upstream.name);
        match upstreams.http2(upstream) {
            None => {
                let text = format!("upstream {id} of the server not found or rejected: {what}");
                notes.warning(&self.owner, &*self.path, text);
            }
            Some(false) if grpc => {
                let text =
                    format!("the server is asked by gRPC, and upstream {id} has no `useHttp2: true`: {what}");
                notes.warning(&self.owner, &*self.path, text);
            }
            Some(_) => {}
        }
    }
}

/// A field that is looked at.
struct Place<'a> {
    owner: &'a ObjectRef,
    path: String,
    notes: &'a mut Notes,
}

impl Place<'_> {
    fn error(&mut self, inside: &str, message: impl Into<String>) {
        self.notes.complaint(self.owner, format!("{}{inside}", self.path), message);
    }

    fn said(&self, inside: &str) -> Said {
        Said { owner: self.owner.clone(), path: format!("{}{inside}", self.path).into() }
    }

    /// The upstream that a reference names.
    fn upstream(&mut self, field: &str, reference: Option<&Ref>) -> Option<ObjectRef> {
        match reference.filter(|reference| !reference.name.is_empty()) {
            None => self.error(field, "the upstream of the server is needed: `name` and `namespace`"),
            Some(reference) if reference.namespace.is_empty() => {
                self.error(field, "this reference needs a `namespace`");
            }
            Some(reference) => {
                return Some(ObjectRef::new(
                    Kind::Upstream,
                    reference.namespace.as_str(),
                    reference.name.as_str(),
                ));
            }
        }
        None
    }

    /// A limit in milliseconds, above zero.
    fn timeout(&mut self, field: &str, value: Option<GoDuration>, default: u64) -> Option<u64> {
        let Some(value) = value else { return Some(default) };
        let millis = value.to_millis().filter(|millis| *millis > 0);
        if millis.is_none() {
            self.error(field, format!("{value} is no limit: it must be above 0"));
        }
        millis
    }
}

/// The name of an upstream in the table.
fn table_name(upstream: &ObjectRef) -> String {
    wire_name(upstream).to_string()
}
