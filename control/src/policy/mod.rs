//! Options of users made into wire policies.
//!
//! Each folder is one policy: it reads the options it is for, reports what is wrong with them by field, and gives the
//! message that travels. `registry` lists them; nothing else knows them by name. To add one: its folder here, its line
//! in the registry, the same two on the data plane, and its place in `shared::policy::ORDER`.

mod attempt_count;
mod buffer;
mod cors;
mod csrf;
mod dynamic_forward_proxy;
mod ext_auth;
mod faults;
pub mod grpc_json_transcoder;
mod grpc_web;
mod gzip;
mod headers;
mod health_check;
mod host_rewrite;
mod lb_hash;
mod levels;
pub mod listener;
mod metadata;
mod path_rewrite;
mod rate_limit;
mod regex;
mod registry;
mod retries;
mod servers;
pub mod shadowing;
mod stream_limits;
mod timeout;
mod tracing;
mod transformation;
mod upgrades;
pub mod virtual_clusters;

pub use dynamic_forward_proxy::of_route as dynamic_host;
pub use dynamic_forward_proxy::upstream as dynamic_upstream;
pub use levels::{Found, Layer, Levels};
pub use registry::REGISTRY;
pub use servers::Servers;

use std::sync::Arc;

use portcullis_shared::policy::place;
use prost::Message;

use crate::ir;
use crate::resource::HttpListenerOptions;
use crate::translate::{Globals, Notes};

/// What happens to the requests of a route, as far as it decides whether a policy makes sense there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// They go to an upstream.
    Forward,
    /// They go to the upstream that a header names, so that nothing is known about it.
    ForwardByHeader,
    /// The client is sent elsewhere.
    Redirect,
    /// The gateway answers.
    DirectResponse,
}

impl ActionKind {
    /// For policies about the way to an upstream: elsewhere they are ignored.
    pub fn only_forward(self) -> Fit {
        match self {
            Self::Forward | Self::ForwardByHeader => Fit::Works,
            Self::Redirect | Self::DirectResponse => Fit::Ignored,
        }
    }
}

/// Whether a policy suits an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It works.
    Works,
    /// It is left out without a word, as users are used to.
    Ignored,
    /// It is an error of the route.
    Refused,
}

/// One policy.
pub trait Policy: Sync {
    /// The option that it is for, as users write it. Shows in messages.
    fn option(&self) -> &'static str;

    /// Whether it suits an action.
    fn fit(&self, _action: ActionKind) -> Fit {
        Fit::Works
    }

    /// Whether a weighted destination has options for it.
    fn on_destinations(&self) -> bool {
        false
    }

    /// The effective options of all levels as one message; `None` where none of them says anything.
    /// With a destination in `levels` the result stands in for the route's on requests to that destination.
    /// Nothing for what only listeners have.
    fn lower(&self, _levels: &Levels<'_, '_>, _notes: &mut Notes) -> Option<ir::Policy> {
        None
    }

    /// What the options of a listener ask for, for every request that comes this way. A route's message of the same
    /// type stands in for it.
    fn lower_listener(
        &self,
        _options: &Layer<'_, HttpListenerOptions>,
        _globals: &Globals,
        _notes: &mut Notes,
    ) -> Option<ir::Policy> {
        None
    }

    /// As [`Policy::lower`] for a route with this action, for policies that do something else on some of them.
    fn lower_for(
        &self,
        _action: ActionKind,
        levels: &Levels<'_, '_>,
        notes: &mut Notes,
    ) -> Option<ir::Policy> {
        self.lower(levels, notes)
    }
}

/// A message as it travels.
pub fn wire<M: Message + prost::Name>(message: &M) -> ir::Policy {
    ir::Policy { type_url: Arc::from(M::type_url()), value: message.encode_to_vec().into() }
}

/// The policy that answers in place of a destination.
pub fn answer(answer: &ir::DirectResponse) -> ir::Policy {
    wire(&portcullis_proto::policy::v1::Answer {
        status: u32::from(answer.status),
        body: answer.body.to_string(),
    })
}

/// The policies of a route, in execution order.
pub fn of_route(levels: &Levels<'_, '_>, action: ActionKind, notes: &mut Notes) -> Vec<ir::Policy> {
    if levels.is_empty() {
        return Vec::new();
    }
    let mut policies = Vec::new();
    for policy in REGISTRY {
        match policy.fit(action) {
            Fit::Works => policies.extend(policy.lower_for(action, levels, notes)),
            Fit::Ignored => {}
            Fit::Refused => levels.refuse(*policy, notes),
        }
    }
    in_order(policies)
}

/// The policies that replace the route's for one destination.
pub fn of_destination(levels: &Levels<'_, '_>, notes: &mut Notes) -> Vec<ir::Policy> {
    if levels.destination.is_none() {
        return Vec::new();
    }
    let there = REGISTRY.iter().filter(|policy| policy.on_destinations());
    in_order(there.filter_map(|policy| policy.lower(levels, notes)).collect())
}

/// The policies of a listener.
pub fn of_listener(
    options: &Layer<'_, HttpListenerOptions>,
    globals: &Globals,
    notes: &mut Notes,
) -> Vec<ir::Policy> {
    in_order(REGISTRY.iter().filter_map(|policy| policy.lower_listener(options, globals, notes)).collect())
}

/// `policies` with one more, in execution order.
pub fn with(mut policies: Vec<ir::Policy>, more: Option<ir::Policy>) -> Vec<ir::Policy> {
    policies.extend(more);
    in_order(policies)
}

fn in_order(mut policies: Vec<ir::Policy>) -> Vec<ir::Policy> {
    policies.sort_by_key(|policy| place(&policy.type_url));
    policies
}

#[cfg(test)]
mod tests;
