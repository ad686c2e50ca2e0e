//! Fields whose value is a list of words with commas between them (RFC 9110 5.6.1).

use http::{HeaderMap, HeaderName};

/// The words of a list, over all its fields.
pub(super) fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
}
