//! An immutable radix tree: everything filed under the beginnings of a text, found in one walk along the text.
//!
//! Nodes lie in one array, the children of a node side by side and sorted by their first byte; labels lie in one byte
//! array. There is no pointer and no allocation per node.

use std::collections::{BTreeMap, VecDeque};

/// No bucket.
const NONE: u32 = u32::MAX;

/// Maps byte strings to the numbers of buckets.
#[derive(Debug, Default)]
pub(super) struct Radix {
    /// The root, if any, is the first.
    nodes: Vec<Node>,
    labels: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    label: u32,
    label_len: u32,
    children: u32,
    children_len: u16,
    /// First byte of the label.
    first: u8,
    bucket: u32,
}

impl Radix {
    /// Builds the tree.
    pub(super) fn build(keys: &BTreeMap<Box<[u8]>, u32>) -> Self {
        let keys: Vec<(&[u8], u32)> = keys.iter().map(|(key, bucket)| (&**key, *bucket)).collect();
        let mut tree = Self::default();
        if keys.is_empty() {
            return tree;
        }
        tree.push(&[]);
        // Breadth first, so that children are neighbours: (node, its keys, how many bytes of them are used up).
        let mut todo = VecDeque::from([(0, keys.as_slice(), 0)]);
        while let Some((node, mut keys, depth)) = todo.pop_front() {
            let mut bucket = NONE;
            // Keys are sorted, so the one that ends here comes first.
            if let Some(((key, number), rest)) = keys.split_first()
                && key.len() == depth
            {
                (bucket, keys) = (*number, rest);
            }
            let children = tree.nodes.len();
            for group in keys.chunk_by(|(a, _), (b, _)| a.get(depth) == b.get(depth)) {
                let end = common_end(group);
                let label = group.first().and_then(|(key, _)| key.get(depth..end)).unwrap_or_default();
                todo.push_back((tree.nodes.len(), group, end));
                tree.push(label);
            }
            let count = tree.nodes.len() - children;
            if let Some(node) = tree.nodes.get_mut(node) {
                node.bucket = bucket;
                node.children = children as u32;
                // At most 256: one per byte.
                node.children_len = count as u16;
            }
        }
        tree.nodes.shrink_to_fit();
        tree.labels.shrink_to_fit();
        tree
    }

    fn push(&mut self, label: &[u8]) {
        self.nodes.push(Node {
            label: self.labels.len() as u32,
            label_len: label.len() as u32,
            children: 0,
            children_len: 0,
            first: label.first().copied().unwrap_or_default(),
            bucket: NONE,
        });
        self.labels.extend_from_slice(label);
    }

    /// Visits the bucket of every key that `text` begins with, shortest first. With `FOLD` the keys are lower case and
    /// ASCII letters of the text match in either case.
    pub(super) fn walk<const FOLD: bool>(&self, text: &[u8], mut visit: impl FnMut(u32)) {
        let mut rest = text;
        let mut next = self.nodes.first();
        while let Some(node) = next {
            if node.bucket != NONE {
                visit(node.bucket);
            }
            next = self.child(node, rest.first().copied(), FOLD).filter(|child| {
                let label = self.label(child);
                let Some((head, tail)) = rest.split_at_checked(label.len()) else { return false };
                rest = tail;
                if FOLD { head.eq_ignore_ascii_case(label) } else { head == label }
            });
        }
    }

    fn child(&self, node: &Node, first: Option<u8>, fold: bool) -> Option<&Node> {
        let first = first.map(|b| if fold { b.to_ascii_lowercase() } else { b })?;
        let from = node.children as usize;
        let children = self.nodes.get(from..from + usize::from(node.children_len))?;
        children.binary_search_by_key(&first, |child| child.first).ok().and_then(|i| children.get(i))
    }

    fn label(&self, node: &Node) -> &[u8] {
        let from = node.label as usize;
        self.labels.get(from..from + node.label_len as usize).unwrap_or_default()
    }
}

/// How far the keys of a sorted, non-empty group are equal.
fn common_end(group: &[(&[u8], u32)]) -> usize {
    let (Some((first, _)), Some((last, _))) = (group.first(), group.last()) else { return 0 };
    first.iter().zip(*last).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<const FOLD: bool>(tree: &Radix, text: &str) -> Vec<u32> {
        let mut found = Vec::new();
        tree.walk::<FOLD>(text.as_bytes(), |bucket| found.push(bucket));
        found
    }

    fn keys(texts: &[&str]) -> BTreeMap<Box<[u8]>, u32> {
        texts.iter().zip(0..).map(|(text, i)| (text.as_bytes().into(), i)).collect()
    }

    #[test]
    fn every_beginning_is_found_in_order() {
        let tree = Radix::build(&keys(&["/foo", "/", "", "/foo/bar", "/fa", "/foobar"]));
        assert_eq!(found::<false>(&tree, "/foo/bar/x"), [2, 1, 0, 3]);
        assert_eq!(found::<false>(&tree, "/foobar"), [2, 1, 0, 5]);
        assert_eq!(found::<false>(&tree, "/FOO"), [2, 1]);
        assert_eq!(found::<true>(&tree, "/FOO"), [2, 1, 0]);
        assert_eq!(found::<false>(&tree, "x"), [2]);
        assert!(found::<false>(&Radix::default(), "x").is_empty());
    }

    proptest! {
        #[test]
        fn as_a_scan(texts in proptest::collection::btree_set("[ab/]{0,5}", 0..20), text in "[abAB/]{0,8}") {
            let keys: BTreeMap<Box<[u8]>, u32> = texts.iter().zip(0..).map(|(t, i)| (t.as_bytes().into(), i)).collect();
            let tree = Radix::build(&keys);
            let scan = |text: &str| -> Vec<u32> {
                keys.iter().filter(|(key, _)| text.as_bytes().starts_with(key)).map(|(_, i)| *i).collect()
            };
            prop_assert_eq!(found::<false>(&tree, &text), scan(&text));
            prop_assert_eq!(found::<true>(&tree, &text), scan(&text.to_ascii_lowercase()));
        }
    }
}
