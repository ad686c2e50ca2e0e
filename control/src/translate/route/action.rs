//! What a route does with its requests: destinations resolved, redirects and answers checked.

use std::sync::Arc;

use http::HeaderName;

use super::super::cx::{Cx, UpstreamFact};
use super::super::globals::Globals;
use super::super::notes::Notes;
use super::super::path;
use super::Context;
use super::flatten::{FlatRoute, object_ref};
use crate::ir::{self, PathRedirect, RedirectCode, Target};
use crate::policy::{self, Layer, Levels};
use crate::resource::{
    self, Action, Destination, DirectResponseAction, Kind, ObjectRef, RedirectAction, RedirectPath, Ref,
    RouteTarget, Spec, WeightedDestination,
};
use crate::upstream;

/// The action of a route; `None` when `notes` say why there is none.
pub(super) fn lower<'s>(
    flat: &FlatRoute<'s>,
    levels: &Levels<'_, 's>,
    context: &mut Context<'_, 's>,
    notes: &mut Notes,
) -> Option<ir::Action> {
    let owner = &flat.owner.id;
    let path = &flat.path;
    match flat.route.action()? {
        // Replaced by its routes long before.
        Action::Delegate(_) => None,
        Action::Redirect(action) => {
            redirect(owner, &format!("{path}.redirectAction"), action, notes).map(ir::Action::Redirect)
        }
        Action::DirectResponse(action) => {
            let limit = context.variant.max_direct_response_bytes;
            direct_response(owner, &format!("{path}.directResponseAction"), action, limit, notes)
                .map(ir::Action::DirectResponse)
        }
        Action::Route(action) => {
            let path = format!("{path}.routeAction");
            let Some(target) = action.target() else {
                notes.error(owner, path, "invalid route: the action must specify a destination");
                return None;
            };
            target_of(owner, &path, target, levels, context, notes)
        }
    }
}

fn target_of<'s>(
    owner: &'s ObjectRef,
    path: &str,
    target: RouteTarget<'s>,
    levels: &Levels<'_, 's>,
    context: &mut Context<'_, 's>,
    notes: &mut Notes,
) -> Option<ir::Action> {
    match target {
        RouteTarget::ClusterHeader(name) => {
            let valid = !name.contains(':');
            let header = HeaderName::from_bytes(name.as_bytes()).ok().filter(|_| valid);
            let Some(header) = header else {
                notes.error(owner, format!("{path}.clusterHeader"), format!("[{name}] is not a header name"));
                return None;
            };
            Some(ir::Action::Forward(Target::ClusterHeader(header.as_str().into())))
        }
        RouteTarget::Dynamic(_) => Some(ir::Action::Forward(Target::Dynamic)),
        RouteTarget::Single(destination) => {
            let mut list = Destinations::new(owner, context.cx, context.globals, notes);
            let member = list.member(&format!("{path}.single"), destination, 1)?;
            let missing = list.missing > 0;
            Some(match (&context.globals.replacement, missing) {
                (Some(answer), true) => ir::Action::DirectResponse(answer.clone()),
                _ => ir::Action::Forward(Target::Destinations(vec![member])),
            })
        }
        RouteTarget::Multi(multi) => {
            let list = &multi.destinations;
            let members =
                weighted(owner, &format!("{path}.multi.destinations"), list, levels, context, notes)?;
            Some(ir::Action::Forward(Target::Destinations(members)))
        }
        RouteTarget::UpstreamGroup(reference) => {
            group(owner, &format!("{path}.upstreamGroup"), reference, levels, context, notes)
        }
    }
}

fn weighted<'s>(
    owner: &'s ObjectRef,
    path: &str,
    list: &'s [WeightedDestination],
    levels: &Levels<'_, 's>,
    context: &mut Context<'_, 's>,
    notes: &mut Notes,
) -> Option<Vec<ir::Destination>> {
    let mut members = Vec::with_capacity(list.len());
    let mut broken = false;
    for (at, weighted) in list.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let Some(destination) = &weighted.destination else {
            notes.error(owner, path, "a destination is needed");
            broken = true;
            continue;
        };
        let layer = weighted.options.as_ref().map(|options| Layer {
            options,
            owner,
            path: format!("{path}.options").into(),
            depth: 0,
        });
        let mut resolved = Destinations::new(owner, context.cx, context.globals, notes);
        let weight = weighted.weight.unwrap_or(0);
        let Some(mut member) = resolved.member(&format!("{path}.destination"), destination, weight) else {
            broken = true;
            continue;
        };
        let levels = Levels { destination: layer.as_ref(), ..*levels };
        member.policies.extend(policy::of_destination(&levels, notes));
        members.push(member);
    }
    if broken {
        return None;
    }
    check_total(owner, path, &members, notes).then_some(members)
}

