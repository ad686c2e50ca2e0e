use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Edit {
    Insert(u16, u8),
    Remove(u16),
}

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        3 => (0..1000u16, any::<u8>()).prop_map(|(key, value)| Edit::Insert(key, value)),
        1 => (0..1000u16).prop_map(Edit::Remove),
    ];
    proptest::collection::vec(edit, 0..most)
}

fn apply(map: &mut Ordered<u16, u8>, model: &mut BTreeMap<u16, u8>, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Insert(key, value) => assert_eq!(map.insert(*key, *value), model.insert(*key, *value)),
            Edit::Remove(key) => assert_eq!(map.remove(key), model.remove(key)),
        }
    }
}

proptest! {
    #[test]
    fn it_is_an_ordered_map(edits in edits(2000), from in 0..1000u16) {
        let (mut map, mut model) = (Ordered::default(), BTreeMap::new());
        apply(&mut map, &mut model, &edits);
        prop_assert_eq!(map.len(), model.len());
        prop_assert!(map.iter().eq(&model));
        prop_assert!(map.range(from..).eq(model.range(from..)));
        prop_assert_eq!(map.get(&from), model.get(&from));
        let collected: Ordered<u16, u8> = model.into_iter().collect();
        prop_assert_eq!(collected, map);
    }

    #[test]
    fn a_comparison_finds_every_difference_and_skips_what_is_shared(first in edits(2000), then in edits(5)) {
        let (mut map, mut model) = (Ordered::default(), BTreeMap::new());
        apply(&mut map, &mut model, &first);
        let (before, old) = (map.clone(), model.clone());
        apply(&mut map, &mut model, &then);
        prop_assert!(before.iter().eq(&old), "a copy changed with the original");
        let (mut found, mut looked_at) = (BTreeMap::new(), 0);
        before.compare(&map, |key, was, is| {
            looked_at += 1;
            if was != is {
                found.insert(*key, (was.copied(), is.copied()));
            }
        });
        let keys = old.keys().chain(model.keys());
        let wanted: BTreeMap<_, _> = keys
            .map(|key| (*key, (old.get(key).copied(), model.get(key).copied())))
            .filter(|(_, (was, is))| was != is)
            .collect();
        prop_assert_eq!(found, wanted);
        prop_assert!(looked_at <= then.len() * (LONGEST + 1), "{} for {} edits", looked_at, then.len());
    }
}
