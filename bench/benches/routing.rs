//! Route and domain look-up at growing numbers: the cost should not follow the number.

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use portcullis_shared::routing::{
    Domain, DomainIndex, FieldName, HeaderMatcher, Matcher, PathMatcher, RequestView, RouteIndex,
    ValueMatcher,
};

const COUNTS: [usize; 3] = [10, 1_000, 100_000];

fn request<'a>(path: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    RequestView { method: "GET", scheme: "http", authority: "a.example", path, query: None, headers }
}

/// One way in which routes can be told apart, and the path of a request for the last of them.
struct Shape {
    name: &'static str,
    matcher: fn(usize) -> Matcher,
    path: fn(usize) -> String,
}

fn by_tenant(i: usize) -> Matcher {
    let tenant = HeaderMatcher {
        name: FieldName::parse("x-tenant").unwrap_or(FieldName::Method),
        value: ValueMatcher::Exact(i.to_string().into()),
        invert: false,
    };
    Matcher { headers: vec![tenant], ..Matcher::path(PathMatcher::prefix("/")) }
}

fn by_regex(i: usize) -> Matcher {
    let text = format!("/service-{i}/[0-9]+/orders");
    Matcher::path(PathMatcher::regex(text).unwrap_or(PathMatcher::Connect))
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "exact",
        matcher: |i| Matcher::path(PathMatcher::exact(format!("/service-{i}/orders"))),
        path: |i| format!("/service-{i}/orders"),
    },
    Shape {
        name: "prefix",
        matcher: |i| Matcher::path(PathMatcher::prefix(format!("/service-{i}/"))),
        path: |i| format!("/service-{i}/orders/17"),
    },
    Shape { name: "header", matcher: by_tenant, path: |_| "/orders".into() },
    Shape { name: "regex", matcher: by_regex, path: |i| format!("/service-{i}/17/orders") },
];

fn routes(c: &mut Criterion) {
    for shape in SHAPES {
        let mut group = c.benchmark_group(format!("route/{}", shape.name));
        for count in COUNTS {
            // A hundred thousand compiled expressions are a matter of memory, not of this bench.
            if shape.name == "regex" && count > 10_000 {
                continue;
            }
            let matchers: Vec<Matcher> = (0..count).map(shape.matcher).collect();
            let index = RouteIndex::build(&matchers.iter().collect::<Vec<_>>());
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("*/*"));
            headers.insert("user-agent", HeaderValue::from_static("bench"));
            headers.insert("x-tenant", HeaderValue::from(count - 1));
            let path = (shape.path)(count - 1);
            let request = request(&path, &headers);
            assert_eq!(index.find(|i| matchers.get(i), &request), Some(count - 1));
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| index.find(|i| matchers.get(i), black_box(&request)));
            });
        }
        group.finish();
    }
}

fn domains(c: &mut Criterion) {
    let mut group = c.benchmark_group("domain");
    for count in COUNTS {
        let text = |i: usize| match i % 3 {
            0 => format!("host-{i}.example.com"),
            1 => format!("*.zone-{i}.example.com"),
            _ => format!("prefix-{i}.*"),
        };
        let index = DomainIndex::build((0..count).filter_map(|i| Some((Domain::parse(&text(i)).ok()?, i))));
        for (name, host) in
            [("exact", "host-3.example.com"), ("suffix", "a.zone-4.example.com"), ("none", "nobody.test")]
        {
            group.bench_function(BenchmarkId::new(name, count), |b| b.iter(|| index.find(black_box(host))));
        }
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for count in COUNTS {
        let shapes = SHAPES.iter().take(3).cycle();
        let matchers: Vec<Matcher> = shapes.zip(0..count).map(|(shape, i)| (shape.matcher)(i)).collect();
        let all: Vec<&Matcher> = matchers.iter().collect();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_batched(|| (), |()| RouteIndex::build(black_box(&all)), BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = routes, domains, build }
criterion_main!(benches);