/// A weighted list must be able to choose.
fn check_total(owner: &ObjectRef, path: &str, members: &[ir::Destination], notes: &mut Notes) -> bool {
    let total: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
    let problem = match (members.is_empty(), total) {
        (true, _) => "must specify at least one weighted destination".to_owned(),
        (_, 0) => "the total weight of the destinations must be above 0".to_owned(),
        (_, total) if total > u64::from(u32::MAX) => format!("the total weight {total} is too large"),
        _ => return true,
    };
    notes.error(owner, path, problem);
    false
}

fn group<'s>(
    owner: &'s ObjectRef,
    path: &str,
    reference: &Ref,
    levels: &Levels<'_, 's>,
    context: &mut Context<'_, 's>,
    notes: &mut Notes,
) -> Option<ir::Action> {
    let id = object_ref(Kind::UpstreamGroup, reference);
    let name = wire_name(&id);
    let fact = context.cx.group(&id);
    let Some(fact) = fact.filter(|fact| fact.served) else {
        let state = if fact.is_some() { "is rejected" } else { "not found" };
        let hint = if reference.namespace.is_empty() { ": this reference needs a namespace" } else { "" };
        let problem = missing_destination("v1.UpstreamGroup", &id, state);
        notes.warning(owner, path, format!("{problem}{hint}"));
        return Some(match &context.globals.replacement {
            Some(answer) => ir::Action::DirectResponse(answer.clone()),
            None => ir::Action::Forward(Target::Split(name)),
        });
    };
    for member in &fact.missing {
        notes.warning(owner, path, missing_destination("v1.Upstream", member, "not found"));
    }
    if !fact.inline {
        return Some(ir::Action::Forward(Target::Split(name)));
    }
    // Its members have options, which act together with those of this route and its virtual host.
    let group = context.cx.group_object(&id, fact.accepted)?;
    let Spec::UpstreamGroup(content) = &group.spec else {
        return None;
    };
    let mut about_group = Notes::default();
    let members =
        weighted(&group.id, "spec.destinations", &content.destinations, levels, context, &mut about_group);
    // Missing members were reported above, and the group's own errors are on the group.
    for note in about_group.into_vec().into_iter().filter(|note| note.fatal) {
        notes.add(note);
    }
    members.map(|members| ir::Action::Forward(Target::Destinations(members)))
}

/// Resolves destinations on behalf of one resource.
pub struct Destinations<'a, 's> {
    owner: &'s ObjectRef,
    cx: &'a mut Cx<'s>,
    globals: &'a Globals,
    notes: &'a mut Notes,
    /// How many led nowhere.
    pub missing: usize,
    /// The upstreams that led nowhere.
    pub missing_ids: Vec<ObjectRef>,
}

impl<'a, 's> Destinations<'a, 's> {
    /// A resolver for the references of `owner`, whose namespace is their default.
    pub fn new(owner: &'s ObjectRef, cx: &'a mut Cx<'s>, globals: &'a Globals, notes: &'a mut Notes) -> Self {
        Self { owner, cx, globals, notes, missing: 0, missing_ids: Vec::new() }
    }

    /// One destination. One that leads nowhere is a warning: it answers 503, or what replaces invalid routes.
    pub fn member(&mut self, path: &str, destination: &Destination, weight: u32) -> Option<ir::Destination> {
        let Some(resource::DestinationKind::Upstream(reference)) = destination.kind() else {
            self.notes.error(self.owner, path, "invalid route: the destination must specify an upstream");
            return None;
        };
        let namespace = match reference.namespace.as_str() {
            "" => Arc::clone(&self.owner.namespace),
            namespace => namespace.into(),
        };
        let id = ObjectRef::new(Kind::Upstream, namespace, reference.name.as_str());
        let mut policies = Vec::new();
        let fact = self.cx.upstream(&id);
        let served = match fact {
            Some(UpstreamFact::Served { subsets }) => Some(subsets.as_deref()),
            _ => None,
        };
        let mut subset = ir::Labels::new();
        if let Some(subsets) = served {
            subset = self.subset(path, destination, subsets)?;
        } else {
            let state = if fact.is_some() { "is rejected" } else { "not found" };
            self.notes.warning(
                self.owner,
                format!("{path}.upstream"),
                missing_destination("v1.Upstream", &id, state),
            );
            self.missing += 1;
            policies.extend(self.globals.replacement.as_ref().map(policy::answer));
        }
        let name = wire_name(&id);
        if served.is_none() {
            self.missing_ids.push(id);
        }
        Some(ir::Destination { upstream: name, weight, policies, subset })
    }

