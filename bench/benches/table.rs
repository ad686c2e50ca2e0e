//! A table made executable in a worker: from nothing, and after a delta of one virtual host.

mod many;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_dataplane::runtime::{Held, Runtime};
use portcullis_proto::link::v1::Upsert;

/// What a worker does with what it is sent.
fn take(held: &mut Held, upserts: Vec<Upsert>) {
    for upsert in upserts {
        assert!(held.upsert(upsert).is_ok());
    }
}

fn full(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/full");
    for count in many::COUNTS {
        let upserts = many::upserts(&many::table(&many::snapshot(count), &mut Default::default()));
        let decode_and_build = |upserts| {
            let mut held = Held::default();
            take(&mut held, upserts);
            Runtime::build(&held, None)
        };
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_batched(|| upserts.clone(), decode_and_build, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn delta(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/delta");
    for count in many::COUNTS {
        let mut memo = Default::default();
        let [before, after] = many::edited(count, false).map(|snapshot| many::table(&snapshot, &mut memo));
        let mut held = Held::default();
        take(&mut held, many::upserts(&before));
        let (first, _) = Runtime::build(&held, None);
        let mut sent = Vec::new();
        before.entries.compare(&after.entries, |key, was, is| {
            if was.map(|entry| entry.digest) != is.map(|entry| entry.digest) {
                sent.push(key.clone());
            }
        });
        assert_eq!(sent.len(), 1);
        let changed = many::upserts(&after).into_iter().filter(|upsert| {
            upsert.resource.as_ref().is_some_and(|resource| {
                let (kind, name) = portcullis_shared::table::identity(resource);
                sent.iter().any(|key| key.0 == kind.wire() && *key.1 == *name)
            })
        });
        let changed: Vec<Upsert> = changed.collect();
        let apply = |upserts| {
            let mut next = held.clone();
            take(&mut next, upserts);
            Runtime::build(&next, Some(black_box(&first)))
        };
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_batched(|| changed.clone(), apply, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = many::short(); targets = full, delta }
criterion_main!(benches);
