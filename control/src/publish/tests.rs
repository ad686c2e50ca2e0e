use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_proto::link::v1 as wire;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::table::v1::{Kind, Upstream};
use portcullis_shared::version::{Digest, TableDigest, Version};
use proptest::prelude::*;

use super::Target;
use super::frames::{FRAME, Frames};
use super::state::{AnswerError, Plan, Refusal, State};
use crate::compile::{Body, Key, Table, TableEntry};

const KIND: i32 = Kind::Upstream as i32;

fn key(name: &str) -> Key {
    (KIND, name.into())
}

fn version(seq: u64) -> Version {
    Version { epoch: 1, seq }
}

/// A table of upstreams: name and content.
fn table(content: &[(&str, &str)]) -> Arc<Table> {
    let mut sum = TableDigest::default();
    let mut table = Table::default();
    for (name, value) in content {
        let digest = Digest::of(value.as_bytes());
        sum.add(KIND, name, &digest);
        let resource = Resource::Upstream(Upstream { name: (*name).to_owned(), ..Upstream::default() });
        table.entries.insert(key(name), Arc::new(TableEntry { digest, body: Body::Upsert(resource) }));
    }
    table.digest = sum.get();
    Arc::new(table)
}

fn target(seq: u64, content: &[(&str, &str)]) -> Target {
    Target { version: version(seq), table: table(content), keys: Arc::default() }
}

fn names(keys: impl IntoIterator<Item = Key>) -> Vec<String> {
    keys.into_iter().map(|(_, name)| name.to_string()).collect()
}

fn upserts(plan: &Plan) -> Vec<String> {
    names(plan.upserts.iter().map(|(key, _)| key.clone()))
}

#[test]
fn a_cold_worker_gets_everything_and_then_only_differences() {
    let mut state = State::new([]);
    state.offer(target(1, &[("a", "1"), ("b", "1")]));
    let plan = state.next_plan().unwrap();
    assert_eq!(upserts(&plan), ["a", "b"]);
    state.answered(version(1), []).unwrap();

    state.offer(target(2, &[("a", "2"), ("c", "1")]));
    let plan = state.next_plan().unwrap();
    assert_eq!(upserts(&plan), ["a", "c"]);
    assert_eq!(names(plan.removes.clone()), ["b"]);
    assert!(!plan.reset);
    state.answered(version(2), []).unwrap();
    assert_eq!(state.digest(), table(&[("a", "2"), ("c", "1")]).digest);
}

#[test]
fn a_worker_that_has_it_all_gets_an_empty_transaction_that_names_the_version() {
    let held = [(key("a"), Digest::of(b"1"))];
    let mut state = State::new(held);
    state.offer(target(1, &[("a", "1")]));
    assert!(state.next_plan().unwrap().is_empty());
    state.answered(version(1), []).unwrap();
    state.offer(target(1, &[("a", "1")]));
    assert!(state.next_plan().is_none(), "the same version again is nothing new");
}

#[test]
fn one_transaction_at_a_time_and_newer_tables_coalesce() {
    let mut state = State::new([]);
    state.offer(target(1, &[("a", "1")]));
    assert!(state.next_plan().is_some());
    for seq in 2..10 {
        state.offer(target(seq, &[("a", &seq.to_string())]));
        assert!(state.next_plan().is_none());
    }
    state.answered(version(1), []).unwrap();
    assert_eq!(state.next_plan().unwrap().target.version, version(9));
}

#[test]
fn an_answer_to_something_else_is_an_error_and_changes_nothing() {
    let mut state = State::new([]);
    let error = state.answered(version(7), []).unwrap_err();
    assert_eq!(error, AnswerError::Version { got: version(7), expected: "nothing".to_owned() });
    state.offer(target(1, &[("a", "1")]));
    state.next_plan().unwrap();
    assert!(state.answered(version(7), []).is_err());
    state.answered(version(1), []).unwrap();
}