    /// The labels that a destination asks for, of an upstream with subsets by these keys.
    fn subset(
        &mut self,
        path: &str,
        destination: &Destination,
        subsets: Option<&[Vec<Arc<str>>]>,
    ) -> Option<ir::Labels> {
        let Some(wanted) = destination.subset.as_ref().filter(|subset| !subset.values.is_empty()) else {
            return Some(ir::Labels::new());
        };
        let path = format!("{path}.subset");
        let Some(selectors) = subsets else {
            self.notes.warning(self.owner, path, "the upstream has no subsetSpec: the subset is ignored");
            return Some(ir::Labels::new());
        };
        let labels = upstream::labels(wanted);
        if !selectors.iter().any(|keys| keys.iter().eq(labels.keys())) {
            let list = |keys: &Vec<Arc<str>>| format!("[{}]", keys.join(", "));
            let known = selectors.iter().map(list).collect::<Vec<_>>().join(", ");
            let keys = wanted.values.keys().cloned().collect::<Vec<_>>().join(", ");
            let problem = format!("the upstream has no selector with the keys [{keys}]; it has {known}");
            self.notes.error(self.owner, path, problem);
            return None;
        }
        Some(labels)
    }
}

/// `<name>_<namespace>`, the name of an upstream or group in the table.
pub fn wire_name(id: &ObjectRef) -> Arc<str> {
    format!("{}_{}", id.name, id.namespace).into()
}

/// Gloo's words for a destination that leads nowhere.
fn missing_destination(what: &str, id: &ObjectRef, state: &str) -> String {
    format!(
        "Route Warning: InvalidDestinationWarning. Reason: *{what} {{ {}.{} }} {state}",
        id.namespace, id.name
    )
}

fn redirect(
    owner: &ObjectRef,
    path: &str,
    action: &RedirectAction,
    notes: &mut Notes,
) -> Option<ir::Redirect> {
    let mut fine = true;
    let mut refuse = |notes: &mut Notes, field: &str, problem: String| {
        notes.error(owner, format!("{path}.{field}"), problem);
        fine = false;
    };
    if let Some(problem) = path::problem(&action.host_redirect) {
        refuse(notes, "hostRedirect", problem);
    }
    let rewrite = match action.path() {
        None | Some(RedirectPath::Path("") | RedirectPath::Prefix("")) => None,
        Some(RedirectPath::Path(text)) => {
            if let Some(problem) = path::problem(text.split('?').next().unwrap_or_default()) {
                refuse(notes, "pathRedirect", problem);
            }
            Some(PathRedirect::Path(text.into()))
        }
        Some(RedirectPath::Prefix(text)) => {
            if let Some(problem) = path::problem(text) {
                refuse(notes, "prefixRewrite", problem);
            }
            Some(PathRedirect::Prefix(text.into()))
        }
        Some(RedirectPath::Regex(value)) => {
            let pattern = value.pattern.as_ref().map(|it| it.regex.as_str()).unwrap_or_default();
            if let Some(problem) = path::substitution_problem(pattern, &value.substitution) {
                refuse(notes, "regexRewrite", problem);
            }
            let substitution = value.substitution.as_str().into();
            Some(PathRedirect::Regex(ir::Substitution { pattern: pattern.into(), substitution }))
        }
    };
    let port = match action.port_redirect.map(u16::try_from) {
        None | Some(Ok(0)) => None,
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => {
            let port = action.port_redirect.unwrap_or_default();
            refuse(notes, "portRedirect", format!("{port} is not a port"));
            None
        }
    };
    fine.then(|| ir::Redirect {
        host: (!action.host_redirect.is_empty()).then(|| action.host_redirect.as_str().into()),
        https: action.https_redirect,
        port,
        path: rewrite,
        code: match action.response_code {
            resource::RedirectCode::MovedPermanently => RedirectCode::MovedPermanently,
            resource::RedirectCode::Found => RedirectCode::Found,
            resource::RedirectCode::SeeOther => RedirectCode::SeeOther,
            resource::RedirectCode::TemporaryRedirect => RedirectCode::TemporaryRedirect,
            resource::RedirectCode::PermanentRedirect => RedirectCode::PermanentRedirect,
        },
        strip_query: action.strip_query,
    })
}

fn direct_response(
    owner: &ObjectRef,
    path: &str,
    action: &DirectResponseAction,
    limit: u32,
    notes: &mut Notes,
) -> Option<ir::DirectResponse> {
    let status = u16::try_from(action.status).ok().filter(|status| (200..600).contains(status));
    if status.is_none() {
        let problem = format!("{} is not a status from 200 to 599", action.status);
        notes.error(owner, format!("{path}.status"), problem);
    }
    if action.body.len() > limit as usize {
        let problem = format!(
            "the body has {} bytes, more than maxDirectResponseBodySizeBytes {limit} of the gateway",
            action.body.len()
        );
        notes.error(owner, format!("{path}.body"), problem);
        return None;
    }
    Some(ir::DirectResponse { status: status?, body: action.body.as_str().into() })
}
