//! Targets for fuzzing: what control makes of a file that anybody may have written. As `shared::fuzzing`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_shared::fuzzing::Target;

use crate::compile;
use crate::keyring;
use crate::ordered::Ordered;
use crate::resource::{Entry, ObjectRef, parse, parse_again};
use crate::translate::{self, Snapshot};

/// All targets of this package.
pub const TARGETS: &[Target] = &[("resources", resources)];

/// A file of resources, taken all the way to the tables of workers; and parsed again from what is known of it, with the
/// same outcome.
///
/// # Panics
/// The outcome differs.
pub fn resources(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = Path::new("fuzz.yaml");
    let parsed = parse(file, text, "gloo-system");
    let again = parse_again(file, text, "gloo-system", &parsed);
    assert_eq!(again.entries.len(), parsed.entries.len(), "a second reading finds other resources");
    let listed: Vec<Arc<Entry>> = parsed.entries;
    let entries: Ordered<ObjectRef, Arc<Entry>> =
        listed.iter().map(|entry| (entry.id.clone(), Arc::clone(entry))).collect();
    let snapshot = Snapshot {
        entries,
        accepted: BTreeMap::new(),
        secrets: keyring::index(&listed),
        own_namespace: "gloo-system".into(),
    };
    let translated = translate::translate(&snapshot, &mut translate::Memo::default());
    let tables = compile::compile(&translated.ir, &snapshot.secrets, &mut compile::Memo::default());
    for table in tables.values() {
        // What control accepts, workers can read.
        let invalid = compile::decode(table).invalid;
        assert!(invalid.is_empty(), "workers would refuse {invalid:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_and_what_is_made_of_them_break_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        for target in TARGETS {
            portcullis_shared::fuzzing::exercise(&corpus, *target, 400);
        }
    }
}
