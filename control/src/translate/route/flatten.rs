//! The routes of a VirtualService with delegation followed, in final order.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::cx::{Cx, Lookup};
use super::super::notes::{Note, Notes};
use super::super::service::Variant;
use super::{delegate, merge};
use crate::ir::Origin;
use crate::policy::Layer;
use crate::resource::{Action, Kind, Level, Matcher, Object, ObjectRef, Ref, Route, RouteOptions, Spec};

/// A route that is not a delegation, with what its delegating routes gave it.
pub struct FlatRoute<'s> {
    /// The VirtualService or RouteTable that holds it.
    pub owner: &'s Object,
    /// Where it stands there.
    pub path: Arc<str>,
    /// The route of the VirtualService that led here.
    pub via: Arc<str>,
    pub route: &'s Route,
    /// Never empty.
    pub matchers: Vec<Cow<'s, Matcher>>,
    /// Options, the most specific first.
    pub layers: Vec<Layer<'s, RouteOptions>>,
    /// Part of the wire name; empty unless a route on the branch is named.
    pub name: String,
}

impl FlatRoute<'_> {
    /// Who it came from, for people.
    pub fn origin(&self) -> Origin {
        origin(&self.owner.id)
    }
}

/// A reference to a resource in the model's terms.
pub fn origin(id: &ObjectRef) -> Origin {
    Origin { kind: id.kind.as_str(), namespace: Arc::clone(&id.namespace), name: Arc::clone(&id.name) }
}

/// Reports on the resource that has the problem, and on the VirtualService that uses it.
pub struct Reporter<'s> {
    /// The VirtualService.
    pub root: &'s ObjectRef,
    pub notes: Notes,
}

impl Reporter<'_> {
    /// An error about the route's own resource.
    pub fn error(&mut self, flat: &FlatRoute<'_>, path: String, message: String) {
        let note = Note {
            object: flat.owner.id.clone(),
            level: Level::Error,
            fatal: true,
            path,
            message,
            shared: false,
        };
        self.add(note, &flat.via);
    }

    /// Takes over the notes about one route.
    pub fn absorb(&mut self, notes: Notes, flat: &FlatRoute<'_>) {
        for note in notes.into_vec() {
            self.add(note, &flat.via);
        }
    }

    /// Adds a note; one about another resource appears on the VirtualService too, at `via`.
    pub fn add(&mut self, note: Note, via: &str) {
        if note.object != *self.root {
            let id = &note.object;
            let what = match id.kind {
                Kind::RouteTable => "sub route table",
                Kind::RouteOption => "route option",
                Kind::VirtualHostOption => "virtual host option",
                _ => id.kind.as_str(),
            };
            let message = format!("on {what} {}.{}: {}", id.namespace, id.name, note.message);
            self.notes.add(Note {
                object: self.root.clone(),
                level: note.level,
                fatal: false,
                path: via.to_owned(),
                message,
                shared: note.shared,
            });
        }
        self.notes.add(note);
    }
}

/// What a delegating route hands down.
pub(super) struct Parent<'s> {
    pub matcher: Cow<'s, Matcher>,
    pub inherit_matchers: bool,
    pub inherit_path: bool,
    pub layers: Vec<Layer<'s, RouteOptions>>,
    pub name: String,
    pub named: bool,
    pub via: Arc<str>,
    /// The tables on the way here, outermost first.
    pub visited: Vec<&'s ObjectRef>,
}

/// More would be a mistake, and would cost the workers dearly.
const MAX_ROUTES: usize = 200_000;

/// Walks the tree of routes.
pub(super) struct Walk<'a, 's> {
    pub cx: &'a mut Cx<'s>,
    pub variant: &'a Variant,
    pub reporter: &'a mut Reporter<'s>,
    made: usize,
}

/// The flat routes of a VirtualService.
pub fn flatten<'s>(
    cx: &mut Cx<'s>,
    variant: &Variant,
    service: &'s Object,
    routes: &'s [Route],
    reporter: &mut Reporter<'s>,
) -> Vec<FlatRoute<'s>> {
    let mut walk = Walk { cx, variant, reporter, made: 0 };
    walk.visit(service, routes, None)
}

