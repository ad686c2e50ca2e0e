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
    /// Why it cannot do what it says, as far as the walk found out. Such a route has no layers.
    pub problems: Vec<Note>,
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

/// More would be a mistake, and would cost the workers dearly. Tables and matchers count each time the walk comes by:
/// tables that delegate twice to the next make a walk that doubles with each of them, even one that ends in no route.
const MAX_ROUTES: usize = 200_000;

/// Walks the tree of routes.
pub(super) struct Walk<'a, 's> {
    pub cx: &'a mut Cx<'s>,
    pub variant: &'a Variant,
    pub reporter: &'a mut Reporter<'s>,
    /// Tables and matchers come by so far.
    visits: usize,
}

/// The flat routes of a VirtualService.
pub fn flatten<'s>(
    cx: &mut Cx<'s>,
    variant: &Variant,
    service: &'s Object,
    routes: &'s [Route],
    reporter: &mut Reporter<'s>,
) -> Vec<FlatRoute<'s>> {
    let mut walk = Walk { cx, variant, reporter, visits: 0 };
    let flat = walk.visit(service, routes, None);
    // The virtual service is not served, so nothing has to be made of the part that was walked.
    if walk.is_full() { Vec::new() } else { flat }
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
            let base = if parent.is_none() { "spec.virtualHost.routes" } else { "spec.routes" };
            let path: Arc<str> = format!("{base}[{at}]").into();
            let via = parent.map_or_else(|| Arc::clone(&path), |parent| Arc::clone(&parent.via));
            if !self.count(route.matchers.len().max(1), &via) {
                break;
            }
            let (name, named) = self.name(owner, at, route, parent);
            let matchers = match self.matchers(route, parent) {
                Ok(matchers) => matchers,
                Err(problem) => {
                    self.warn(owner, &via, path.to_string(), problem);
                    continue;
                }
            };
            let (layers, mut problems) = match self.layers(owner, route, &path, &via, parent) {
                Ok(layers) => (layers, Vec::new()),
                Err(problem) => (Vec::new(), vec![problem]),
            };
            if route.action().is_none() {
                let problem = "invalid route: route must specify an action".to_owned();
                problems.push(error(&owner.id, path.to_string(), problem));
            }
            let item = FlatRoute { owner, path, via, route, matchers, layers, name, problems };
            match route.action() {
                Some(Action::Delegate(action)) if item.problems.is_empty() => {
                    let visited = parent.map(|parent| parent.visited.clone()).unwrap_or_default();
                    flat.extend(delegate::follow(self, item, action, named, visited, parent));
                }
                Some(Action::Delegate(_)) => {
                    let problems = item.problems.clone();
                    flat.push(delegate::broken(item, named, problems));
                }
                _ => {
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

    /// Counts what comes by; `false` = the walk has to end, and the reason is told.
    pub(super) fn count(&mut self, visits: usize, via: &str) -> bool {
        let before = self.is_full();
        self.visits = self.visits.saturating_add(visits);
        if self.is_full() && !before {
            let problem = format!(
                "the virtual service has more than {MAX_ROUTES} routes, where those of a route table count each time \
                 it is delegated to"
            );
            self.reporter.add(error(self.reporter.root, via.to_owned(), problem), via);
        }
        !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.visits > MAX_ROUTES
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

    /// The options of a route: its own, those it refers to, the delegating routes'. An error = one of them cannot be
    /// read, and it might have been there for security.
    fn layers(
        &mut self,
        owner: &'s Object,
        route: &'s Route,
        path: &str,
        via: &str,
        parent: Option<&Parent<'s>>,
    ) -> Result<Vec<Layer<'s, RouteOptions>>, Note> {
        let depth = parent.map_or(0, |parent| parent.visited.len());
        let mut layers = Vec::new();
        if let Some(options) = &route.options {
            layers.push(Layer { options, owner: &owner.id, path: format!("{path}.options").into(), depth });
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
                        layers.push(Layer { options, owner, path: "spec.options".into(), depth });
                    }
                }
                Lookup::Missing => {
                    self.warn(owner, via, field, not_found("route option", reference));
                }
                Lookup::Found(_) | Lookup::Broken => {
                    let problem = format!("route option {}.{} is rejected", id.namespace, id.name);
                    return Err(error(&owner.id, field, problem));
                }
            }
        }
        layers.extend(parent.iter().flat_map(|parent| parent.layers.iter().cloned()));
        Ok(layers)
    }
}

/// An error that stops `object`, unless its route is replaced.
pub(super) fn error(object: &ObjectRef, path: String, message: String) -> Note {
    Note { object: object.clone(), level: Level::Error, fatal: true, path, message, shared: false }
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
