//! The tree of a compiled template.

use serde_json::Value;

use super::Position;
use super::function::Function;

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// As it stands.
    Text(Box<str>),
    /// `{{ .. }}`.
    Print(Expr),
    /// `{% if %}` with its `else if`s; the last part is what `else` holds.
    If(Vec<(Expr, Vec<Node>)>, Vec<Node>),
    /// `{% for value in list %}`, `{% for key, value in object %}`.
    For { key: Option<Box<str>>, value: Box<str>, over: Expr, body: Vec<Node> },
    /// `{% set a.b = value %}`.
    Set { path: Vec<Box<str>>, value: Expr },
}

/// An expression and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Literal(Value),
    Variable(Variable),
    Call(Function, Vec<Expr>),
    Not(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `f(x).name`.
    Member(Box<Expr>, Box<str>),
}

/// A variable by path.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    /// As written.
    pub(super) name: Box<str>,
    /// Its parts, at least one.
    pub(super) path: Vec<Box<str>>,
    /// The function without arguments that has this name.
    pub(super) function: Option<Function>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    In,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl Operator {
    /// How tight it binds. `and` and `or` are alike and go from left to right, as Inja has it.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Or | Self::And => 1,
            Self::In
            | Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual => 2,
            Self::Add | Self::Subtract => 3,
            Self::Multiply | Self::Divide | Self::Modulo => 4,
            Self::Power => 5,
        }
    }
}

/// How tight `not` binds: `not a == b` is `(not a) == b`.
pub(super) const NOT: u8 = 5;
