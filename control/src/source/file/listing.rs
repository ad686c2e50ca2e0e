//! What all files hold together, kept from one time to the next.
//!
//! The rule among many files is an edit of one, which names the resources that it named before: then the list of
//! resources is the last one with some in other forms. Everything else makes the list anew, which gives the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::Loaded;
use crate::resource::{Entry, ObjectRef, Parsed};

/// The last list and what has happened since.
#[derive(Debug, Default)]
pub(super) struct Listing {
    last: Option<Last>,
    /// Entries that were replaced since.
    replaced: Vec<(Arc<Entry>, Arc<Entry>)>,
}

#[derive(Debug)]
struct Last {
    loaded: Loaded,
    places: HashMap<ObjectRef, usize>,
}

impl Listing {
    /// Something happened that only a new list shows.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A file holds `new` instead of `old`, and kept nothing from earlier contents.
    pub(super) fn replace(&mut self, old: &Parsed, new: &Parsed) {
        let plain = |parsed: &Parsed| parsed.problems.is_empty() && parsed.notices.is_empty();
        let pairs = || old.entries.iter().zip(&new.entries);
        let same = old.entries.len() == new.entries.len() && pairs().all(|(old, new)| old.id == new.id);
        if self.last.is_some() && same && plain(old) && plain(new) {
            let differing = pairs().filter(|(old, new)| !Arc::ptr_eq(old, new));
            self.replaced.extend(differing.map(|(old, new)| (Arc::clone(old), Arc::clone(new))));
        } else {
            self.forget();
        }
    }

    /// The list as it is now; `None` when it has to be made anew.
    pub(super) fn advance(&mut self) -> Option<Loaded> {
        let Last { loaded, places } = self.last.as_mut()?;
        let known = self.replaced.drain(..).all(|(old, new)| {
            let place = places.get(&old.id).and_then(|place| loaded.entries.get_mut(*place));
            place.filter(|held| Arc::ptr_eq(held, &old)).map(|held| *held = new).is_some()
        });
        if known {
            return Some(loaded.clone());
        }
        self.forget();
        None
    }

    /// A list that was made anew. With doubles in it, which one counts has to be found out each time.
    pub(super) fn remember(&mut self, loaded: &Loaded, doubles: bool) {
        self.forget();
        if !doubles {
            let places = loaded.entries.iter().enumerate().map(|(at, entry)| (entry.id.clone(), at));
            self.last = Some(Last { places: places.collect(), loaded: loaded.clone() });
        }
    }
}
