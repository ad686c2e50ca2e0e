//! Which templates look into the body. A message whose transformation does not is neither held back nor parsed.

use super::ast::{Expr, Kind, Node};
use super::function::Function;

/// Whether the result may depend on the body. A name that is certainly set by the template itself, or that `extracted`
/// knows, is no field of the body.
pub(super) fn needs_body(nodes: &[Node], extracted: &dyn Fn(&str) -> bool) -> bool {
    let mut known = Vec::new();
    block(nodes, extracted, &mut known)
}

fn block<'n>(nodes: &'n [Node], extracted: &dyn Fn(&str) -> bool, known: &mut Vec<&'n str>) -> bool {
    let before = known.len();
    let mut found = false;
    for node in nodes {
        found = match node {
            Node::Text(_) => false,
            Node::Print(expr) => looks(expr, extracted, known),
            Node::If(arms, otherwise) => {
                arms.iter().any(|(condition, nodes)| {
                    looks(condition, extracted, known) || block(nodes, extracted, known)
                }) || block(otherwise, extracted, known)
            }
            Node::For { key, value, over, body } => {
                let inside = known.len();
                let looks = looks(over, extracted, known);
                known.extend(key.as_deref());
                known.extend([&**value, "loop"]);
                let found = looks || block(body, extracted, known);
                known.truncate(inside);
                found
            }
            Node::Set { path, value } => {
                let looks = looks(value, extracted, known);
                known.extend(path.first().filter(|_| path.len() == 1).map(|name| &**name));
                looks
            }
        };
        if found {
            break;
        }
    }
    known.truncate(before);
    found
}

fn looks(expr: &Expr, extracted: &dyn Fn(&str) -> bool, known: &[&str]) -> bool {
    match &expr.kind {
        Kind::Literal(_) => false,
        Kind::Variable(variable) => {
            let name = variable.path.first().map(|part| &**part).unwrap_or_default();
            !known.contains(&name) && !extracted(name)
        }
        Kind::Call(function, arguments) => {
            matches!(function, Function::Body | Function::Context | Function::Exists)
                || arguments.iter().any(|argument| looks(argument, extracted, known))
        }
        Kind::Not(inner) | Kind::Member(inner, _) => looks(inner, extracted, known),
        Kind::Binary(_, left, right) => looks(left, extracted, known) || looks(right, extracted, known),
    }
}
