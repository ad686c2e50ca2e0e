//! Which pairs of a mapping are fields of a message, and what is said about the others.

use std::collections::HashMap;

use super::super::finding::Level;
use super::catalogue::{self, Effect, Later};
use super::cx::{Cx, Message, address};
use super::hint;
use super::node::{Pair, shown};

/// The pairs that are fields of the message and count, under their canonical names. Reports all others.
pub fn known<'n>(cx: &Cx, message: Message, pairs: &'n [Pair]) -> Vec<(&'n str, &'n Pair)> {
    let entry = catalogue::message(message.name);
    let later = entry.map_or(&[][..], |entry| entry.later);
    let mut present: Vec<Present<'n>> = Vec::new();
    let mut odd: Vec<&Pair> = Vec::new();
    for pair in pairs.iter().filter(|pair| !cx.bad.contains(&address(&pair.value))) {
        match field_of(message, later, &pair.key) {
            // `null` is as if absent.
            Some(_) if pair.value.is_null() => {}
            Some(field) => admit(cx, &mut present, Present { field, pair }),
            None if entry.is_some_and(|entry| entry.open) => {}
            None if pair.key.contains(is_odd_space) => odd.push(pair),
            None => unknown(cx, message, later, pair),
        }
    }
    odd_spaces(cx, &odd);
    for group in entry.map_or(&[][..], |entry| entry.oneofs) {
        settle(cx, group, &mut present);
    }
    let mut spellings = cx.spellings.borrow_mut();
    spellings.extend(pairs.iter().map(|pair| (address(pair), None)));
    let mut known = Vec::with_capacity(present.len());
    for Present { field, pair } in present {
        match field {
            Field::Known(name) => {
                spellings.insert(address(pair), Some(name));
                known.push((name, pair));
            }
            Field::Later(later) => unsupported(cx, later, pair),
        }
    }
    known
}

/// The pairs of a free map; a repeated key is reported and the last one counts.
pub fn unique<'n>(cx: &Cx, pairs: &'n [Pair]) -> Vec<(&'n str, &'n Pair)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut unique: Vec<(&'n str, &'n Pair)> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        if pair.value.is_null() || cx.bad.contains(&address(&pair.value)) {
            continue;
        }
        match seen.get(pair.key.as_str()).and_then(|at| unique.get_mut(*at)) {
            Some(first) => {
                repeated(cx, first.1, pair);
                cx.spellings.borrow_mut().insert(address(first.1), None);
                *first = (&pair.key, pair);
            }
            None => {
                seen.insert(&pair.key, unique.len());
                unique.push((&pair.key, pair));
            }
        }
    }
    unique
}

struct Present<'n> {
    field: Field,
    pair: &'n Pair,
}

#[derive(Clone, Copy)]
enum Field {
    Known(&'static str),
    Later(&'static Later),
}

impl Field {
    fn name(&self) -> &'static str {
        match self {
            Field::Known(name) => name,
            Field::Later(later) => later.field,
        }
    }
}

/// The field of that name, in lowerCamelCase or in the snake_case of the proto files.
fn field_of(message: Message, later: &'static [Later], key: &str) -> Option<Field> {
    let exact = |key: &str| {
        let known = message.fields.iter().find(|field| **field == key).map(|field| Field::Known(field));
        known.or_else(|| later.iter().find(|later| later.field == key).map(Field::Later))
    };
    exact(key).or_else(|| if key.contains('_') { exact(&camel_case(key)) } else { None })
}

/// `prefix_rewrite` -> `prefixRewrite`.
fn camel_case(snake: &str) -> String {
    let mut camel = String::with_capacity(snake.len());
    let mut upper = false;
    for c in snake.chars() {
        if c == '_' {
            upper = true;
        } else {
            camel.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    camel
}

/// Adds a field; of two spellings of one field the camelCase one counts, and the same spelling twice is an error.
fn admit<'n>(cx: &Cx, present: &mut Vec<Present<'n>>, new: Present<'n>) {
    let Some(old) = present.iter_mut().find(|old| old.field.name() == new.field.name()) else {
        present.push(new);
        return;
    };
    if old.pair.key == new.pair.key {
        repeated(cx, old.pair, new.pair);
        *old = new;
    } else if new.pair.key == new.field.name() {
        *old = new;
    }
}

fn repeated(cx: &Cx, first: &Pair, second: &Pair) {
    let message =
        format!("`{}` is given twice, first in line {}; keep one of them", shown(&second.key), first.line);
    cx.report(Level::Error, &second.key, (second.line, second.column), message);
}

/// Keeps the last declared one of the members of a oneof.
fn settle(cx: &Cx, group: &[&str], present: &mut Vec<Present<'_>>) {
    let mut set: Vec<(usize, &str, (u32, u32))> = present
        .iter()
        .filter_map(|p| {
            let order = group.iter().position(|member| *member == p.field.name())?;
            Some((order, p.field.name(), (p.pair.line, p.pair.column)))
        })
        .collect();
    set.sort_unstable();
    let Some((_, winner, _)) = set.pop() else { return };
    for (_, loser, position) in set {
        let message = format!(
            "`{loser}` and `{winner}` exclude each other: `{winner}` counts and `{loser}` is left out"
        );
        cx.report(Level::Warning, loser, position, message);
        present.retain(|p| p.field.name() != loser);
    }
}

fn unsupported(cx: &Cx, later: &Later, pair: &Pair) {
    let position = (pair.line, pair.column);
    let level = match later.effect {
        Effect::Reject => Level::Error,
        Effect::Warn => Level::Warning,
    };
    cx.report(level, later.field, position, later.message());
}

fn is_odd_space(c: char) -> bool {
    c != ' ' && (c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}'))
}

/// Text that was copied from a web page may be indented by spaces that are none to YAML: one error for all its lines.
fn odd_spaces(cx: &Cx, pairs: &[&Pair]) {
    let Some(first) = pairs.first() else { return };
    let key = shown(first.key.trim_matches(|c| c == ' ' || is_odd_space(c)));
    let lines = match pairs.len() {
        1 => "this line contains".to_owned(),
        more => format!("this line and {} more contain", more - 1),
    };
    let text = format!("unknown field `{key}`: {lines} no-break spaces or the like; use ordinary spaces");
    cx.report(Level::Error, &key, (first.line, first.column), text);
}

fn unknown(cx: &Cx, message: Message, later: &'static [Later], pair: &Pair) {
    let key = pair.key.as_str();
    let mut text = format!("unknown field `{}`", shown(key));
    let names = || message.fields.iter().copied().chain(later.iter().map(|later| later.field));
    let above = || {
        cx.outer(|outer| {
            let later = catalogue::message(outer.name).map_or(&[][..], |entry| entry.later);
            field_of(outer, later, key).is_some()
        })
    };
    if let Some(hint) = hint::replaced(message.name, key) {
        text.push_str(&format!("; {hint}"));
    } else if let Some(outer) = above() {
        let outer = if outer.is_empty() { "the top level".to_owned() } else { format!("`{outer}`") };
        text.push_str(&format!("; it belongs to {outer}: check the indentation"));
    } else if let Some(inner) = catalogue::child_with(message.name, key) {
        text.push_str(&format!("; it belongs under `{inner}`"));
    } else if let Some(near) = hint::nearest(key, names()) {
        text.push_str(&format!("; did you mean `{near}`?"));
    } else if message.fields.len() + later.len() <= 10 {
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        match names.as_slice() {
            [] => text.push_str("; there are no fields here"),
            names => text.push_str(&format!("; there are {}", names.join(", "))),
        }
    }
    cx.report(Level::Error, key, (pair.line, pair.column), text);
}
