//! Spans reach a collector; a dead collector costs no request anything.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::wait::until;
use tonic::{Request, Response, Status};

use crate::{forward, two_versions, virtual_service};

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans =
            request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|a| a.key == key)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    })
}

#[tokio::test]
async fn server_and_client_spans_carry_the_route_and_the_callers_trace() {
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let routes = forward("/shop", "v1") + &forward("/dead", "dead");
    gateway.write("vs.yaml", &virtual_service("traced", "['t.test']", &routes));
    gateway.write(
        "dead.yaml",
        &portcullis_tests::backend::upstream("dead", std::net::SocketAddr::from((gateway.ip, 1)), ""),
    );
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind((gateway.ip, 4317)).await.unwrap();
    let serving = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    tokio::spawn(serving);
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}:4317", gateway.ip)),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
    ];
    gateway.start_again(&env).await;

    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace_id}-b7ad6b7169203331-01");
    let answer =
        client::request(gateway.http(), "GET", "t.test", "/shop/cart?x=1", &[("traceparent", &parent)], "")
            .await
            .unwrap();
    let forwarded = answer.json()["headers"]["traceparent"].as_str().unwrap().to_owned();
    assert!(forwarded.contains(trace_id) && forwarded != parent, "{forwarded}");
    assert_eq!(gateway.get("t.test", "/dead").await.status, 503);

    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let find = |kind: i32, path: &str| {
        let path = path.to_owned();
        let collector = collector.clone();
        async move {
            let spans = collector.0.lock().unwrap();
            spans
                .iter()
                .find(|s| {
                    s.kind == kind
                        && s.attributes.iter().any(|a| a.key == "url.path" || a.key == "url.full")
                        && format!("{:?}", s.attributes).contains(&path)
                })
                .cloned()
        }
    };
    let (server, client_kind) = (2, 3);
    let span = until("the server span", || find(server, "/shop/cart")).await;
    assert_eq!(span.name, "GET /shop*");
    assert_eq!(hex(&span.trace_id), trace_id);
    assert_eq!(hex(&span.parent_span_id), "b7ad6b7169203331");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/shop*"),
        ("http.response.status_code", "200"),
        ("url.path", "/shop/cart"),
        ("url.query", "x=1"),
        ("url.scheme", "http"),
        ("server.address", "t.test"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key} of {span:?}");
    }
    let try_span = until("the client span", || find(client_kind, "/shop/cart")).await;
    assert_eq!(try_span.parent_span_id, span.span_id);
    assert!(forwarded.contains(&hex(&try_span.span_id)), "the upstream is told the try's span");

    let failed = until("the failed server span", || find(server, "/dead")).await;
    assert!(format!("{:?}", failed.attributes).contains("connect_failed"), "{failed:?}");
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_slows_no_request() {
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("vs.yaml", &virtual_service("traced", "['t.test']", &forward("/", "v1")));
    // Accepts connections and never answers: worse than one that refuses.
    let hung = tokio::net::TcpListener::bind((gateway.ip, 4317)).await.unwrap();
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}:4317", gateway.ip)),
        ("OTEL_BSP_SCHEDULE_DELAY", "10".to_owned()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16".to_owned()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8".to_owned()),
    ];
    gateway.start_again(&env).await;
    let start = Instant::now();
    for _ in 0..200 {
        assert_eq!(gateway.get("t.test", "/").await.status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(gateway.stop("TERM").await, Some(0));
    drop(hung);
}

#[tokio::test]
async fn a_listener_sends_spans_to_its_own_collector_and_a_route_says_how_many() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let routes = "    - matchers: [{prefix: /never}]
      options: {tracing: {tracePercentages: {randomSamplePercentage: 0}}}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    - matchers: [{prefix: /named}]
      options:
        tracing: {routeDescriptor: shopping}
        stagedTransformations:
          regular:
            requestTransforms:
            - requestTransformation:
                transformationTemplate:
                  passthrough: {}
                  dynamicMetadataValues: [{metadataNamespace: ns, key: user, value: {text: '{\"id\": \"ann\"}'}, jsonToProto: true}]
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
";
    gateway.write("vs.yaml", &virtual_service("traced", "['t.test']", routes));
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    tokio::spawn(serving);
    gateway.write(
        "collector.yaml",
        &portcullis_tests::backend::upstream("collector", address, "  useHttp2: true\n"),
    );
    let tracing = "  httpGateway:
    options:
      httpConnectionManagerSettings:
        tracing:
          verbose: true
          spawnUpstreamSpan: true
          tracePercentages: {randomSamplePercentage: 0}
          openTelemetryConfig: {collectorUpstreamRef: {name: collector, namespace: gloo-system}, serviceName: edge}
          metadataForTags:
          - {tag: user, value: {namespace: ns, key: user.id, nestedFieldDelimiter: .}}
          - {tag: plan, value: {namespace: ns, key: plan}, defaultValue: free}
          - {tag: none, value: {namespace: ns, key: plan}}
";
    gateway.write("gateways.yaml", &gateway.listeners().replacen("  httpGateway: {}\n", tracing, 1));
    let gateway = gateway.start().await;
    for path in ["/never", "/none", "/named/1"] {
        gateway.get("t.test", path).await;
    }
    let spans = until("the spans of the named route", async || {
        let spans = collector.0.lock().unwrap().clone();
        (spans.len() >= 2).then_some(spans)
    })
    .await;
    let server = spans.iter().find(|span| span.name == "shopping").unwrap();
    assert_eq!(attribute(server, "user").as_deref(), Some("ann"));
    assert_eq!(attribute(server, "plan").as_deref(), Some("free"));
    assert_eq!(attribute(server, "none"), None);
    let events: Vec<&str> = server.events.iter().map(|event| event.name.as_str()).collect();
    assert!(events.contains(&"first_upstream_rx_byte_received"), "{events:?}");
    assert!(spans.iter().all(|span| span.trace_id == server.trace_id), "{spans:?}");
}
