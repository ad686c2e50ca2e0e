//! Logs and traces of a process, set up once in `main`.
//!
//! Logs go to standard error. Traces go to an OTLP collector when the standard `OTEL_*` variables name one; without
//! them nothing is recorded and nothing is sent. Spans leave through a bounded queue on a thread of their own: a
//! collector that is slow or down costs spans, never requests.

mod logs;
mod traces;

pub use logs::LogFormat;
pub use traces::TracesError;

use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// Keeps the exporter alive; flushes and stops it when dropped.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up logging and, if the environment asks for it, tracing. Call it once, inside the tokio runtime that lives
    /// as long as the process: the gRPC exporter's connection runs on it.
    ///
    /// # Errors
    /// The environment asks for an exporter that cannot be built (an unknown protocol, a malformed endpoint).
    pub fn init(service: &'static str, format: LogFormat) -> Result<Self, TracesError> {
        let provider = traces::provider(service, |name| std::env::var(name).ok())?;
        logs::init(format, provider.as_ref().map(|provider| traces::tracer(provider, service)));
        Ok(Self { provider })
    }

    /// The tracer for request spans; `None` when nothing is exported, so that the request path can skip all of it.
    #[must_use]
    pub fn tracer(&self, name: &'static str) -> Option<SdkTracer> {
        self.provider.as_ref().map(|provider| traces::tracer(provider, name))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // Bounded: an unreachable collector must not hold up the end of the process.
            if let Err(error) = provider.shutdown_with_timeout(std::time::Duration::from_secs(2)) {
                tracing::debug!(%error, "spans were lost at shutdown");
            }
        }
    }
}
