//! Names that many resources refer to, such as that of an upstream: one text in memory, however many routes have it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// The names that one build has come across.
#[derive(Default)]
pub(super) struct Names(RefCell<HashSet<Arc<str>>>);

impl Names {
    /// The same text, in the memory that the first one to be shared has.
    pub(super) fn share(&self, name: &Arc<str>) -> Arc<str> {
        let mut known = self.0.borrow_mut();
        if let Some(known) = known.get(name) {
            return Arc::clone(known);
        }
        known.insert(Arc::clone(name));
        Arc::clone(name)
    }
}
