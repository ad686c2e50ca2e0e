//! `extauth`: whether a request is put before the user's own auth server. The most specific level replaces the others.

use portcullis_proto::policy::v1 as wire;

use super::servers::AuthServer;
use super::{Layer, Levels, Policy};
use crate::ir;
use crate::resource::HttpListenerOptions;
use crate::translate::{Globals, Notes};

/// The policy.
pub struct ExtAuth;

impl Policy for ExtAuth {
    fn option(&self) -> &'static str {
        "extauth"
    }

    fn on_destinations(&self) -> bool {
        true
    }

    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy> {
        let field = "extauth";
        let found = levels.most_specific(
            field,
            |options| options.extauth.as_ref(),
            |options| options.extauth.as_ref(),
            |options| options.extauth.as_ref(),
        )?;
        let servers = levels.servers;
        if found.value.disable == Some(true) {
            return Some(super::wire(&AuthServer::disabled(servers.auth.as_deref())));
        }
        let Some(custom) = &found.value.custom_auth else {
            found.error(notes, "", "extauth: `customAuth` or `disable: true` is needed");
            return None;
        };
        let server = if custom.name.is_empty() {
            servers.auth.as_ref()
        } else {
            servers.named_auth.get(custom.name.as_str())
        };
        let Some(server) = server else {
            // A group of upstreams by itself does not know which listeners have it.
            if levels.host_name.is_empty() {
                return None;
            }
            match custom.name.as_str() {
                "" => found.error(
                    notes,
                    "",
                    "extauth: there is no auth server: Settings or the Gateway need `extauth.extauthzServerRef`",
                ),
                name => found.error(
                    notes,
                    ".customAuth.name",
                    format!("extauth: no server of Settings' namedExtauth is called [{name}]"),
                ),
            }
            return None;
        };
        let extensions = custom
            .context_extensions
            .iter()
            .map(|(key, value)| wire::ContextExtension { key: key.clone(), value: value.clone() });
        Some(super::wire(&server.message(extensions.collect())))
    }

    /// Clients may not say who they are, wherever a server says it.
    fn lower_listener(
        &self,
        options: &Layer<'_, HttpListenerOptions>,
        globals: &Globals,
        _notes: &mut Notes,
    ) -> Option<ir::Policy> {
        // What is wrong with it is said where the listener's servers are read.
        let servers = globals.servers.of_listener(options, &mut Notes::default());
        servers.auth.map(|server| super::wire(&AuthServer::disabled(Some(&server))))
    }
}
