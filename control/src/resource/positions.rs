//! Where each field of a document stands, kept small: a sorted list of path hashes.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Field path -> line and column. Two paths with one 64-bit hash would share a place, which can only misplace a message.
#[derive(Debug, Clone, Default)]
pub struct Positions(Box<[(u64, u32, u32)]>);

/// Collects positions while a document is decoded.
#[derive(Debug, Default)]
pub struct Builder(Vec<(u64, u32, u32)>);

impl Builder {
    /// Remembers where a field stands; the first place of a path counts.
    pub fn add(&mut self, path: &str, line: u32, column: u32) {
        self.0.push((hash(path), line, column));
    }

    /// Takes over what another part of the document has.
    pub fn extend(&mut self, other: Builder) {
        self.0.extend(other.0);
    }

    /// The finished list.
    pub fn build(mut self) -> Positions {
        self.0.sort_by_key(|entry| entry.0);
        self.0.dedup_by_key(|entry| entry.0);
        Positions(self.0.into_boxed_slice())
    }
}

impl Positions {
    /// The place of the field or of its nearest ancestor that was written.
    pub fn find(&self, path: &str) -> Option<(u32, u32)> {
        let mut path = without_wrapper(path);
        while !path.is_empty() {
            if let Some(found) = self.get(hash(path)) {
                return Some(found);
            }
            path = parent(path);
        }
        None
    }

    fn get(&self, hash: u64) -> Option<(u32, u32)> {
        let at = self.0.binary_search_by_key(&hash, |entry| entry.0).ok()?;
        self.0.get(at).map(|&(_, line, column)| (line, column))
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    without_wrapper(path).hash(&mut hasher);
    hasher.finish()
}

/// `spec.x` and `x` are one field, because the wrapper is optional.
fn without_wrapper(path: &str) -> &str {
    path.strip_prefix("spec.").unwrap_or(path)
}

fn parent(path: &str) -> &str {
    match path.rfind(['.', '[']) {
        Some(at) => path.get(..at).unwrap_or(""),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_is_found_at_its_nearest_ancestor() {
        let mut builder = Builder::default();
        builder.add("spec.virtualHost", 7, 3);
        builder.add("spec.virtualHost.routes[1]", 12, 5);
        let positions = builder.build();
        assert_eq!(positions.find("spec.virtualHost.routes[1].matchers[0].prefix"), Some((12, 5)));
        assert_eq!(positions.find("virtualHost.routes[0].name"), Some((7, 3)));
        assert_eq!(positions.find("spec.sslConfig"), None);
    }
}
