//! Consistent hashing by a lookup table (Eisenbud et al., "Maglev", NSDI 2016, section 3.4): smaller and evener than a
//! ring, and a little more moves when endpoints change. The table is filled as Envoy does.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::super::endpoint::Endpoint;
use super::hash_key;

/// Entries of a table, a prime; Envoy's default.
const SIZE: u64 = 65_537;

/// Position of an endpoint for each entry. Empty without endpoints.
#[derive(Debug)]
pub(super) struct Maglev(Box<[u16]>);

/// One endpoint while the table is filled: it asks for entries in an order of its own.
struct Filler {
    next: u64,
    skip: u64,
    weight: u64,
    /// Turns that it has taken, in units of the largest weight.
    taken: u64,
}

impl Maglev {
    pub(super) fn new(list: &[Arc<Endpoint>], by_hostname: bool) -> Self {
        const FREE: u16 = u16::MAX;
        let mut fillers: Vec<Filler> = list
            .iter()
            .take(usize::from(FREE))
            .map(|endpoint| {
                let key = hash_key(endpoint, by_hostname);
                Filler {
                    next: xxh64(key.as_bytes(), 0) % SIZE,
                    skip: xxh64(key.as_bytes(), 1) % (SIZE - 1) + 1,
                    weight: u64::from(endpoint.weight),
                    taken: 0,
                }
            })
            .collect();
        let Some(largest) = fillers.iter().map(|filler| filler.weight).max() else {
            return Self(Box::default());
        };
        let mut table = vec![FREE; usize::try_from(SIZE).unwrap_or(0)];
        let mut left = table.len();
        for round in 1.. {
            for (at, filler) in (0u16..).zip(&mut fillers) {
                // One of the largest weight takes part in every round, one of half of it in every other.
                if round * filler.weight < filler.taken {
                    continue;
                }
                filler.taken += largest;
                loop {
                    let entry = usize::try_from(filler.next).ok().and_then(|entry| table.get_mut(entry));
                    filler.next = (filler.next + filler.skip) % SIZE;
                    if let Some(free) = entry.filter(|entry| **entry == FREE) {
                        *free = at;
                        break;
                    }
                }
                left -= 1;
                if left == 0 {
                    return Self(table.into());
                }
            }
        }
        Self(table.into())
    }

    /// The position of the endpoint for `hash`, or of the `step`th choice after it.
    pub(super) fn at(&self, hash: u64, step: usize) -> Option<usize> {
        let hash = match step as u64 {
            0 => hash,
            step => hash ^ (u64::MAX - step + 1),
        };
        let entry = hash.checked_rem(self.0.len() as u64)?;
        self.0.get(usize::try_from(entry).ok()?).map(|at| usize::from(*at))
    }
}
