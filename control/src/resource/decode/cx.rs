//! What one run of the decoder collects: findings, places, spellings.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de;

use super::super::finding::{Finding, Level, Location, short};
use super::super::positions;
use super::node::Node;

/// Identity of a node or pair within one immutable tree.
pub type Address = usize;

/// The address of a part of the tree.
pub fn address<T>(part: &T) -> Address {
    std::ptr::from_ref(part).addr()
}

/// Pairs by address: under which key the canonical document has them, or `None` for not at all.
pub type Spellings = HashMap<Address, Option<&'static str>>;

/// Why a value is not what its field needs. The first place that it passes on its way up is the one that counts.
#[derive(Debug)]
pub struct Fail {
    /// Why.
    pub message: String,
    /// Which node, and its path and place.
    pub at: Option<Place>,
}

/// A node by address, path and place.
#[derive(Debug, Clone)]
pub struct Place {
    /// The node.
    pub node: Address,
    /// Its path.
    pub path: String,
    /// Line and column.
    pub position: (u32, u32),
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fail {}

impl de::Error for Fail {
    fn custom<T: fmt::Display>(message: T) -> Fail {
        Fail { message: message.to_string(), at: None }
    }
}

/// Findings of one run that are kept; a document with more is none of ours.
const MOST: usize = 1_000;

/// The collector of one run.
#[derive(Debug)]
pub struct Cx {
    file: Arc<Path>,
    path: RefCell<String>,
    findings: RefCell<Vec<Finding>>,
    /// An error was found beyond those that are shown.
    overflowed: Cell<bool>,
    positions: RefCell<positions::Builder>,
    levels: RefCell<Vec<(Message, usize)>>,
    /// How pairs appear in the canonical document, where that is not as they were written.
    pub spellings: RefCell<Spellings>,
    /// Nodes that earlier runs found wrong; they count as absent.
    pub bad: HashSet<Address>,
}

/// A message that is being decoded.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// The struct's name.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [&'static str],
}

impl Cx {
    /// A run over a part of a document; `prefix` is the path of that part.
    pub fn new(file: Arc<Path>, prefix: &str, bad: HashSet<Address>) -> Cx {
        Cx {
            file,
            path: RefCell::new(prefix.to_owned()),
            findings: RefCell::default(),
            overflowed: Cell::default(),
            positions: RefCell::default(),
            levels: RefCell::default(),
            spellings: RefCell::default(),
            bad,
        }
    }

    /// The path at this moment.
    pub fn path(&self) -> String {
        self.path.borrow().clone()
    }

    /// Runs `inner` one field deeper, and remembers where that field stands.
    pub fn field<R>(&self, key: &str, position: (u32, u32), inner: impl FnOnce() -> R) -> R {
        self.deeper(
            |path| {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            },
            position,
            inner,
        )
    }

    /// Runs `inner` at a key of a free map.
    pub fn key<R>(&self, key: &str, position: (u32, u32), inner: impl FnOnce() -> R) -> R {
        self.deeper(|path| path.push_str(&format!("[{key}]")), position, inner)
    }

    /// Runs `inner` at an item of a list.
    pub fn index<R>(&self, index: usize, position: (u32, u32), inner: impl FnOnce() -> R) -> R {
        self.deeper(|path| path.push_str(&format!("[{index}]")), position, inner)
    }

    fn deeper<R>(
        &self,
        push: impl FnOnce(&mut String),
        (line, column): (u32, u32),
        inner: impl FnOnce() -> R,
    ) -> R {
        let length = {
            let mut path = self.path.borrow_mut();
            let length = path.len();
            push(&mut path);
            self.positions.borrow_mut().add(&path, line, column);
            length
        };
        let result = inner();
        self.path.borrow_mut().truncate(length);
        result
    }

    /// Runs `inner` inside a message.
    pub fn message<R>(&self, message: Message, inner: impl FnOnce() -> R) -> R {
        let path = self.path.borrow().len();
        self.levels.borrow_mut().push((message, path));
        let result = inner();
        self.levels.borrow_mut().pop();
        result
    }

    /// The path of the innermost message around the current one for which `test` holds.
    pub fn outer(&self, test: impl Fn(Message) -> bool) -> Option<String> {
        let levels = self.levels.borrow();
        let (_, outer) = levels.split_last()?;
        let (_, length) = outer.iter().rev().find(|(message, _)| test(*message))?;
        self.path.borrow().get(..*length).map(str::to_owned)
    }

    /// Reports something at a field of the current message.
    pub fn report(&self, level: Level, key: &str, position: (u32, u32), message: String) {
        let (line, column) = position;
        let path = match (self.path.borrow().as_str(), key) {
            (path, "") => path.to_owned(),
            ("", key) => key.to_owned(),
            (path, key) => format!("{path}.{key}"),
        };
        let location = Some(Location { file: self.file.clone(), line, column });
        let message = match self.findings.borrow().len() {
            ..MOST => short(message),
            MOST => format!("there is more wrong: only {MOST} findings are shown"),
            // The last one has to be an error where any is: it decides on the resource.
            _ if level == Level::Error && !self.overflowed.replace(true) => short(message),
            _ => return,
        };
        self.findings.borrow_mut().push(Finding { level, path, message, location });
    }

    /// A failure at this node.
    pub fn fail(&self, node: &Node, message: String) -> Fail {
        self.placed(node, Fail { message, at: None })
    }

    /// The failure with its place, if it has none yet.
    pub fn placed(&self, node: &Node, mut fail: Fail) -> Fail {
        if fail.at.is_none() {
            fail.at =
                Some(Place { node: address(node), path: self.path(), position: (node.line, node.column) });
        }
        fail
    }

    /// Everything that was collected.
    pub fn finish(self) -> (Vec<Finding>, positions::Builder, Spellings) {
        (self.findings.into_inner(), self.positions.into_inner(), self.spellings.into_inner())
    }
}
