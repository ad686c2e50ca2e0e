//! Header maps that the next messages of the same thread use again: room for the usual fields is 2.5 KB, and a request has
//! two maps. Must not keep anything of a message.

use std::cell::RefCell;

use http::HeaderMap;

/// Fields for which a map has room from the beginning.
const USUAL_FIELDS: usize = 24;
/// Maps that are kept for each thread.
const KEPT: usize = 32;

thread_local! {
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room.
pub(in crate::proxy) fn map() -> HeaderMap {
    MAPS.with_borrow_mut(Vec::pop).unwrap_or_else(|| HeaderMap::with_capacity(USUAL_FIELDS))
}

/// Takes a map that nobody needs any more. One that has grown is not worth its memory.
pub(in crate::proxy) fn give_back(mut map: HeaderMap) {
    if !(USUAL_FIELDS..=2 * USUAL_FIELDS).contains(&map.capacity()) {
        return;
    }
    map.clear();
    MAPS.with_borrow_mut(|maps| {
        if maps.len() < KEPT {
            maps.push(map);
        }
    });
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn a_map_comes_back_empty_and_a_large_one_does_not() {
        let mut used = map();
        used.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let room = used.capacity();
        give_back(used);
        let again = map();
        assert!(again.is_empty());
        assert_eq!(again.capacity(), room);
        give_back(HeaderMap::with_capacity(1000));
        give_back(HeaderMap::new());
        assert_eq!(map().capacity(), room);
    }
}
