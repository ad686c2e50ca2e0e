//! Routes of users made flat: delegation followed, matchers merged and checked, actions resolved.

mod action;
mod delegate;
mod flatten;
mod matcher;
mod merge;
mod reach;
mod sort;

pub use action::{Destinations, wire_name};
pub use flatten::{FlatRoute, Reporter, flatten, not_found, object_ref, origin};
pub use matcher::lower as lower_matcher;

use std::sync::Arc;

use super::cx::{Cx, UpstreamFact};
use super::globals::Globals;
use super::notes::{Note, Notes};
use super::service::Variant;
use crate::ir;
use crate::policy::{self, ActionKind, Layer, Levels};
use crate::resource::{self, Level, VirtualHostOptions};

/// What lowering a route needs besides the route.
pub struct Context<'a, 's> {
    pub cx: &'a mut Cx<'s>,
    pub globals: &'a Globals,
    pub variant: &'a Variant,
    pub host_name: &'a str,
    pub host_layers: &'a [Layer<'s, VirtualHostOptions>],
}

/// Makes the flat routes of a virtual host its final ones, one per matcher.
pub fn lower<'s>(
    flat: &[FlatRoute<'s>],
    context: &mut Context<'_, 's>,
    reporter: &mut Reporter<'s>,
) -> Vec<ir::Route> {
    let mut routes = Vec::with_capacity(flat.len());
    let mut sources = Vec::with_capacity(flat.len());
    for (at, route) in flat.iter().enumerate() {
        let before = routes.len();
        lower_one(at, route, context, reporter, &mut routes);
        sources.resize(sources.len() + routes.len() - before, at);
    }
    reach::warn(&routes, &sources, flat, reporter);
    routes
}

fn lower_one<'s>(
    at: usize,
    flat: &FlatRoute<'s>,
    context: &mut Context<'_, 's>,
    reporter: &mut Reporter<'s>,
    routes: &mut Vec<ir::Route>,
) {
    let replacement = context.globals.replacement.as_ref();
    let mut notes = Notes::default();
    let mut matchers = Vec::with_capacity(flat.matchers.len());
    for (index, matcher) in flat.matchers.iter().enumerate() {
        match matcher::lower(matcher) {
            Ok(matcher) => matchers.push((index, matcher)),
            Err(problems) => {
                for (field, problem) in problems {
                    let path = format!("{}.matchers[{index}].{field}", flat.path);
                    // What it should match is not known, so that there is nothing to replace.
                    let left_out = if replacement.is_some() { ": this matcher is left out" } else { "" };
                    notes.error(&flat.owner.id, path, format!("{problem}{left_out}"));
                }
            }
        }
    }
    match replacement {
        Some(_) => downgrade(notes, flat, reporter),
        None => reporter.absorb(notes, flat),
    }

    // Errors in what a route does may be kept from its virtual host by replacing the route.
    let mut notes = Notes::default();
    notes.add_all(&flat.problems);
    let levels = Levels {
        host: context.host_layers,
        route: &flat.layers,
        destination: None,
        most_specific_headers_win: context.variant.most_specific_headers_win,
        servers: &context.variant.servers,
        host_name: context.host_name,
        route_at: at,
    };
    let action = match flat.problems.is_empty() {
        true => action::lower(flat, &levels, context, &mut notes),
        false => None,
    };
    // What is wrong about a destination says nothing about the options beside it.
    let meant = match flat.route.action() {
        Some(resource::Action::Route(_)) => ActionKind::Forward,
        _ => ActionKind::DirectResponse,
    };
    let kind = action.as_ref().map_or(meant, action_kind);
    let mut policies = policy::of_route(&levels, kind, &mut notes);
    if let Some(resource::Action::Route(resource::RouteAction {
        dynamic_forward_proxy: Some(host), ..
    })) = flat.route.action()
    {
        policies.push(policy::dynamic_host(host));
    }
    if let Some((found, Some(id))) = policy::shadowing::upstream(&levels)
        && !context.cx.upstream(&id).is_some_and(UpstreamFact::is_served)
    {
        let text = format!("shadowing: upstream {}.{} not found or rejected", id.namespace, id.name);
        found.error(&mut notes, ".upstream", text);
    }
    let replacement = context.globals.replacement.as_ref();
    // Options of the virtual host were looked at once for all routes.
    let notes = notes.about_one_route();
    let broken = notes.any_fatal();
    let (action, policies) = match (action, replacement) {
        (_, Some(answer)) if broken => {
            downgrade(notes, flat, reporter);
            (ir::Action::DirectResponse(answer.clone()), Vec::new())
        }
        (action, _) => {
            reporter.absorb(notes, flat);
            match action {
                Some(action) => (action, policies),
                None => return,
            }
        }
    };

    let origin = Arc::new(flat.origin());
    for (index, matcher) in matchers {
        let label = if flat.name.is_empty() { String::new() } else { format!("-{}", flat.name) };
        routes.push(ir::Route {
            name: format!("{}-route-{at}{label}-matcher-{index}", context.host_name).into(),
            origin: Arc::clone(&origin),
            path: Arc::clone(&flat.path),
            matcher,
            action: action.clone(),
            policies: policies.clone(),
        });
    }
}

/// The errors of a replaced route become warnings.
fn downgrade<'s>(notes: Notes, flat: &FlatRoute<'s>, reporter: &mut Reporter<'s>) {
    let mut kept = Notes::default();
    for note in notes.into_vec() {
        kept.add(match note {
            Note { fatal: true, .. } => Note { level: Level::Warning, fatal: false, ..note },
            note => note,
        });
    }
    reporter.absorb(kept, flat);
}

fn action_kind(action: &ir::Action) -> ActionKind {
    match action {
        ir::Action::Forward(ir::Target::ClusterHeader(_) | ir::Target::Dynamic) => {
            ActionKind::ForwardByHeader
        }
        ir::Action::Forward(_) => ActionKind::Forward,
        ir::Action::Redirect(_) => ActionKind::Redirect,
        ir::Action::DirectResponse(_) => ActionKind::DirectResponse,
    }
}
