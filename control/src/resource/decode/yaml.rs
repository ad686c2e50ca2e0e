//! YAML text to trees. Anchors and aliases are expanded up to a bound, merge keys are merged.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::node::{Meaning, Node, Pair, Value};
use super::resolve;

/// Nodes that aliases may add to one document: enough for any honest file, too few for an alias bomb.
const ALIAS_LIMIT: usize = 100_000;
/// How deep a document may nest. The API itself needs about 20.
const DEPTH_LIMIT: usize = 64;

/// One document, as far as it could be read.
#[derive(Debug)]
pub struct Document {
    /// The tree; of a broken document what stood before the error, so that its name may be known.
    pub root: Node,
    /// Why it is broken.
    pub broken: Option<Broken>,
}

/// Where and why the text is no YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// Why.
    pub reason: String,
}

/// Reads every document of a text. A broken one does not hide the others.
pub fn read(text: &str) -> Vec<Document> {
    chunks(text).into_iter().flat_map(|(first_line, chunk)| read_chunk(chunk, first_line)).collect()
}

/// Cuts at document markers, because the parser does not go on after an error. In YAML a line that begins with `---`
/// is always a marker, even inside a block scalar. Each part has the number of its first line, from 0.
pub fn chunks(text: &str) -> Vec<(usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 0, 0);
    for (line_index, line) in text.split_inclusive('\n').enumerate() {
        if offset > start && is_marker(line) {
            chunks.push((start_line, text.get(start..offset).unwrap_or("")));
            (start, start_line) = (offset, line_index);
        }
        offset += line.len();
    }
    chunks.push((start_line, text.get(start..).unwrap_or("")));
    chunks.retain(|(_, chunk)| chunk.lines().any(|line| !is_idle(line)));
    chunks
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// A line that says nothing: empty, a comment, a directive, a bare marker.
fn is_idle(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "..."
}

/// Reads the documents of one of the [`chunks`] of a text, which begins at that line, from 0.
pub fn read_chunk(chunk: &str, line_offset: usize) -> Vec<Document> {
    let mut documents = Vec::new();
    let mut builder = Builder::new(line_offset);
    for event in Parser::new_from_str(chunk) {
        let step = match event {
            Ok((Event::DocumentEnd, _)) => {
                if let Some(root) = builder.finish() {
                    documents.push(Document { root, broken: None });
                }
                builder = Builder::new(line_offset);
                Ok(())
            }
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let (line, column) = builder.place_of(error.marker().line(), error.marker().col());
                Err(Broken {
                    line,
                    column,
                    reason: format!("not valid YAML: {}", explain(chunk, error.info())),
                })
            }
        };
        if let Err(broken) = step {
            let (line, column) = (broken.line, broken.column);
            let root = builder.abandon().unwrap_or_else(|| Node::null(line, column));
            documents.push(Document { root, broken: Some(broken) });
            break;
        }
    }
    documents
}

/// The parser's words plus the usual cause.
fn explain(chunk: &str, info: &str) -> String {
    if chunk.lines().any(|line| line.trim_start_matches(' ').starts_with('\t')) {
        return format!("{info} (a line is indented by a tab; use spaces)");
    }
    if chunk.contains("\u{a0}") {
        return format!("{info} (the text has no-break spaces, U+00A0; use ordinary spaces)");
    }
    info.to_owned()
}

/// A container that is still open.
enum Open {
    List(Node, Vec<Node>, usize),
    Map(Node, Vec<Pair>, Option<(String, u32, u32)>, usize),
}

struct Builder {
    line_offset: usize,
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    expanded: usize,
}

impl Builder {
    fn new(line_offset: usize) -> Builder {
        Builder { line_offset, stack: Vec::new(), root: None, anchors: HashMap::new(), expanded: 0 }
    }