impl<'s> Walk<'_, 's> {
    /// The flat routes of one resource.
    pub(super) fn visit(
        &mut self,
        owner: &'s Object,
        routes: &'s [Route],
        parent: Option<&Parent<'s>>,
    ) -> Vec<FlatRoute<'s>> {
        let mut flat = Vec::with_capacity(routes.len());
        for (at, route) in routes.iter().enumerate() {
            if self.made > MAX_ROUTES {
                break;
            }
            let base = if parent.is_none() { "spec.virtualHost.routes" } else { "spec.routes" };
            let path: Arc<str> = format!("{base}[{at}]").into();
            let via = parent.map_or_else(|| Arc::clone(&path), |parent| Arc::clone(&parent.via));
            let (name, named) = self.name(owner, at, route, parent);
            let matchers = match self.matchers(route, parent) {
                Ok(matchers) => matchers,
                Err(problem) => {
                    self.warn(owner, &via, path.to_string(), problem);
                    continue;
                }
            };
            let Some(layers) = self.layers(owner, route, &path, &via, parent) else {
                continue;
            };
            let item = FlatRoute { owner, path, via, route, matchers, layers, name };
            match route.action() {
                None => {
                    let problem = "invalid route: route must specify an action".to_owned();
                    self.reporter.error(&item, item.path.to_string(), problem);
                }
                Some(Action::Delegate(action)) => {
                    let visited = parent.map(|parent| parent.visited.clone()).unwrap_or_default();
                    flat.extend(delegate::follow(self, item, action, named, visited, parent));
                }
                Some(_) => {
                    self.made += 1;
                    if self.made > MAX_ROUTES {
                        let problem = format!("the virtual service has more than {MAX_ROUTES} routes");
                        self.fail(self.reporter.root, &item.via, item.via.to_string(), problem);
                        break;
                    }
                    let name = if named { item.name } else { String::new() };
                    flat.push(FlatRoute { name, ..item });
                }
            }
        }
        flat
    }

    pub(super) fn warn(&mut self, owner: &Object, via: &str, path: String, message: String) {
        let object = owner.id.clone();
        let note = Note { object, level: Level::Warning, fatal: false, path, message, shared: false };
        self.reporter.add(note, via);
    }

    pub(super) fn fail(&mut self, id: &ObjectRef, via: &str, path: String, message: String) {
        let object = id.clone();
        let note = Note { object, level: Level::Error, fatal: true, path, message, shared: false };
        self.reporter.add(note, via);
    }

    /// An error of `id` that another form of it has taken the place of.
    pub(super) fn complain(&mut self, id: &ObjectRef, via: &str, message: String) {
        let root = self.reporter.root;
        let what = if id.kind == Kind::RouteTable { "sub route table" } else { "option" };
        let message = format!("on {what} {}.{}: {message}", id.namespace, id.name);
        self.reporter.notes.complaint(root, via, message);
    }

    fn name(&self, owner: &Object, at: usize, route: &Route, parent: Option<&Parent<'s>>) -> (String, bool) {
        let (kind, prefix) = match parent {
            None => ("vs", format!("vs:{}_{}", self.variant.gateway, self.variant.proxy)),
            Some(parent) => ("rt", format!("{}_rt:", parent.name)),
        };
        let separator = if kind == "vs" { "_" } else { "" };
        let own = if route.name.is_empty() { format!("<unnamed-{at}>") } else { route.name.clone() };
        let id = &owner.id;
        let name = format!("{prefix}{separator}{}_{}_route:{own}", id.namespace, id.name);
        (name, !route.name.is_empty() || parent.is_some_and(|parent| parent.named))
    }

    fn matchers(
        &self,
        route: &'s Route,
        parent: Option<&Parent<'s>>,
    ) -> Result<Vec<Cow<'s, Matcher>>, String> {
        let own: Vec<Cow<'s, Matcher>> = match route.matchers.as_slice() {
            [] => vec![Cow::Owned(merge::default_matcher())],
            list => list.iter().map(Cow::Borrowed).collect(),
        };
        let Some(parent) = parent else {
            return Ok(own);
        };
        own.into_iter().map(|matcher| merge::with_parent(matcher, route, parent)).collect()
    }

    /// The options of a route: its own, those it refers to, the delegating routes'. `None` = one of them cannot be
    /// read, and it might have been there for security.
    fn layers(
        &mut self,
        owner: &'s Object,
        route: &'s Route,
        path: &str,
        via: &str,
        parent: Option<&Parent<'s>>,
    ) -> Option<Vec<Layer<'s, RouteOptions>>> {
        let mut layers = Vec::new();
        if let Some(options) = &route.options {
            layers.push(Layer { options, owner: &owner.id, path: format!("{path}.options").into() });
        }
        let references = route.options_config_refs.iter().flat_map(|refs| &refs.delegate_options);
        for (at, reference) in references.enumerate() {
            let field = format!("{path}.optionsConfigRefs.delegateOptions[{at}]");
            let id = object_ref(Kind::RouteOption, reference);
            match self.cx.object(&id) {
                Lookup::Found(Object { id: owner, spec: Spec::RouteOption(option), .. }) => {
                    if let Some(problem) = self.cx.broken_because(&id) {
                        self.complain(&id, via, problem);
                    }
                    if let Some(options) = &option.options {
                        layers.push(Layer { options, owner, path: "spec.options".into() });
                    }
                }
                Lookup::Missing => {
                    self.warn(owner, via, field, not_found("route option", reference));
                }
                Lookup::Found(_) | Lookup::Broken => {
                    let problem = format!("route option {}.{} is rejected", id.namespace, id.name);
                    self.fail(&owner.id, via, field, problem);
                    return None;
                }
            }
        }
        layers.extend(parent.iter().flat_map(|parent| parent.layers.iter().cloned()));
        Some(layers)
    }
}

/// A reference whose namespace stands in it.
pub fn object_ref(kind: Kind, reference: &Ref) -> ObjectRef {
    ObjectRef::new(kind, reference.namespace.as_str(), reference.name.as_str())
}

/// The words for a reference that leads nowhere.
pub fn not_found(what: &str, reference: &Ref) -> String {
    let hint = if reference.namespace.is_empty() { ": this reference needs a namespace" } else { "" };
    format!("{what} {}.{} not found{hint}", reference.namespace, reference.name)
}
