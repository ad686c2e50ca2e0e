//! Translation: from nothing, and after an edit, the cost of which should not follow the number of VirtualServices.

mod many;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_control::translate::{Memo, translate};

fn full(c: &mut Criterion) {
    let mut group = c.benchmark_group("translate/full");
    for count in many::COUNTS {
        let snapshot = many::snapshot(count);
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_with_large_drop(|| translate(black_box(&snapshot), &mut Memo::default()));
        });
    }
    group.finish();
}

fn edit(c: &mut Criterion) {
    // Another domain is another claim, which is compared with all others.
    for (name, domain) in [("translate/weight", false), ("translate/domain", true)] {
        let mut group = c.benchmark_group(name);
        for count in many::COUNTS {
            let forms = many::edited(count, domain);
            let mut memo = Memo::default();
            let mut turns = forms.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| turns.next().map(|snapshot| translate(black_box(snapshot), &mut memo)));
            });
        }
        group.finish();
    }
}

criterion_group! { name = benches; config = many::short(); targets = full, edit }
criterion_main!(benches);
