//! A template's tree run over one message.
//!
//! Variables that a template sets are global in it, also those that a loop sets, and hide fields of the body. A loop's
//! own variables are empty after it.

mod call;

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ast::{Expr, Kind, Node, Operator, Variable};
use super::function::Function;
use super::value::{self, Val};
use super::{Error, FUEL, MAX_OUTPUT, Message, Position, number};

pub(super) fn render(
    nodes: &[Node],
    escape: bool,
    context: &Value,
    message: &dyn Message,
) -> Result<String, Error> {
    let mut run = Run { context, message, escape, locals: Vec::new(), fuel: FUEL, out: String::new() };
    run.block(nodes)?;
    Ok(run.out)
}

/// One rendering.
struct Run<'r> {
    context: &'r Value,
    message: &'r dyn Message,
    escape: bool,
    locals: Vec<(&'r str, Cow<'r, Value>)>,
    fuel: u64,
    out: String,
}

fn fail<T>(at: Position, message: impl Into<String>) -> Result<T, Error> {
    Err(Error { position: Some(at), message: message.into() })
}

impl<'r> Run<'r> {
    fn spend(&mut self, at: Position, steps: u64) -> Result<(), Error> {
        match self.fuel.checked_sub(steps) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => fail(at, "the template takes too many steps"),
        }
    }

    /// Pays for a text of that length that is about to be made.
    fn afford(&mut self, at: Position, length: usize) -> Result<(), Error> {
        if length > MAX_OUTPUT {
            return fail(at, format!("a text would have more than {MAX_OUTPUT} bytes"));
        }
        self.spend(at, length as u64 / 16)
    }

    fn put(&mut self, text: &str) -> Result<(), Error> {
        if self.out.len().saturating_add(text.len()) > MAX_OUTPUT {
            let message = format!("the result has more than {MAX_OUTPUT} bytes");
            return Err(Error { position: None, message });
        }
        self.out.push_str(text);
        Ok(())
    }

    fn block(&mut self, nodes: &'r [Node]) -> Result<(), Error> {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &'r Node) -> Result<(), Error> {
        match node {
            Node::Text(text) => self.put(text),
            Node::Print(expr) => {
                let value = self.eval(expr)?;
                self.print(&value)
            }
            Node::If(arms, otherwise) => {
                for (condition, nodes) in arms {
                    if self.eval(condition)?.truthy() {
                        return self.block(nodes);
                    }
                }
                self.block(otherwise)
            }
            Node::For { key, value, over, body } => self.repeat(key.as_deref(), value, over, body),
            Node::Set { path, value } => {
                let at = value.at;
                let value = self.eval(value)?;
                self.assign(path, value, at)
            }
        }
    }

    fn print(&mut self, value: &Val<'r>) -> Result<(), Error> {
        match value.text() {
            Some(text) if self.escape => self.put(&value::escaped(text)),
            Some(text) => self.put(text),
            None => match value.json() {
                Value::Null => Ok(()),
                value => self.put(&value::dump(value)),
            },
        }
    }

    fn repeat(
        &mut self,
        key: Option<&'r str>,
        name: &'r str,
        over: &'r Expr,
        body: &'r [Node],
    ) -> Result<(), Error> {
        let at = over.at;
        let items = items(self.eval(over)?, key.is_some(), at)?;
        let outer = self.local("loop").map(|value| value.clone().into_owned());
        let count = items.len();
        for (index, (item_key, item)) in items.into_iter().enumerate() {
            self.spend(at, 4)?;
            if let (Some(key), Some(item_key)) = (key, item_key) {
                self.set_local(key, Cow::Owned(Value::String(item_key)));
            }
            self.set_local(name, item);
            let data = Map::from_iter([
                ("index".to_owned(), Value::from(index)),
                ("index1".to_owned(), Value::from(index.saturating_add(1))),
                ("is_first".to_owned(), Value::from(index == 0)),
                ("is_last".to_owned(), Value::from(index.saturating_add(1) == count)),
            ]);
            let mut data = Value::Object(data);
            if let (Some(outer), Some(data)) = (&outer, data.as_object_mut()) {
                data.insert("parent".to_owned(), outer.clone());
            }
            self.set_local("loop", Cow::Owned(data));
            self.block(body)?;
        }
        for name in key.into_iter().chain([name]) {
            let empty = self.local(name).map_or(Value::Null, |value| emptied(value));
            self.set_local(name, Cow::Owned(empty));
        }
        match outer {
            Some(outer) => self.set_local("loop", Cow::Owned(outer)),
            None => self.locals.retain(|(known, _)| *known != "loop"),
        }
        Ok(())
    }

    fn local(&self, name: &str) -> Option<&Cow<'r, Value>> {
        self.locals.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn set_local(&mut self, name: &'r str, value: Cow<'r, Value>) {
        match self.locals.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.locals.push((name, value)),
        }
    }

    fn assign(&mut self, path: &'r [Box<str>], value: Val<'r>, at: Position) -> Result<(), Error> {
        let Some((root, inner)) = path.split_first() else { return Ok(()) };
        if inner.is_empty() {
            self.set_local(root, value.into_cow());
            return Ok(());
        }
        let mut whole = self.local(root).map_or(Value::Null, |value| value.clone().into_owned());
        self.spend(at, value::weight(&whole))?;
        let mut slot = &mut whole;
        for part in inner {
            if slot.is_null() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(map) = slot else { return fail(at, format!("`{part}` cannot be set there")) };
            slot = map.entry(part.to_string()).or_insert(Value::Null);
        }
        *slot = value.into_value();
        if depth(&whole) > super::MAX_DEPTH {
            return fail(at, "the value is nested too deep");
        }
        self.set_local(root, Cow::Owned(whole));
        Ok(())
    }

    fn eval(&mut self, expr: &'r Expr) -> Result<Val<'r>, Error> {
        self.spend(expr.at, 1)?;
        match &expr.kind {
            Kind::Literal(value) => Ok(Val::borrowed(value)),
            Kind::Variable(variable) => match self.variable(variable, expr.at)? {
                Some(value) => Ok(value),
                None => fail(expr.at, format!("variable '{}' not found", variable.name)),
            },
            Kind::Call(function, arguments) => self.call(*function, arguments, expr.at),
            Kind::Not(inner) => Ok(Val::owned(!self.eval(inner)?.truthy())),
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right, expr.at),
            Kind::Member(inner, name) => {
                let value = self.eval(inner)?;
                self.member(value, name, expr.at)
            }
        }
    }

    /// A variable, if it is there.
    fn variable(&mut self, variable: &'r Variable, at: Position) -> Result<Option<Val<'r>>, Error> {
        let Some((root, inner)) = variable.path.split_first() else { return Ok(None) };
        let found = match self.local(root) {
            Some(Cow::Borrowed(value)) => value::descend(value, inner).map(Val::borrowed),
            Some(Cow::Owned(value)) => value::descend(value, inner).cloned().map(Val::owned),
            None => None,
        };
        if let Some(Val::Json(Cow::Owned(value))) = &found {
            self.spend(at, value::weight(value))?;
        }
        if found.is_some() {
            return Ok(found);
        }
        let context = self.context;
        if let (true, Some(value)) = (context.is_object(), value::descend(context, &variable.path)) {
            return Ok(Some(Val::borrowed(value)));
        }
        match variable.function {
            Some(function) => self.call(function, &[], at).map(Some),
            None => Ok(None),
        }
    }

    fn member(&mut self, value: Val<'r>, name: &str, at: Position) -> Result<Val<'r>, Error> {
        let missing = format!("there is no `{name}` in {}", value.describe());
        let found = match value {
            Val::Json(Cow::Borrowed(value)) => value::member(value, name).map(Val::borrowed),
            Val::Json(Cow::Owned(value)) => value::member(&value, name).cloned().map(Val::owned),
            Val::Text(_) => None,
        };
        if let Some(Val::Json(Cow::Owned(value))) = &found {
            self.spend(at, value::weight(value))?;
        }
        found.map_or_else(|| fail(at, missing), Ok)
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &'r Expr,
        right: &'r Expr,
        at: Position,
    ) -> Result<Val<'r>, Error> {
        let first = self.eval(left)?;
        match operator {
            Operator::And if !first.truthy() => return Ok(Val::owned(false)),
            Operator::Or if first.truthy() => return Ok(Val::owned(true)),
            _ => {}
        }
        let second = self.eval(right)?;
        let order = |wanted: fn(std::cmp::Ordering) -> bool| Ok(Val::owned(wanted(first.compare(&second))));
        match operator {
            Operator::And | Operator::Or => Ok(Val::owned(second.truthy())),
            Operator::Equal => order(std::cmp::Ordering::is_eq),
            Operator::NotEqual => order(std::cmp::Ordering::is_ne),
            Operator::Less => order(std::cmp::Ordering::is_lt),
            Operator::LessEqual => order(std::cmp::Ordering::is_le),
            Operator::Greater => order(std::cmp::Ordering::is_gt),
            Operator::GreaterEqual => order(std::cmp::Ordering::is_ge),
            Operator::In => {
                let count = match second.json() {
                    Value::Array(list) => list.len(),
                    Value::Object(map) => map.len(),
                    _ => 1,
                };
                self.spend(at, count as u64)?;
                Ok(Val::owned(contains(&second, &first)))
            }
            Operator::Add if first.text().is_some() && second.text().is_some() => {
                let (a, b) = (first.text().unwrap_or_default(), second.text().unwrap_or_default());
                self.afford(at, a.len().saturating_add(b.len()))?;
                Ok(Val::Text(Cow::Owned([a, b].concat())))
            }
            _ => {
                let (Some(a), Some(b)) = (first.number(), second.number()) else {
                    let (a, b) = (first.describe(), second.describe());
                    return fail(at, format!("cannot calculate with {a} and {b}"));
                };
                number::calculate(operator, a, b).map(Val::owned).or_else(|problem| fail(at, problem))
            }
        }
    }
}

