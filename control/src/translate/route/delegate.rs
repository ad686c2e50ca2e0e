//! `delegateAction`: the RouteTables that take a route's place, and their order.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::cx::Lookup;
use super::super::label::{Labels, TableSelector};
use super::flatten::{FlatRoute, Parent, Walk, not_found, object_ref};
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
    item: FlatRoute<'s>,
    action: &DelegateAction,
    named: bool,
    visited: Vec<&'s ObjectRef>,
    parent: Option<&Parent<'s>>,
) -> Vec<FlatRoute<'s>> {
    let matcher = match delegating_matcher(&item.matchers) {
        Ok(matcher) => matcher,
        Err(problem) => {
            walk.reporter.error(&item, format!("{}.matchers", item.path), problem);
            return Vec::new();
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
    for id in tables {
        if let Some((object, table)) = resolve(walk, &item, &id) {
            by_weight.entry(table.weight.unwrap_or(0)).or_default().push((object, table));
        }
    }
    let mut child = Parent {
        matcher,
        inherit_matchers: item.route.inheritable_matchers.or(parent.map(|it| it.inherit_matchers))
            == Some(true),
        inherit_path: item.route.inheritable_path_matchers.or(parent.map(|it| it.inherit_path)) == Some(true),
        layers: item.layers,
        name: item.name,
        named,
        via: item.via,
        visited,
    };
    let mut routes = Vec::new();
    for tables in by_weight.into_values() {
        let together = tables.len() > 1;
        let mut block = Vec::new();
        for (object, table) in tables {
            if let Some(problem) = cycle(&child.visited, &object.id) {
                walk.fail(&object.id, &child.via, "spec.routes".to_owned(), problem);
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
    routes
}

/// A delegating route has one matcher at most, with a prefix.
fn delegating_matcher<'s>(matchers: &[Cow<'s, Matcher>]) -> Result<Cow<'s, Matcher>, String> {
    let [matcher] = matchers else {
        return Err(
            "invalid route: routes with delegate actions must omit or specify a single matcher".to_owned()
        );
    };
    match matcher.path() {
        Some(PathSpecifier::Prefix(_)) => Ok(matcher.clone()),
        None => Ok(Cow::Owned(Matcher { prefix: Some("/".to_owned()), ..matcher.clone().into_owned() })),
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
    own: &std::sync::Arc<str>,
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
) -> Option<(&'s Object, &'s RouteTable)> {
    match walk.cx.object(id) {
        Lookup::Found(object) => {
            if let Some(problem) = walk.cx.broken_because(id) {
                walk.complain(id, &item.via, problem);
            }
            match &object.spec {
                Spec::RouteTable(table) => Some((object, table)),
                _ => None,
            }
        }
        Lookup::Broken => {
            let reason = walk.cx.broken_because(id).unwrap_or_else(|| "it is rejected".to_owned());
            let problem = format!("on sub route table {}.{}: {reason}", id.namespace, id.name);
            walk.fail(&item.owner.id, &item.via, format!("{}.delegateAction", item.path), problem);
            None
        }
        Lookup::Missing => {
            let reference = Ref { name: id.name.to_string(), namespace: id.namespace.to_string() };
            walk.warn(item.owner, &item.via, item.path.to_string(), not_found("route table", &reference));
            None
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
