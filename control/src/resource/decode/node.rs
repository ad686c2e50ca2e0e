//! A document as a tree whose every part knows its place in the text.

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Anything that is no list and no mapping.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the text, with repeated keys.
    Map(Vec<Pair>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The key as text.
    pub key: String,
    /// Line of the key, from 1.
    pub line: u32,
    /// Column of the key, from 1.
    pub column: u32,
    /// The value.
    pub value: Node,
}

/// A scalar as it was written and as it is understood.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// As written, quotes removed.
    pub text: String,
    /// As understood.
    pub meaning: Meaning,
}

/// What a scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning {
    /// Absent.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Text,
}

impl Node {
    /// An absent value at a place.
    pub fn null(line: u32, column: u32) -> Node {
        Node::scalar(line, column, String::new(), Meaning::Null)
    }

    /// A scalar at a place.
    pub fn scalar(line: u32, column: u32, text: String, meaning: Meaning) -> Node {
        Node { line, column, value: Value::Scalar(Scalar { text, meaning }) }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { meaning: Meaning::Null, .. }))
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar { text, meaning: Meaning::Text }) => Some(text),
            _ => None,
        }
    }

    /// The pairs, if it is a mapping.
    pub fn pairs(&self) -> Option<&[Pair]> {
        match &self.value {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The value of the last pair with this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.pairs()?.iter().rev().find(|pair| pair.key == key).map(|pair| &pair.value)
    }

    /// How many nodes there are below and with this one.
    pub fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(pairs) => pairs.iter().map(|pair| pair.value.size()).sum(),
        }
    }

    /// How deep it nests; a scalar is 1.
    pub fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(pairs) => pairs.iter().map(|pair| pair.value.depth()).max().unwrap_or(0),
        }
    }

    /// What was found, for messages: "the number `5`", "a list". Long or secret-looking text is cut.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => match scalar.meaning {
                Meaning::Null => "nothing".to_owned(),
                Meaning::Bool(value) if scalar.text == if value { "true" } else { "false" } => {
                    format!("the boolean `{value}`")
                }
                Meaning::Bool(value) => format!("`{}`, which YAML reads as the boolean {value}", scalar.text),
                Meaning::Int(_) | Meaning::Float(_) => format!("the number `{}`", shown(&scalar.text)),
                Meaning::Text if scalar.text.is_empty() => "an empty text".to_owned(),
                Meaning::Text => format!("the text `{}`", shown(&scalar.text)),
            },
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(pairs) => match pairs.first() {
                None => "an empty mapping".to_owned(),
                Some(first) => format!("a mapping (`{}: ..`)", shown(&first.key)),
            },
        }
    }
}

/// Text for a message: one line, at most 40 characters, and nothing that looks like key material.
pub fn shown(text: &str) -> String {
    if text.contains("-----BEGIN") {
        return "-----BEGIN ..".to_owned();
    }
    let line = text.lines().next().unwrap_or("");
    let cut: String = line.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if cut.len() < text.len() { format!("{cut}..") } else { cut }
}