/// A key, for objects, and a value.
type Item<'r> = (Option<String>, Cow<'r, Value>);

fn items<'r>(over: Val<'r>, keyed: bool, at: Position) -> Result<Vec<Item<'r>>, Error> {
    let found = over.describe();
    match (keyed, over) {
        (false, Val::Json(Cow::Borrowed(Value::Array(list)))) => {
            Ok(list.iter().map(|item| (None, Cow::Borrowed(item))).collect())
        }
        (false, Val::Json(Cow::Owned(Value::Array(list)))) => {
            Ok(list.into_iter().map(|item| (None, Cow::Owned(item))).collect())
        }
        (true, Val::Json(Cow::Borrowed(Value::Object(map)))) => {
            Ok(map.iter().map(|(key, item)| (Some(key.clone()), Cow::Borrowed(item))).collect())
        }
        (true, Val::Json(Cow::Owned(Value::Object(map)))) => {
            Ok(map.into_iter().map(|(key, item)| (Some(key), Cow::Owned(item))).collect())
        }
        (true, _) => fail(at, format!("`for key, value in` needs an object, found {found}")),
        (false, _) => fail(at, format!("`for value in` needs a list, found {found}")),
    }
}

fn contains(list: &Val<'_>, wanted: &Val<'_>) -> bool {
    let is_wanted = |value: &Value| Val::Json(Cow::Borrowed(value)).compare(wanted).is_eq();
    match list.json() {
        Value::Array(list) => list.iter().any(is_wanted),
        Value::Object(map) => map.values().any(is_wanted),
        // A lone value is a list of itself, and null one of nothing.
        Value::Null if list.text().is_none() => false,
        _ => list.compare(wanted).is_eq(),
    }
}

/// The empty value of the same type.
fn emptied(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => Value::from(false),
        Value::Number(_) => Value::from(0),
        Value::String(_) => Value::from(""),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(Map::new()),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(depth).max().unwrap_or(0).saturating_add(1),
        Value::Object(map) => map.values().map(depth).max().unwrap_or(0).saturating_add(1),
        _ => 1,
    }
}