    fn place_of(&self, line: usize, column: usize) -> (u32, u32) {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (small(line + self.line_offset), small(column + 1))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Broken> {
        let (line, column) = self.place_of(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let meaning = meaning(&text, style, tag.as_deref());
                self.add(Node::scalar(line, column, text.into_owned(), meaning), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                self.check_depth(line, column)?;
                self.stack.push(Open::List(Node::null(line, column), Vec::new(), anchor));
                Ok(())
            }
            Event::MappingStart(anchor, _) => {
                self.check_depth(line, column)?;
                self.stack.push(Open::Map(Node::null(line, column), Vec::new(), None, anchor));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(broken(line, column, "an alias refers to an anchor that is not complete"));
                };
                self.expand(&node)?;
                if self.stack.len() + node.depth() > DEPTH_LIMIT {
                    return Err(broken(line, column, "nested more than 64 levels deep"));
                }
                self.add(node, 0)
            }
            _ => Ok(()),
        }
    }

    /// Counts a copy that an anchor or an alias makes.
    fn expand(&mut self, node: &Node) -> Result<(), Broken> {
        self.expanded += node.size();
        if self.expanded > ALIAS_LIMIT {
            return Err(broken(node.line, node.column, "aliases expand to more than 100000 values"));
        }
        Ok(())
    }

    fn check_depth(&self, line: u32, column: u32) -> Result<(), Broken> {
        if self.stack.len() >= DEPTH_LIMIT {
            return Err(broken(line, column, "nested more than 64 levels deep"));
        }
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Broken> {
        if anchor != 0 {
            self.expand(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items, _)) => items.push(node),
            Some(Open::Map(_, pairs, pending, _)) => match pending.take() {
                Some((key, line, column)) => pairs.push(Pair { key, line, column, value: node }),
                None => {
                    let (line, column) = (node.line, node.column);
                    let Value::Scalar(scalar) = node.value else {
                        return Err(broken(line, column, "a key must be a text, not a list or a mapping"));
                    };
                    *pending = Some((scalar.text, line, column));
                }
            },
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        match self.stack.pop() {
            Some(Open::List(node, items, anchor)) => {
                self.add(Node { value: Value::List(items), ..node }, anchor)
            }
            Some(Open::Map(node, pairs, _, anchor)) => {
                let pairs = merge(pairs)?;
                self.add(Node { value: Value::Map(pairs), ..node }, anchor)
            }
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Option<Node> {
        self.root.take().filter(|root| !root.is_null())
    }

    /// What can be saved of a broken document.
    fn abandon(mut self) -> Option<Node> {
        while let Some(open) = self.stack.last_mut() {
            match open {
                Open::List(_, _, anchor) => *anchor = 0,
                Open::Map(_, pairs, pending, anchor) => {
                    *anchor = 0;
                    if let Some((key, line, column)) = pending.take() {
                        pairs.push(Pair { key, line, column, value: Node::null(line, column) });
                    }
                }
            }
            self.close().ok()?;
        }
        self.root
    }
}

fn broken(line: u32, column: u32, reason: &str) -> Broken {
    Broken { line, column, reason: reason.to_owned() }
}

/// What a scalar means by its style and tag.
fn meaning(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Meaning {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match core {
        Some("str" | "binary") => Meaning::Text,
        Some("int" | "float") => resolve::number(text).unwrap_or(Meaning::Text),
        Some("bool" | "null") => resolve::plain(text),
        _ if style == ScalarStyle::Plain => resolve::plain(text),
        _ => Meaning::Text,
    }
}

/// Puts the pairs of `<<` in, which never replace a pair that the mapping itself has.
fn merge(pairs: Vec<Pair>) -> Result<Vec<Pair>, Broken> {
    if !pairs.iter().any(|pair| pair.key == "<<") {
        return Ok(pairs);
    }
    let (merges, mut own): (Vec<Pair>, Vec<Pair>) = pairs.into_iter().partition(|pair| pair.key == "<<");
    for merge in merges {
        let sources = match merge.value.value {
            Value::List(items) => items,
            _ => vec![merge.value],
        };
        for source in sources {
            let Value::Map(source) = source.value else {
                return Err(broken(merge.line, merge.column, "`<<` merges mappings, and its value is none"));
            };
            for pair in source {
                if !own.iter().any(|known| known.key == pair.key) {
                    own.push(pair);
                }
            }
        }
    }
    Ok(own)
}
