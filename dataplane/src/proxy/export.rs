//! Spans of a listener that names a collector of its own: sent to it by OTLP over gRPC, many at a time, over the data
//! thread's own connections.
//!
//! Owns the spans that wait, bounded in number. Each batch is sent once: what a collector loses is lost. Must not hold up
//! a request: a span that finds no room is counted and dropped.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use parking_lot::Mutex;
use portcullis_shared::table;

use super::callout::{Caller, GrpcCall};
use super::pool::Pool;
use crate::runtime::Runtime;
use crate::upstream::{Counter, Upstream};

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Spans wait so long for others.
const DELAY: Duration = Duration::from_secs(1);
/// For sending one batch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Spans of one batch.
const BATCH: usize = 512;
/// Bytes of an answer.
const ANSWER_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Exporter {
    /// Makes the spans.
    pub(super) tracer: SdkTracer,
    queue: Arc<Queue>,
    /// Its end would end the tracer.
    _provider: SdkTracerProvider,
}

#[derive(Debug)]
struct Queue {
    config: table::Collector,
    resource: Resource,
    waiting: Mutex<Waiting>,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<SpanData>,
    /// Somebody sends.
    sending: bool,
    /// Where they go, by the newest configuration.
    upstream: Option<Arc<Upstream>>,
}

/// Takes spans that have ended.
#[derive(Debug)]
struct Ended(Arc<Queue>);

impl SpanProcessor for Ended {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let mut waiting = self.0.waiting.lock();
        if waiting.spans.len() < self.0.config.most_spans {
            waiting.spans.push(span);
        } else {
            drop(waiting);
            self.0.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Exporter {
    pub(crate) fn new(config: &table::Collector) -> Self {
        let resource = Resource::builder().with_service_name(config.service_name.to_string()).build();
        let queue = Arc::new(Queue {
            config: config.clone(),
            resource: resource.clone(),
            waiting: Mutex::default(),
            dropped: Counter::default(),
        });
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(Ended(queue.clone()))
            .build();
        Exporter { tracer: provider.tracer("portcullis"), queue, _provider: provider }
    }

    /// Sees to it that somebody sends what waits, now that a request is over.
    pub(super) fn send(&self, runtime: &Runtime, pool: &Arc<Pool>) {
        let upstream = runtime.upstream(&self.queue.config.upstream);
        let mut waiting = self.queue.waiting.lock();
        if waiting.spans.is_empty() {
            return;
        }
        let Some(upstream) = upstream else {
            let lost = std::mem::take(&mut waiting.spans).len();
            drop(waiting);
            return self.queue.dropped.add(u64::try_from(lost).unwrap_or(u64::MAX));
        };
        waiting.upstream = Some(upstream.clone());
        if !std::mem::replace(&mut waiting.sending, true) {
            tokio::spawn(self.queue.clone().run(Caller::new(pool.clone())));
        }
    }
}

impl Queue {
    /// Sends until nothing is left.
    async fn run(self: Arc<Self>, caller: Caller) {
        loop {
            tokio::time::sleep(DELAY).await;
            let (spans, upstream) = {
                let mut waiting = self.waiting.lock();
                let spans = std::mem::take(&mut waiting.spans);
                waiting.sending = !spans.is_empty();
                (spans, waiting.upstream.clone())
            };
            let Some(upstream) = upstream.filter(|_| !spans.is_empty()) else { return };
            let mut spans = spans.into_iter();
            loop {
                let batch: Vec<SpanData> = spans.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                self.export(&caller, &upstream, batch).await;
            }
        }
    }

    async fn export(&self, caller: &Caller, upstream: &Arc<Upstream>, batch: Vec<SpanData>) {
        let count = batch.len();
        let call = GrpcCall {
            method: METHOD,
            authority: self.config.authority.clone(),
            metadata: HeaderMap::new(),
            timeout: TIMEOUT,
            answer_limit: ANSWER_BYTES,
        };
        let resource = ResourceAttributesWithSchema::from(&self.resource);
        let request =
            ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, &resource) };
        let sending = caller.unary::<_, ExportTraceServiceResponse>(upstream.clone(), call, &request);
        if let Err(error) = sending.await {
            self.dropped.add(u64::try_from(count).unwrap_or(u64::MAX));
            let lost = self.dropped.get();
            tracing::debug!(upstream = &*upstream.name, %error, lost, "spans did not reach their collector");
        }
    }
}
