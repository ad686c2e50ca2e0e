//! What a session works out: for a worker that comes back with everything it had, and for one edit in a session.

mod many;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_control::compile::Table;
use portcullis_control::publish::Target;
use portcullis_control::publish::state::State;
use portcullis_shared::version::Version;

fn target(seq: u64, table: &Arc<Table>) -> Target {
    Target { version: Version { epoch: 1, seq }, table: Arc::clone(table), keys: Arc::default() }
}

fn resume(c: &mut Criterion) {
    let mut group = c.benchmark_group("link/resume");
    for count in many::COUNTS {
        let mut memo = Default::default();
        let [before, after] = many::edited(count, false).map(|snapshot| many::table(&snapshot, &mut memo));
        let have: Vec<_> = before.entries.iter().map(|(key, entry)| (key.clone(), entry.digest)).collect();
        let plan = |have| {
            let mut state = State::new(have);
            state.offer(target(1, &after));
            assert_eq!(state.next_plan().map(|plan| plan.upserts.len()), Some(1));
        };
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_batched(|| have.clone(), plan, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("link/edit");
    for count in many::COUNTS {
        let mut memo = Default::default();
        let forms = many::edited(count, false).map(|snapshot| many::table(&snapshot, &mut memo));
        let mut state = State::new([]);
        let mut seq = 0;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                seq += 1;
                let next = forms.get(usize::from(seq % 2 == 0));
                let next = target(seq, black_box(next.unwrap_or(&forms[0])));
                let version = next.version;
                state.offer(next);
                let plan = state.next_plan();
                assert!(state.answered(version, []).is_ok());
                plan
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = many::short(); targets = resume, edit }
criterion_main!(benches);
