//! Targets for fuzzing: what this package makes of bytes that anybody may have sent, with the properties that hold for
//! every input. The fuzzer (`tests/fuzz`) calls them, and so do the tests: with the seeds there, and with random changes
//! of them ([`exercise`]).
//!
//! A target panics where a property does not hold. Must not be called by anything that serves requests.

#![allow(clippy::expect_used, clippy::panic, reason = "a broken property ends a fuzzer by a panic")]

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_proto::link::v1 as link;
use prost::Message as _;
use serde_json::Value;

use crate::routing::{PathRules, normalize, pattern, read_path};
use crate::table::Resource;
use crate::template::{Message, Notation, Template};

/// A name, and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets of this package.
pub const TARGETS: &[Target] =
    &[("path", path), ("pattern", self::pattern_text), ("table", table), ("template", template)];

/// A request target: what normalisation gives is left alone by a second one, and stays below the length it had.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for bits in 0..8 {
        let rules = PathRules {
            keep_dot_segments: bits & 1 != 0,
            merge_slashes: bits & 2 != 0,
            unescape_slashes: bits & 4 != 0,
        };
        let Ok((once, _)) = read_path(text, rules) else { continue };
        assert!(once.len() <= 3 * text.len(), "{text:?} grows to {once:?}");
        if rules == PathRules::default() {
            assert_eq!(normalize(&once).expect("it was read"), once, "{text:?} is not normal after once");
        }
    }
}

/// A regular expression, and behind a line feed a text that it is held against.
pub fn pattern_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (expression, text) = text.split_once('\n').unwrap_or((text, "/some/path?with=a&query"));
    // What it compiles to is bounded; matching is linear, whatever the expression.
    let beginnings = pattern::beginnings(expression);
    if let Ok(full) = pattern::full(expression)
        && full.is_match(text)
    {
        let begins = |beginning: &Vec<u8>| text.as_bytes().starts_with(beginning);
        assert!(beginnings.iter().any(begins), "{expression:?} fits {text:?}, which begins in no known way");
    }
    let _ = pattern::search(expression).map(|found| found.find_iter(text).count());
}

/// An upsert of the private protocol.
pub fn table(bytes: &[u8]) {
    if let Some(resource) = link::Upsert::decode(bytes).ok().and_then(|upsert| upsert.resource) {
        let _ = Resource::try_from(resource);
    }
}

/// A template, and behind a zero byte the JSON that it is rendered with.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, json) = text.split_once('\0').unwrap_or((text, "{\"a\":[1,{\"b\":\"c\"}]}"));
    let context: Value = serde_json::from_str(json).unwrap_or_default();
    for notation in [Notation::Dot, Notation::Pointer] {
        let Ok(compiled) = Template::compile(text, notation, false, |name| name == "x") else { continue };
        if let Ok(rendered) = compiled.render(&context, &Nothing) {
            assert!(rendered.len() <= crate::template::MAX_OUTPUT);
            if let Some(constant) = compiled.constant() {
                assert_eq!(constant, rendered);
            }
        }
    }
}

/// A message that has a little of everything.
struct Nothing;

impl Message for Nothing {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        name.starts_with('x').then_some(Cow::Borrowed("value"))
    }
    fn request_header(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
    fn extraction(&self, name: &str) -> Option<&str> {
        (name == "x").then_some("extracted")
    }
    fn body(&self) -> Option<&str> {
        Some("{\"a\": 1}")
    }
    fn dynamic_metadata(&self, _: &str, _: &str) -> Option<&Value> {
        None
    }
    fn random(&self, _: &str) -> String {
        "random".to_owned()
    }
}

/// How long a target is exercised in a test, at most.
const SHORT: Duration = Duration::from_secs(3);

/// Calls a target with every seed of `corpus/<name>`, and `rounds` times with a seed that was changed. The changes are
/// the same in every run, and end after some seconds; `PORTCULLIS_FUZZ_ROUNDS` multiplies them, without an end.
///
/// # Panics
/// The target does, or there are no seeds.
pub fn exercise(corpus: &Path, (name, target): Target, rounds: u64) {
    let folder = corpus.join(name);
    let listed = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().filter_map(|file| std::fs::read(file).ok()).collect();
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    seeds.iter().for_each(|seed| target(seed));
    let factor = std::env::var("PORTCULLIS_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let begun = Instant::now();
    for _ in 0..rounds.saturating_mul(factor) {
        if factor == 1 && begun.elapsed() > SHORT {
            return;
        }
        let mut bytes = random.pick(&seeds).cloned().unwrap_or_default();
        for _ in 0..=random.below(4) {
            random.change(&mut bytes, &seeds);
        }
        target(&bytes);
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % bound.max(1)
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        among.get(self.below(among.len()))
    }

    /// One small change, or a part of another seed.
    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        const TELLING: &[u8] = b"\0\t\n\r !\"#$%&'()*+,-./0129:;<=>?@[\\]^`{|}~\x7f\x80\xff";
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (self.next() % 8);
                }
            }
            1 => {
                let byte = self.pick(TELLING).copied().unwrap_or_default();
                bytes.insert(at, byte);
            }
            2 => {
                let end = (at + 1 + self.below(8)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            3 => bytes.truncate(at),
            4 => {
                // Repeats a part of itself.
                let end = (at + 1 + self.below(32)).min(bytes.len());
                let part = bytes.get(at..end).unwrap_or_default().repeat(1 + self.below(8));
                bytes.splice(at..at, part);
            }
            5 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.pick(TELLING).copied().unwrap_or_default();
                }
            }
            6 => {
                let other = self.pick(seeds).cloned().unwrap_or_default();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(other.get(from..).unwrap_or_default());
            }
            _ => {
                let number = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, u64::MAX];
                let number = self.pick(&number).copied().unwrap_or_default().to_string();
                bytes.splice(at..at, number.into_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_and_what_is_made_of_them_break_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        for target in TARGETS {
            exercise(&corpus, *target, 3_000);
        }
    }
}
