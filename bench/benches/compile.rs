//! Compilation: from nothing, and after an edit.

mod many;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_control::compile::{Memo, compile};
use portcullis_control::translate::{self, translate};

fn full(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile/full");
    for count in many::COUNTS {
        let snapshot = many::snapshot(count);
        let ir = translate(&snapshot, &mut translate::Memo::default()).ir;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_with_large_drop(|| compile(black_box(&ir), &snapshot.secrets, &mut Memo::default()));
        });
    }
    group.finish();
}

fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile/weight");
    for count in many::COUNTS {
        let mut translated = translate::Memo::default();
        let forms = many::edited(count, false).map(|snapshot| translate(&snapshot, &mut translated).ir);
        let (secrets, mut memo) = (Default::default(), Memo::default());
        let mut turns = forms.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| turns.next().map(|ir| compile(black_box(ir), &secrets, &mut memo)));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = many::short(); targets = full, edit }
criterion_main!(benches);
