//! The policy chain: what header manipulation adds to a request, by number of fields and kind of value.

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use portcullis_dataplane::policy::{
    Chain, Facts, Filters, Line, PlanBuilder, Progress, RequestCx, ResponseCx, Services, Slots,
};
use portcullis_proto::policy::v1::{HeaderAdd, HeaderLevel, Headers};
use prost::{Message, Name};
use prost_types::Any;

const COUNTS: [usize; 3] = [1, 5, 20];

/// How a value comes about.
const VALUES: [(&str, &str); 2] =
    [("constant", "some-value"), ("computed", "%DOWNSTREAM_REMOTE_ADDRESS% %REQ(user-agent)% %PROTOCOL%")];

/// A chain that sets `count` fields of the request and as many of the response.
fn chain(count: usize, value: &str) -> Chain {
    let level = HeaderLevel {
        remove: vec!["x-secret".into()],
        add: (0..count)
            .map(|i| HeaderAdd { name: format!("x-added-{i}"), value: value.into(), overwrite: i % 2 == 0 })
            .collect(),
    };
    let headers = Headers { request: vec![level.clone()], response: vec![level] };
    let any = Any { type_url: Headers::type_url(), value: headers.encode_to_vec() };
    PlanBuilder::decode(&[any]).unwrap_or_default().plan().policies
}

fn browser_request() -> HeaderMap {
    let fields = [
        ("host", "shop.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("cookie", "session=0123456789abcdef; theme=dark"),
        ("x-secret", "no"),
        ("x-forwarded-proto", "https"),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

fn facts() -> Facts<'static> {
    let address = ([127, 0, 0, 1], 40_000).into();
    Facts {
        client: address,
        direct: address,
        local: address,
        sni: None,
        tls: None,
        protocol: Version::HTTP_11,
        started: UNIX_EPOCH,
        method: "GET",
        scheme: "http",
        authority: "shop.example.com",
        path: "/cart",
        route_name: "cart",
        upstream: None,
        upstream_host: None,
        attempts: 0,
        reason: None,
        flags: "-",
        buffer_limit: 1 << 20,
        metadata: None,
        virtual_cluster: None,
    }
}

fn request(chain: &Chain, headers: &mut HeaderMap, facts: &Facts<'_>, slots: &mut Slots) -> Progress {
    let (mut line, mut filters, mut reroute) = (Line::default(), Filters::default(), false);
    let mut cx = RequestCx {
        headers,
        facts,
        slots,
        line: &mut line,
        has_body: false,
        filters: &mut filters,
        reroute: &mut reroute,
        services: &Services::default(),
    };
    chain.request(0, black_box(&mut cx))
}

fn headers(c: &mut Criterion) {
    let (before, facts) = (browser_request(), facts());
    for (kind, value) in VALUES {
        let mut group = c.benchmark_group(format!("policy/headers/{kind}"));
        for count in COUNTS {
            let chain = chain(count, value);
            assert_eq!(chain.len(), 1);
            group.bench_function(BenchmarkId::new("request", count), |b| {
                b.iter_batched_ref(
                    || (before.clone(), Slots::default()),
                    |(headers, slots)| {
                        assert!(matches!(request(&chain, headers, &facts, slots), Progress::Done));
                    },
                    BatchSize::SmallInput,
                );
            });
            group.bench_function(BenchmarkId::new("response", count), |b| {
                b.iter_batched_ref(
                    || (before.clone(), Slots::default()),
                    |(headers, slots)| {
                        let request_headers = &before;
                        let (mut status, mut filters) = (StatusCode::OK, Filters::default());
                        chain.response(
                            chain.len(),
                            black_box(&mut ResponseCx {
                                status: &mut status,
                                headers,
                                request_headers,
                                facts: &facts,
                                slots,
                                has_body: true,
                                filters: &mut filters,
                                trailers: &mut None,
                                local: false,
                                details: "via_upstream",
                            }),
                        );
                    },
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

fn none(c: &mut Criterion) {
    let (chain, facts) = (Chain::default(), facts());
    let (mut headers, mut slots) = (browser_request(), Slots::default());
    c.bench_function("policy/none", |b| {
        b.iter(|| request(black_box(&chain), &mut headers, &facts, &mut slots));
    });
}

fn short() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = none, headers }
criterion_main!(benches);
