//! `delegateAction`: the RouteTables that take a route's place, and their order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::cx::Lookup;
use super::super::label::{Labels, TableSelector};
use super::super::notes::Note;
use super::flatten::{FlatRoute, Parent, Walk, error, not_found, object_ref};
use super::sort;
use crate::resource::{
    DelegateAction, Kind, Matcher, Object, ObjectRef, PathSpecifier, Ref, RouteTable, RouteTableSelector,
    Spec,
};

/// Deeper nesting is a mistake; the walk is recursive.
const MAX_DEPTH: usize = 64;

/// The flat routes that take the place of `item`.
pub(super) fn follow<'s>(
    walk: &mut Walk<'_, 's>,
    mut item: FlatRoute<'s>,
    action: &DelegateAction,
    named: bool,
    visited: Vec<&'s ObjectRef>,
    parent: Option<&Parent<'s>>,
) -> Vec<FlatRoute<'s>> {
    let matcher = match delegating_matcher(&item.matchers) {
        Ok(matcher) => matcher,
        Err(problem) => {
            let problem = error(&item.owner.id, format!("{}.matchers", item.path), problem);
            return vec![broken(item, named, vec![problem])];
        }
    };
    let tables = match choose(walk, &item, action) {
        Ok(tables) => tables,
        Err((field, problem)) => {
            walk.warn(item.owner, &item.via, format!("{}.delegateAction{field}", item.path), problem);
            return Vec::new();
        }
    };

    let mut by_weight: BTreeMap<i32, Vec<(&'s Object, &'s RouteTable)>> = BTreeMap::new();
    let mut problems = Vec::new();
    for id in tables {
        match resolve(walk, &item, &id) {
            Ok(Some((object, table))) => {
                by_weight.entry(table.weight.unwrap_or(0)).or_default().push((object, table));
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let mut child = Parent {
        matcher,
        inherit_matchers: item.route.inheritable_matchers.or(parent.map(|it| it.inherit_matchers))
            == Some(true),
        inherit_path: item.route.inheritable_path_matchers.or(parent.map(|it| it.inherit_path)) == Some(true),
        layers: std::mem::take(&mut item.layers),
        name: item.name.clone(),
        named,
        via: Arc::clone(&item.via),
        visited,
    };
    let mut routes = Vec::new();
    for tables in by_weight.into_values() {
        let together = tables.len() > 1;
        let mut block = Vec::new();
        for (object, table) in tables {
            if !walk.count(1, &child.via) {
                return routes;
            }
            if let Some(problem) = cycle(&child.visited, &object.id) {
                problems.push(error(&object.id, "spec.routes".to_owned(), problem));
                continue;
            }
            child.visited.push(&object.id);
            block.extend(walk.visit(object, &table.routes, Some(&child)));
            child.visited.pop();
        }
        // Tables of one weight have no order among themselves, so their routes are put in one.
        if together {
            sort::by_path(&mut block);
        }
        routes.extend(block);
    }
    if !problems.is_empty() {
        // Last, so that what replaces it leaves the requests of the tables that are fine to them.
        routes.push(broken(item, named, problems));
    }
    routes
}

/// A delegating route that stays one route, because of its problems.
pub(super) fn broken<'s>(item: FlatRoute<'s>, named: bool, problems: Vec<Note>) -> FlatRoute<'s> {
    let matchers = item.matchers.into_iter().map(with_path).collect();
    let name = if named { item.name } else { String::new() };
    FlatRoute { matchers, layers: Vec::new(), name, problems, ..item }
}

/// Without a path a delegating route is for all.
fn with_path(matcher: Cow<'_, Matcher>) -> Cow<'_, Matcher> {
    match matcher.path() {
        Some(_) => matcher,
        None => Cow::Owned(Matcher { prefix: Some("/".to_owned()), ..matcher.into_owned() }),
    }
}

/// A delegating route has one matcher at most, with a prefix.
fn delegating_matcher<'s>(matchers: &[Cow<'s, Matcher>]) -> Result<Cow<'s, Matcher>, String> {
    let [matcher] = matchers else {
        return Err(
            "invalid route: routes with delegate actions must omit or specify a single matcher".to_owned()
        );
    };
    match matcher.path() {
        None | Some(PathSpecifier::Prefix(_)) => Ok(with_path(matcher.clone())),
        Some(_) => Err("invalid route: routes with delegate actions must use a prefix matcher".to_owned()),
    }
}

