//! The levels that options come from, and who wrote each of them.
//!
//! A level is a list of layers: the options in the resource, then the shared option objects it refers to, then (for
//! routes) those of the delegating routes. Per top-level field the first layer that has it decides; nothing inside a
//! field is merged.

use std::sync::Arc;

use super::{Policy, Servers};
use crate::resource::{Level, ObjectRef, RouteOptions, VirtualHostOptions, WeightedDestinationOptions};
use crate::translate::{Note, Notes};

/// One `options` block and where it stands.
#[derive(Debug)]
pub struct Layer<'s, O> {
    /// The block.
    pub options: &'s O,
    /// The resource that holds it.
    pub owner: &'s ObjectRef,
    /// Its field path there.
    pub path: Arc<str>,
    /// How many routes delegate to the one whose options these are; 0 = one of the virtual service itself.
    pub depth: usize,
}

impl<'s, O> Layer<'s, O> {
    /// A field of this block.
    pub fn field<T>(&self, field: &str, get: impl Fn(&'s O) -> Option<&'s T>) -> Option<Found<'s, T>> {
        Some(found(self, field, get(self.options)?, false))
    }
}

impl<O> Clone for Layer<'_, O> {
    fn clone(&self) -> Self {
        Self { options: self.options, owner: self.owner, path: Arc::clone(&self.path), depth: self.depth }
    }
}

/// A field that some layer has.
#[derive(Debug, Clone)]
pub struct Found<'s, T> {
    /// Its value.
    pub value: &'s T,
    /// The resource that holds it.
    pub owner: &'s ObjectRef,
    /// Its field path there.
    pub path: String,
    shared: bool,
}

impl<T> Found<'_, T> {
    /// Reports an error at this field, or at a field inside it (`.pattern`, `[2].key`).
    pub fn error(&self, notes: &mut Notes, inside: &str, message: impl Into<String>) {
        notes.add(Note {
            object: self.owner.clone(),
            level: Level::Error,
            fatal: true,
            path: format!("{}{inside}", self.path),
            message: message.into(),
            shared: self.shared,
        });
    }

    /// Reports a warning at this field, or at a field inside it.
    pub fn warning(&self, notes: &mut Notes, inside: &str, message: impl Into<String>) {
        notes.add(Note {
            object: self.owner.clone(),
            level: Level::Warning,
            fatal: false,
            path: format!("{}{inside}", self.path),
            message: message.into(),
            shared: self.shared,
        });
    }
}

/// The options that act on one route, or on one destination of it.
#[derive(Debug, Clone, Copy)]
pub struct Levels<'a, 's> {
    /// The virtual host's.
    pub host: &'a [Layer<'s, VirtualHostOptions>],
    /// The route's.
    pub route: &'a [Layer<'s, RouteOptions>],
    /// The weighted destination's.
    pub destination: Option<&'a Layer<'s, WeightedDestinationOptions>>,
    /// Header mutations run from the virtual host to the destination instead of the reverse.
    pub most_specific_headers_win: bool,
    /// The servers that policies of the listener ask.
    pub servers: &'a Servers,
    /// Name of the virtual host.
    pub host_name: &'a str,
    /// Position of the route in it.
    pub route_at: usize,
}

impl<'s> Levels<'_, 's> {
    /// No level says anything.
    pub fn is_empty(&self) -> bool {
        self.host.is_empty() && self.route.is_empty() && self.destination.is_none()
    }

    /// A field of the virtual host level.
    pub fn in_host<T>(
        &self,
        field: &str,
        get: impl Fn(&'s VirtualHostOptions) -> Option<&'s T>,
    ) -> Option<Found<'s, T>> {
        first(self.host, field, get, true)
    }

    /// A field of the route level.
    pub fn in_route<T>(
        &self,
        field: &str,
        get: impl Fn(&'s RouteOptions) -> Option<&'s T>,
    ) -> Option<Found<'s, T>> {
        first(self.route, field, get, false)
    }

    /// A field of the routes to which fewer than `depth` others delegate, with how many those are; the one that is the
    /// nearest to the route itself.
    pub fn route_below<T>(
        &self,
        field: &str,
        depth: usize,
        get: impl Fn(&'s RouteOptions) -> Option<&'s T>,
    ) -> Option<(usize, Found<'s, T>)> {
        let mut layers = self.route.iter().filter(|layer| layer.depth < depth);
        layers.find_map(|layer| Some((layer.depth, found(layer, field, get(layer.options)?, false))))
    }

    /// A field of which the most specific level replaces the others: the destination's alone where there is one, as it
    /// stands in for the route's policy, else the route's, else the virtual host's.
    pub fn most_specific<T>(
        &self,
        field: &str,
        destination: impl Fn(&'s WeightedDestinationOptions) -> Option<&'s T>,
        route: impl Fn(&'s RouteOptions) -> Option<&'s T>,
        host: impl Fn(&'s VirtualHostOptions) -> Option<&'s T>,
    ) -> Option<Found<'s, T>> {
        match self.destination {
            Some(_) => self.in_destination(field, destination),
            None => self.in_route(field, route).or_else(|| self.in_host(field, host)),
        }
    }

    /// A field of the destination level.
    pub fn in_destination<T>(
        &self,
        field: &str,
        get: impl Fn(&'s WeightedDestinationOptions) -> Option<&'s T>,
    ) -> Option<Found<'s, T>> {
        first(self.destination.map(std::slice::from_ref).unwrap_or_default(), field, get, false)
    }

    /// The first layer of the route level for which `get` gives something: for fields that exclude each other.
    pub fn route_layer<T>(
        &self,
        get: impl Fn(&'s RouteOptions) -> Option<(&'static str, T)>,
    ) -> Option<(Found<'s, RouteOptions>, T)> {
        self.route.iter().find_map(|layer| {
            let (field, value) = get(layer.options)?;
            Some((found(layer, field, layer.options, false), value))
        })
    }

    /// Reports a policy on a route whose action it does not suit.
    pub(super) fn refuse(&self, policy: &dyn Policy, notes: &mut Notes) {
        let mut scratch = Notes::default();
        let alone = Self { host: &[], ..*self };
        if policy.lower(&alone, &mut scratch).is_none() && !scratch.any_fatal() {
            return;
        }
        if let Some(layer) = self.route.first() {
            let path = format!("{}.{}", layer.path, policy.option());
            notes.error(
                layer.owner,
                path,
                format!("{} is not possible with the action of this route", policy.option()),
            );
        }
    }
}

fn first<'s, O, T>(
    layers: &[Layer<'s, O>],
    field: &str,
    get: impl Fn(&'s O) -> Option<&'s T>,
    shared: bool,
) -> Option<Found<'s, T>> {
    layers.iter().find_map(|layer| Some(found(layer, field, get(layer.options)?, shared)))
}

fn found<'s, O, T>(layer: &Layer<'s, O>, field: &str, value: &'s T, shared: bool) -> Found<'s, T> {
    Found { value, owner: layer.owner, path: format!("{}.{field}", layer.path), shared }
}
