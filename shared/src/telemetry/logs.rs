//! The log subscriber.

use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For a person at a terminal.
    Text,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(format!("unknown log format {other:?}: expected json or text")),
        }
    }
}

/// `PORTCULLIS_LOG`, else `RUST_LOG`, else `info`, in the syntax of `tracing_subscriber::EnvFilter`.
fn filter() -> EnvFilter {
    ["PORTCULLIS_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .and_then(|directives| EnvFilter::try_new(directives).ok())
        .unwrap_or_else(|| EnvFilter::new("info"))
}

pub(super) fn init(format: LogFormat, tracer: Option<SdkTracer>) {
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A closed stderr (the parent that read it is gone) must not become a panic: the layer would print its own error there.
    let lines = match format {
        LogFormat::Json => fmt::layer()
            .log_internal_errors(false)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(std::io::stderr)
            .boxed(),
        LogFormat::Text => {
            fmt::layer().log_internal_errors(false).with_ansi(colour).with_writer(std::io::stderr).boxed()
        }
    };
    // Our own spans only: those of the HTTP/2 library that carries the export would trace the tracing.
    let own = Targets::new().with_target("portcullis", tracing::Level::INFO);
    let traces = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(own)
    });
    // A second call (tests in one process) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter())).with(traces).try_init();
}
