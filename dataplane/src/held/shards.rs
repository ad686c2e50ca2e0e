//! A map by name whose copies share their parts.
//!
//! A table of ten thousand virtual hosts changes one at a time: a copy costs a pointer per part, a change copies one
//! part, and two maps are compared part by part without looking at what has not changed.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

const PARTS: usize = 128;

/// One part of a map. Names are the table's, nobody else's: their hash need not resist anyone.
pub(crate) type Part<V> = HashMap<Arc<str>, V, RandomState>;

/// The map.
#[derive(Debug)]
pub(crate) struct Shards<V>(Box<[Arc<Part<V>>]>);

impl<V> Clone for Shards<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        let empty = Arc::new(Part::default());
        Self((0..PARTS).map(|_| Arc::clone(&empty)).collect())
    }
}

/// In which part a name is: FNV-1a, which is quick on short texts.
pub(crate) fn part_of(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The high bits are the better mixed ones.
    usize::try_from(hash >> 57).unwrap_or(0) % PARTS
}

impl<V> Shards<V> {
    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.0.get(part_of(name))?.get(name)
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }

    /// All names and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.0.iter().flat_map(|part| part.iter())
    }

    /// All values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().flat_map(|part| part.values())
    }

    /// The parts, each at its number.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Arc<Part<V>>> {
        self.0.iter()
    }

    /// The part of that number.
    pub(crate) fn part(&self, number: usize) -> Option<&Arc<Part<V>>> {
        self.0.get(number)
    }

    /// Whether both share every part: then nothing changed between them.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl<V: Clone> Shards<V> {
    /// Puts a value in. Gives the one that it replaces.
    pub(crate) fn insert(&mut self, name: Arc<str>, value: V) -> Option<V> {
        // There are `PARTS` of them.
        let part = self.0.get_mut(part_of(&name))?;
        Arc::make_mut(part).insert(name, value)
    }

    /// Shows `edit` every value of the parts that `known` does not share.
    pub(crate) fn change(&mut self, known: Option<&Self>, mut edit: impl FnMut(&str, &mut V)) {
        for (number, part) in self.0.iter_mut().enumerate() {
            let known = known.and_then(|known| known.part(number));
            if !part.is_empty() && !known.is_some_and(|known| Arc::ptr_eq(known, part)) {
                Arc::make_mut(part).iter_mut().for_each(|(name, value)| edit(name, value));
            }
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, name: &str) -> Option<V> {
        let part = self.0.get_mut(part_of(name)).filter(|part| part.contains_key(name))?;
        Arc::make_mut(part).remove(name)
    }
}

impl<V> FromIterator<Arc<Part<V>>> for Shards<V> {
    /// From as many parts as [`Shards::parts`] gives, in that order.
    fn from_iter<I: IntoIterator<Item = Arc<Part<V>>>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}
