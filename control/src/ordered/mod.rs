//! An ordered map whose copies share their blocks.
//!
//! Ten thousand objects change one at a time, and whoever was given the map before keeps reading it. A copy costs a
//! pointer per block, a change copies one block, and two maps are compared without looking at the blocks that they
//! share. What a value means is its owner's business.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::ops::RangeFrom;
use std::sync::Arc;

/// A block is cut in two when it is longer.
const LONGEST: usize = 128;

type Block<K, V> = Vec<(K, V)>;

/// The map. Everything is in order of key.
pub struct Ordered<K, V> {
    /// None is empty.
    blocks: Vec<Arc<Block<K, V>>>,
    len: usize,
}

impl<K, V> Clone for Ordered<K, V> {
    fn clone(&self) -> Self {
        Self { blocks: self.blocks.clone(), len: self.len }
    }
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<K, V> Ordered<K, V> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.blocks.iter().flat_map(|block| block.iter()).map(|(key, value)| (key, value))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Ordered<K, V> {
    /// The block in which a key is, if it is anywhere, and its place there, or where it would have to be.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let at =
            self.blocks.partition_point(|block| block.last().is_some_and(|(last, _)| last.borrow() < key));
        let place =
            self.blocks.get(at).map_or(Err(0), |block| block.binary_search_by(|(k, _)| k.borrow().cmp(key)));
        (at, place)
    }

    /// The key as it is held, and its value.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        self.blocks.get(at)?.get(place.ok()?).map(|(key, value)| (key, value))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).1.is_ok()
    }

    /// The entries from a key on.
    pub fn range(&self, from: RangeFrom<K>) -> impl Iterator<Item = (&K, &V)> {
        let (at, place) = self.find(&from.start);
        let skipped = place.unwrap_or_else(|place| place);
        let blocks = self.blocks.get(at..).unwrap_or_default();
        blocks.iter().flat_map(|block| block.iter()).skip(skipped).map(|(key, value)| (key, value))
    }

    /// Goes through the entries in which this map and `newer` may differ: those of blocks that they do not share, equal
    /// ones among them. `each` gets the key with the value here and the value there.
    pub fn compare<'a>(&'a self, newer: &'a Self, mut each: impl FnMut(&'a K, Option<&'a V>, Option<&'a V>)) {
        let (mut old, mut new) = (Cursor::new(&self.blocks), Cursor::new(&newer.blocks));
        loop {
            if old.skip_shared(&mut new) {
                continue;
            }
            match (old.peek(), new.peek()) {
                (None, None) => return,
                (Some((key, was)), None) => {
                    each(key, Some(was), None);
                    old.step();
                }
                (None, Some((key, is))) => {
                    each(key, None, Some(is));
                    new.step();
                }
                (Some((before, was)), Some((after, is))) => match before.cmp(after) {
                    std::cmp::Ordering::Less => {
                        each(before, Some(was), None);
                        old.step();
                    }
                    std::cmp::Ordering::Greater => {
                        each(after, None, Some(is));
                        new.step();
                    }
                    std::cmp::Ordering::Equal => {
                        each(after, Some(was), Some(is));
                        old.step();
                        new.step();
                    }
                },
            }
        }
    }
}

impl<K: Ord + Clone, V: Clone> Ordered<K, V> {
    /// Puts a value in. Gives the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = match self.find(&key) {
            // Behind the last one: at the end of the last block.
            (at, Err(_)) if at == self.blocks.len() && at > 0 => {
                (at - 1, Err(self.blocks.last().map_or(0, |block| block.len())))
            }
            found => found,
        };
        let Some(block) = self.blocks.get_mut(at).map(Arc::make_mut) else {
            self.blocks.push(Arc::new(vec![(key, value)]));
            self.len += 1;
            return None;
        };
        match place {
            Ok(place) => block.get_mut(place).map(|held| std::mem::replace(&mut held.1, value)),
            Err(place) => {
                block.insert(place, (key, value));
                self.len += 1;
                if block.len() > LONGEST {
                    let rest = block.split_off(LONGEST / 2);
                    self.blocks.insert(at + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, Ok(place)) = self.find(key) else { return None };
        let block = self.blocks.get_mut(at).map(Arc::make_mut)?;
        let (_, value) = block.remove(place);
        self.len -= 1;
        if block.is_empty() {
            self.blocks.remove(at);
        }
        Some(value)
    }
}

/// A place in a list of blocks.
struct Cursor<'a, K, V> {
    blocks: &'a [Arc<Block<K, V>>],
    at: usize,
}

impl<'a, K, V> Cursor<'a, K, V> {
    fn new(blocks: &'a [Arc<Block<K, V>>]) -> Self {
        Self { blocks, at: 0 }
    }

    fn peek(&self) -> Option<(&'a K, &'a V)> {
        self.blocks.first()?.get(self.at).map(|(key, value)| (key, value))
    }

    fn step(&mut self) {
        self.at += 1;
        if let Some((block, rest)) = self.blocks.split_first()
            && self.at >= block.len()
        {
            (self.blocks, self.at) = (rest, 0);
        }
    }

    /// Steps over a block that both are at the beginning of.
    fn skip_shared(&mut self, other: &mut Self) -> bool {
        if self.at != 0 || other.at != 0 {
            return false;
        }
        match (self.blocks.split_first(), other.blocks.split_first()) {
            (Some((one, mine)), Some((two, others))) if Arc::ptr_eq(one, two) => {
                (self.blocks, other.blocks) = (mine, others);
                true
            }
            _ => false,
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Ordered<K, V> {
    /// In any order; of two entries with one key the later counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let sorted: std::collections::BTreeMap<K, V> = entries.into_iter().collect();
        let len = sorted.len();
        let mut rest = sorted.into_iter();
        let mut blocks = Vec::with_capacity(len.div_ceil(LONGEST / 2));
        loop {
            let block: Block<K, V> = rest.by_ref().take(LONGEST / 2).collect();
            if block.is_empty() {
                return Self { blocks, len };
            }
            blocks.push(Arc::new(block));
        }
    }
}

impl<'a, K, V> IntoIterator for &'a Ordered<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Ordered<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Ordered<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// For tests, which know what is there.
#[cfg(test)]
impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> std::ops::Index<&Q> for Ordered<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).unwrap()
    }
}