#[test]
fn a_refused_resource_counts_as_received_and_is_not_sent_again_until_it_changes() {
    let mut state = State::new([]);
    state.offer(target(1, &[("a", "1"), ("b", "bad")]));
    state.next_plan().unwrap();
    let refusal = Refusal { path: "x".into(), reason: "no".into() };
    state.answered(version(1), [(key("b"), refusal)]).unwrap();
    assert_eq!(names(state.refused().keys().cloned()), ["b"]);
    // The worker's digest is over what it received.
    assert!(!state.beat(table(&[("a", "1"), ("b", "bad")]).digest));

    state.offer(target(2, &[("a", "2"), ("b", "bad")]));
    assert_eq!(upserts(&state.next_plan().unwrap()), ["a"]);
    // Refused resources are named anew in every answer: not being named means that it runs.
    state.answered(version(2), []).unwrap();
    assert!(state.refused().is_empty());
}

#[test]
fn drift_in_a_beat_is_answered_with_everything() {
    let mut state = State::new([]);
    state.offer(target(1, &[("a", "1")]));
    state.next_plan().unwrap();
    assert!(!state.beat(Digest::of(b"other")), "while something is in flight nothing is compared");
    state.answered(version(1), []).unwrap();
    assert!(state.beat(Digest::of(b"other")));
    let plan = state.next_plan().unwrap();
    assert!(plan.reset);
    assert_eq!(upserts(&plan), ["a"]);
    assert!(plan.removes.is_empty());
    state.answered(version(1), []).unwrap();
    assert!(!state.beat(table(&[("a", "1")]).digest));
    assert_eq!(state.resets(), 0);
}

#[test]
fn a_digest_mismatch_is_answered_with_everything_and_counted() {
    let mut state = State::new([(key("old"), Digest::of(b"0"))]);
    state.offer(target(1, &[("a", "1")]));
    for n in 1..=3 {
        state.next_plan().unwrap();
        state.mismatch(version(1)).unwrap();
        assert_eq!(state.resets(), n);
    }
    let plan = state.next_plan().unwrap();
    assert!(plan.reset && plan.removes.is_empty());
    state.answered(version(1), []).unwrap();
    assert_eq!(state.resets(), 0);
}

#[test]
fn frames_are_closed_at_their_size_and_only_the_last_commits() {
    let big = "x".repeat(FRAME / 3);
    let mut table = Table::default();
    for n in 0..10 {
        let name = format!("{n}{big}");
        let resource = Resource::Upstream(Upstream { name: name.clone(), ..Upstream::default() });
        let entry = TableEntry { digest: Digest::of(name.as_bytes()), body: Body::Upsert(resource) };
        table.entries.insert(key(&name), Arc::new(entry));
    }
    let mut state = State::new([]);
    state.offer(Target { version: version(1), table: Arc::new(table), keys: Arc::default() });
    let frames: Vec<wire::Delta> = Frames::new(state.next_plan().unwrap()).map(Result::unwrap).collect();
    assert_eq!(frames.iter().map(|frame| frame.upserts.len()).collect::<Vec<_>>(), [3, 3, 3, 1]);
    let commits: Vec<bool> = frames.iter().map(|frame| frame.commit.is_some()).collect();
    assert_eq!(commits, [false, false, false, true]);
}

#[test]
fn an_empty_plan_is_one_frame_and_a_reset_is_in_the_first_one() {
    let mut state = State::new([]);
    state.offer(target(1, &[]));
    let frames: Vec<_> = Frames::new(state.next_plan().unwrap()).map(Result::unwrap).collect();
    assert_eq!(frames.len(), 1);
    assert!(frames[0].commit.is_some() && !frames[0].reset);
    state.mismatch(version(1)).unwrap();
    let frames: Vec<_> = Frames::new(state.next_plan().unwrap()).map(Result::unwrap).collect();
    assert!(frames[0].reset);
}

/// What happens between control and a worker.
#[derive(Clone, Debug)]
enum Event {
    /// A new table: name -> content.
    Table(BTreeMap<u8, u8>),
    /// The worker answers what is in flight, refusing the names for which the mask has a bit.
    Answer(u8),
    /// The worker loses this name, and its next beat shows it.
    Lose(u8),
    /// The worker says that the digest is wrong.
    Mismatch,
}

fn event() -> impl Strategy<Value = Event> {
    let content = proptest::collection::btree_map(0..8u8, 0..4u8, 0..8);
    prop_oneof![
        4 => content.prop_map(Event::Table),
        4 => any::<u8>().prop_map(Event::Answer),
        1 => (0..8u8).prop_map(Event::Lose),
        1 => Just(Event::Mismatch),
    ]
}

