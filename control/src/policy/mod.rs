//! Options of users made into wire policies.
//!
//! Each folder is one policy: it reads the options it is for, reports what is wrong with them by field, and gives the
//! message that travels. `registry` lists them; nothing else knows them by name. To add one: its folder here, its line
//! in the registry, and the same two on the data plane.

mod attempt_count;
mod cors;
mod csrf;
mod faults;
mod headers;
mod host_rewrite;
mod levels;
mod path_rewrite;
mod regex;
mod registry;
mod retries;
mod stream_limits;
mod timeout;

pub use levels::{Found, Layer, Levels};
pub use registry::REGISTRY;

use std::sync::Arc;

use prost::Message;

use crate::ir;
use crate::translate::Notes;

/// When a policy runs. The order is that of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the stages of the user API")]
pub enum Stage {
    Fault,
    Cors,
    Waf,
    AuthN,
    AuthZ,
    RateLimit,
    Accepted,
    OutAuth,
    Route,
}

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

    /// When it runs.
    fn stage(&self) -> Stage {
        Stage::Route
    }

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
    fn lower(&self, levels: &Levels<'_, '_>, notes: &mut Notes) -> Option<ir::Policy>;

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
    let mut staged: Vec<(Stage, ir::Policy)> = Vec::new();
    for policy in REGISTRY {
        match policy.fit(action) {
            Fit::Works => {
                staged.extend(policy.lower_for(action, levels, notes).map(|it| (policy.stage(), it)));
            }
            Fit::Ignored => {}
            Fit::Refused => levels.refuse(*policy, notes),
        }
    }
    // Stable: the registry's order decides within a stage.
    staged.sort_by_key(|(stage, _)| *stage);
    staged.into_iter().map(|(_, policy)| policy).collect()
}

/// The policies that replace the route's for one destination.
pub fn of_destination(levels: &Levels<'_, '_>, notes: &mut Notes) -> Vec<ir::Policy> {
    if levels.destination.is_none() {
        return Vec::new();
    }
    let mut staged: Vec<(Stage, ir::Policy)> = REGISTRY
        .iter()
        .filter(|policy| policy.on_destinations())
        .filter_map(|policy| Some((policy.stage(), policy.lower(levels, notes)?)))
        .collect();
    staged.sort_by_key(|(stage, _)| *stage);
    staged.into_iter().map(|(_, policy)| policy).collect()
}

#[cfg(test)]
mod tests;
