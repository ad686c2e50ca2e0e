//! What is said about a request: log line, metrics, spans.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use portcullis_proto::policy::v1 as policy;

use crate::gateway::{any, retry, to};
use crate::wire::header;
use crate::{Gateway, Peer, Table, Wire};

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl Spans {
    fn tracer(&self) -> (SdkTracerProvider, opentelemetry_sdk::trace::SdkTracer) {
        let provider = SdkTracerProvider::builder().with_simple_exporter(self.clone()).build();
        let tracer = provider.tracer("test");
        (provider, tracer)
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.to_string())
}

#[tokio::test]
async fn a_request_is_a_server_span_with_a_client_span_per_try() {
    let spans = Spans::default();
    let (_provider, tracer) = spans.tracer();
    let peer = Peer::bind().await;
    let mut table = Table::default().upstream("up", &[peer.address], false).route(
        "/shop/",
        to("up"),
        &[retry(&["5xx"], 1, 0)],
    );
    table.tracer = Some(tracer);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    client
        .send(format!(
            "GET /shop/cart?id=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: me\r\n\
             traceparent: 00-{trace}-b7ad6b7169203331-01\r\ntracestate: v=1\r\n\r\n"
        ))
        .await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
    let head = peer.accept().await.serve("ok").await;
    client.answer().await;
    let line = gateway.line().await;
    assert_eq!(line["trace_id"], trace);
    let spans = spans.0.lock().unwrap().clone();
    let [first, second, server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.name.as_ref(), server.span_kind.clone()), ("GET /shop/*", SpanKind::Server));
    assert_eq!(server.span_context.trace_id().to_string(), trace);
    assert_eq!(server.parent_span_id.to_string(), "b7ad6b7169203331");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/shop/*"),
        ("url.path", "/shop/cart"),
        ("url.query", "id=1"),
        ("url.scheme", "http"),
        ("server.address", "a.test"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "me"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(server, key).as_deref(), Some(value), "{key}");
    }
    for (one, code, resend) in [(first, "503", None), (second, "200", Some("1"))] {
        assert_eq!(one.span_kind, SpanKind::Client);
        assert_eq!(one.parent_span_id, server.span_context.span_id());
        assert_eq!(attribute(one, "http.response.status_code").as_deref(), Some(code));
        assert_eq!(attribute(one, "http.request.resend_count").as_deref(), resend);
        assert_eq!(attribute(one, "server.port"), Some(peer.address.port().to_string()));
    }
    let sent = format!("00-{trace}-{}-01", second.span_context.span_id());
    assert_eq!(header(&head, "traceparent"), Some(sent.as_str()));
    assert_eq!(header(&head, "tracestate"), Some("v=1"));
}

#[tokio::test]
async fn an_answer_of_the_gateway_names_its_reason_on_the_span() {
    let spans = Spans::default();
    let (_provider, tracer) = spans.tracer();
    let mut table = Table::to(Peer::nowhere().await);
    table.tracer = Some(tracer);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    gateway.line().await;
    let spans = spans.0.lock().unwrap().clone();
    let [try_, server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(attribute(server, "portcullis.reason").as_deref(), Some("connect_failed"));
    assert_eq!(attribute(server, "error.type").as_deref(), Some("connect_failed"));
    assert_eq!(attribute(try_, "error.type").as_deref(), Some("connect_failed"));
}

#[tokio::test]
async fn without_a_tracer_a_client_s_context_passes_through() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\ntraceparent: {parent}\r\n\r\n")).await;
    assert_eq!(header(&peer.accept().await.serve("ok").await, "traceparent"), Some(parent));
    client.answer().await;
    assert_eq!(gateway.line().await["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn a_line_says_who_what_where_and_how_long() {
    let address = Peer::always("hello").await;
    let gateway = Gateway::start(Table::to(address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.ask("GET /a?b HTTP/1.1\r\nHost: a.test\r\nUser-Agent: me\r\nX-Request-Id: 7\r\n\r\n").await;
    let line = gateway.line().await;
    for (key, value) in [
        ("listener", "test"),
        ("protocol", "HTTP/1.1"),
        ("method", "GET"),
        ("scheme", "http"),
        ("authority", "a.test"),
        ("path", "/a?b"),
        ("flags", "-"),
        ("virtual_host", "host"),
        ("route", "host-route-0"),
        ("upstream", "up"),
        ("endpoint", address.to_string().as_str()),
        ("request_id", "7"),
        ("user_agent", "me"),
        ("client", client.tcp.local_addr().unwrap().to_string().as_str()),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    assert_eq!((line["status"].as_u64(), line["attempts"].as_u64()), (Some(200), Some(1)));
    assert_eq!(line["bytes_sent"], 5);
    assert!(line["duration_ms"].as_f64().unwrap() >= line["upstream_ms"].as_f64().unwrap());
    assert!(line["time"].as_str().unwrap().starts_with("20"));
    assert!(line.get("reason").is_none());
}

#[tokio::test]
async fn metrics_have_the_names_that_canary_controllers_ask_for() {
    let gateway = Gateway::start(Table::to(Peer::always("ok").await)).await;
    let mut client = Wire::connect(gateway.address).await;
    for _ in 0..3 {
        client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    }
    gateway.lines(3).await;
    let metrics = gateway.metrics();
    for line in [
        "envoy_cluster_upstream_rq{envoy_cluster_name=\"up\",envoy_response_code=\"200\"} 3",
        "envoy_cluster_upstream_rq_xx{envoy_cluster_name=\"up\",envoy_response_code_class=\"2\"} 3",
        "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"up\"} 3",
        "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"up\"} 3",
        "envoy_cluster_upstream_rq_time_bucket{le=\"+Inf\",envoy_cluster_name=\"up\"} 3",
        "envoy_cluster_upstream_rq_active{envoy_cluster_name=\"up\"} 0",
        "envoy_cluster_upstream_cx_total{envoy_cluster_name=\"up\"} 1",
        "envoy_cluster_upstream_cx_active{envoy_cluster_name=\"up\"} 1",
        "envoy_cluster_membership_total{envoy_cluster_name=\"up\"} 1",
        "envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix=\"http\"} 3",
        "envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix=\"http\",envoy_response_code_class=\"2\"} 3",
        "envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix=\"http\"} 0",
        "portcullis_access_log_dropped_total 0",
    ] {
        assert!(metrics.lines().any(|got| got == line), "no {line} in\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_transformation_may_name_the_span() {
    let spans = Spans::default();
    let (_provider, tracer) = spans.tracer();
    let template = policy::TemplateTransform {
        span_name: "shop {{ header(\":method\") }}".into(),
        ..Default::default()
    };
    let kind = Some(policy::transform::Kind::Template(template));
    let rule = policy::RequestTransform {
        request: Some(policy::Transform { kind, log: false }),
        ..Default::default()
    };
    let stage = policy::TransformationStage { requests: vec![rule], ..Default::default() };
    let policies = [any(&policy::Transformation { stage: Some(stage) })];
    let mut table = Table::to(Peer::always("ok").await).with(&policies);
    table.tracer = Some(tracer);
    let gateway = Gateway::start(table).await;
    Wire::connect(gateway.address).await.ask("GET /shop HTTP/1.1\r\nHost: h\r\n\r\n").await;
    gateway.line().await;
    let names: Vec<_> = spans.0.lock().unwrap().iter().map(|span| span.name.to_string()).collect();
    assert!(names.contains(&"shop GET".to_owned()), "{names:?}");
}