/// A worker that does what the protocol says.
#[derive(Default)]
struct Model {
    held: BTreeMap<String, Digest>,
    unanswered: Option<(Vec<wire::Delta>, Version)>,
}

impl Model {
    fn digest(&self) -> Digest {
        let mut sum = TableDigest::default();
        self.held.iter().for_each(|(name, digest)| sum.add(KIND, name, digest));
        sum.get()
    }

    /// Applies the transaction; `false` when the digest is not the commit's.
    fn apply(&mut self, frames: &[wire::Delta]) -> bool {
        let mut next = self.held.clone();
        for frame in frames {
            if frame.reset {
                next.clear();
            }
            for id in &frame.removes {
                next.remove(&id.name);
            }
            for upsert in &frame.upserts {
                let Some(Resource::Upstream(upstream)) = &upsert.resource else { unreachable!() };
                next.insert(upstream.name.clone(), Digest::from_slice(&upsert.digest).unwrap());
            }
        }
        let before = std::mem::replace(&mut self.held, next);
        let commit = frames.last().and_then(|frame| frame.commit.clone()).unwrap();
        if self.digest().as_bytes()[..] != commit.table_digest[..] {
            self.held = before;
            return false;
        }
        true
    }
}

proptest! {
    /// Whatever happens, once the worker has answered everything it has exactly the newest table.
    #[test]
    fn the_worker_ends_with_the_newest_table(
        first in proptest::collection::btree_map(0..8u8, 0..4u8, 0..8),
        events in proptest::collection::vec(event(), 0..40),
    ) {
        let content = |table: &BTreeMap<u8, u8>| -> Vec<(String, String)> {
            table.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let as_target = |seq: u64, table: &BTreeMap<u8, u8>| {
            let owned = content(table);
            let borrowed: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            target(seq, &borrowed)
        };
        let mut model = Model::default();
        for (name, value) in content(&first) {
            model.held.insert(name, Digest::of(value.as_bytes()));
        }
        let mut state = State::new(model.held.iter().map(|(name, digest)| (key(name), *digest)));
        let (mut seq, mut newest) = (0, None);
        let send = |state: &mut State, model: &mut Model| {
            if let Some(plan) = state.next_plan() {
                let version = plan.target.version;
                let frames = Frames::new(plan).map(Result::unwrap).collect();
                assert!(model.unanswered.replace((frames, version)).is_none(), "two in flight");
            }
        };
        let answer = |state: &mut State, model: &mut Model, mask: u8| {
            let Some((frames, version)) = model.unanswered.take() else { return };
            if model.apply(&frames) {
                let refused: Vec<_> = (0..8u8)
                    .filter(|name| mask & (1 << name) != 0 && model.held.contains_key(&name.to_string()))
                    .map(|name| (key(&name.to_string()), Refusal { path: String::new(), reason: "no".into() }))
                    .collect();
                state.answered(version, refused).unwrap();
            } else {
                state.mismatch(version).unwrap();
            }
        };
        for event in events {
            match event {
                Event::Table(table) => {
                    seq += 1;
                    newest = Some(as_target(seq, &table));
                    state.offer(newest.clone().unwrap());
                }
                Event::Answer(mask) => answer(&mut state, &mut model, mask),
                Event::Lose(name) => {
                    model.held.remove(&name.to_string());
                    state.beat(model.digest());
                }
                Event::Mismatch => {
                    if let Some((_, version)) = model.unanswered.take() {
                        state.mismatch(version).unwrap();
                    }
                }
            }
            send(&mut state, &mut model);
        }
        // The end: everything is answered, and beats find what is still wrong.
        for _ in 0..4 {
            answer(&mut state, &mut model, 0);
            state.beat(model.digest());
            send(&mut state, &mut model);
        }
        prop_assert!(model.unanswered.is_none());
        if let Some(newest) = newest {
            let wanted: BTreeMap<String, Digest> =
                newest.table.entries.iter().map(|((_, name), entry)| (name.to_string(), entry.digest)).collect();
            prop_assert_eq!(&model.held, &wanted);
            prop_assert_eq!(state.digest(), newest.table.digest);
        }
    }
}
