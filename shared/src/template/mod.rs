//! The template language of transformations: Inja over JSON values, as Gloo's users write it.
//!
//! Control compiles every template when a file is loaded, and a worker compiles and renders with the same code, so that
//! what is accepted is what runs. A template is compiled once into a tree; rendering borrows the tree, the message and
//! its JSON, and copies only what a template makes anew.
//!
//! A template cannot do I/O, and cannot run for ever: steps, output, nesting and the size of what it makes are bounded
//! ([`FUEL`], [`MAX_OUTPUT`], [`MAX_DEPTH`]). Must not know HTTP types: a message is seen through [`Message`].

mod analysis;
mod ast;
mod extractor;
mod function;
mod lexer;
mod number;
mod parser;
mod render;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

pub use extractor::{Extractor, Mode};
pub use value::{dump, parse_body};

/// Steps that one rendering may take; copies count by their size. Some tens of milliseconds at worst.
pub const FUEL: u64 = 2_000_000;

/// Bytes that one rendering may put out.
pub const MAX_OUTPUT: usize = 8 << 20;

/// Nesting of statements and of expressions.
pub const MAX_DEPTH: usize = 64;

/// Bytes of one template's text.
pub const MAX_TEXT: usize = 1 << 20;

/// Namespace of metadata where a template names none.
pub const METADATA_NAMESPACE: &str = "io.solo.transformation";

/// What a template may ask of the message that it is rendered for.
pub trait Message {
    /// First value of a header of this message, pseudo headers with their colon included.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// First value of a header of the request; that of this message when it is one.
    fn request_header(&self, name: &str) -> Option<Cow<'_, str>>;
    /// Result of the extractor of that name.
    fn extraction(&self, name: &str) -> Option<&str>;
    /// The body as text; `None` when it is no text.
    fn body(&self) -> Option<&str>;
    /// A value that was stored for this request.
    fn dynamic_metadata(&self, namespace: &str, key: &str) -> Option<&Value>;
    /// The random text that stands for `pattern` in this request.
    fn random(&self, pattern: &str) -> String;
}

/// How the parts of a variable's path are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `a.b.0`.
    Dot,
    /// `a/b/0`, of advanced templates.
    Pointer,
}

/// Place in a template's text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

/// What is wrong with a template, or what went wrong with it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where, if it is about one place.
    pub position: Option<Position>,
    /// What.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(Position { line, column }) => {
                write!(f, "{} (line {line}, column {column} of the template)", self.message)
            }
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<ast::Node>,
    needs_body: bool,
    escape: bool,
}

impl Template {
    /// Compiles a text. `extracted` tells which variables come from extractors and not from the body; with `escape`,
    /// texts are put out as inside a JSON string.
    ///
    /// # Errors
    /// What is wrong with the syntax, and where.
    pub fn compile(
        text: &str,
        notation: Notation,
        escape: bool,
        extracted: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            let message = format!("the template has {} bytes, more than {MAX_TEXT}", text.len());
            return Err(Error { position: None, message });
        }
        let nodes = parser::parse(text, notation)?;
        let needs_body = analysis::needs_body(&nodes, &extracted);
        Ok(Self { nodes, needs_body, escape })
    }

    /// Whether its result may depend on the body of the message.
    pub fn needs_body(&self) -> bool {
        self.needs_body
    }

    /// The text, when it is always the same.
    pub fn constant(&self) -> Option<&str> {
        match self.nodes.as_slice() {
            [] => Some(""),
            [ast::Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Renders it. `context` holds the variables; one that is no object holds none, but `context()` gives it.
    ///
    /// # Errors
    /// A variable that is not there, a value of a wrong type, a limit that was met.
    pub fn render(&self, context: &Value, message: &dyn Message) -> Result<String, Error> {
        render::render(&self.nodes, self.escape, context, message)
    }
}