/// The tables that an action names, or the field and the reason why there are none.
fn choose(
    walk: &mut Walk<'_, '_>,
    item: &FlatRoute<'_>,
    action: &DelegateAction,
) -> Result<Vec<ObjectRef>, (&'static str, String)> {
    let deprecated = !action.name.is_empty() || !action.namespace.is_empty();
    let reference = match (&action.reference, deprecated) {
        (_, true) => Some(Ref { name: action.name.clone(), namespace: action.namespace.clone() }),
        (reference, false) => reference.clone(),
    };
    if let Some(reference) = reference {
        let id = object_ref(Kind::RouteTable, &reference);
        return match walk.cx.object(&id) {
            Lookup::Missing => {
                let hint =
                    if reference.namespace.is_empty() { ": this reference needs a namespace" } else { "" };
                Err(("", format!("route table {}.{} missing{hint}", reference.namespace, reference.name)))
            }
            Lookup::Found(_) | Lookup::Broken => Ok(vec![id]),
        };
    }
    let Some(selector) = &action.selector else {
        return Err(("", "a route table reference or selector must be specified".to_owned()));
    };
    let selector = table_selector(selector, &item.owner.id.namespace)?;
    let found: Vec<ObjectRef> = walk.cx.tables(selector).into_iter().cloned().collect();
    if found.is_empty() {
        return Err((".selector", "no route table matches the given selector".to_owned()));
    }
    Ok(found)
}

fn table_selector(
    selector: &RouteTableSelector,
    own: &Arc<str>,
) -> Result<TableSelector, (&'static str, String)> {
    let labels = match (selector.labels.is_empty(), selector.expressions.is_empty()) {
        (false, false) => {
            let problem = "a selector takes labels or expressions, not both".to_owned();
            return Err((".selector", problem));
        }
        (_, true) => Labels::Equal(selector.labels.clone()),
        (true, false) => Labels::expressions(&selector.expressions)
            .map_err(|(at, problem)| (".selector.expressions", format!("expressions[{at}]: {problem}")))?,
    };
    let namespaces = match selector.namespaces.as_slice() {
        [] => Some([own.clone()].into()),
        list if list.iter().any(|namespace| namespace == "*") => None,
        list => Some(list.iter().map(|namespace| namespace.as_str().into()).collect()),
    };
    Ok(TableSelector { namespaces, labels })
}

fn resolve<'s>(
    walk: &mut Walk<'_, 's>,
    item: &FlatRoute<'s>,
    id: &ObjectRef,
) -> Result<Option<(&'s Object, &'s RouteTable)>, Note> {
    match walk.cx.object(id) {
        Lookup::Found(object) => {
            if let Some(problem) = walk.cx.broken_because(id) {
                walk.complain(id, &item.via, problem);
            }
            Ok(match &object.spec {
                Spec::RouteTable(table) => Some((object, table)),
                _ => None,
            })
        }
        Lookup::Broken => {
            let reason = walk.cx.broken_because(id).unwrap_or_else(|| "it is rejected".to_owned());
            let problem = format!("on sub route table {}.{}: {reason}", id.namespace, id.name);
            Err(error(&item.owner.id, format!("{}.delegateAction", item.path), problem))
        }
        Lookup::Missing => {
            let reference = Ref { name: id.name.to_string(), namespace: id.namespace.to_string() };
            walk.warn(item.owner, &item.via, item.path.to_string(), not_found("route table", &reference));
            Ok(None)
        }
    }
}

fn cycle(visited: &[&ObjectRef], next: &ObjectRef) -> Option<String> {
    if visited.len() >= MAX_DEPTH {
        return Some(format!("invalid route: delegation is nested deeper than {MAX_DEPTH} route tables"));
    }
    let start = visited.iter().position(|id| *id == next)?;
    let way: Vec<String> = visited
        .iter()
        .skip(start)
        .copied()
        .chain([next])
        .map(|id| format!("[{}.{}]", id.namespace, id.name))
        .collect();
    Some(format!("invalid route: delegation cycle detected: {}", way.join(" -> ")))
}
