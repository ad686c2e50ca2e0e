//! The span exporter, configured by the environment as the OpenTelemetry specification says.
//!
//! | variable | here |
//! |---|---|
//! | `OTEL_SDK_DISABLED` | `true` switches everything off |
//! | `OTEL_TRACES_EXPORTER` | `otlp`, or `none`; unset: `otlp` if an endpoint is set, else `none` |
//! | `OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT` | where the collector is |
//! | `OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL` | `grpc` or `http/protobuf`; unset: `grpc` for port 4317, else `http/protobuf` |
//! | `OTEL_EXPORTER_OTLP_[TRACES_]HEADERS`, `_TIMEOUT`, `OTEL_BSP_*`, `OTEL_TRACES_SAMPLER[_ARG]`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME` | as specified |

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// The environment asks for something that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// An unknown value of a variable.
    #[error("{variable}={value}: expected {expected}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
    /// The exporter cannot be built from the endpoint and headers.
    #[error("cannot set up the OTLP exporter: {0}")]
    Exporter(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Http,
}

fn wanted(env: &impl Fn(&str) -> Option<String>) -> Result<Option<Protocol>, TracesError> {
    let read = |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    if read("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let endpoint = read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| read("OTEL_EXPORTER_OTLP_ENDPOINT"));
    match read("OTEL_TRACES_EXPORTER").as_deref() {
        Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => {
            return Err(TracesError::Value {
                variable: "OTEL_TRACES_EXPORTER",
                value: other.to_owned(),
                expected: "otlp or none",
            });
        }
        None if endpoint.is_none() => return Ok(None),
        None => {}
    }
    let protocol = read("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| read("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match protocol.as_deref() {
        Some("grpc") => Ok(Some(Protocol::Grpc)),
        Some("http/protobuf") => Ok(Some(Protocol::Http)),
        Some(other) => Err(TracesError::Value {
            variable: "OTEL_EXPORTER_OTLP_PROTOCOL",
            value: other.to_owned(),
            expected: "grpc or http/protobuf",
        }),
        // The registered gRPC port is the commonest thing that people write without the protocol.
        None if endpoint.is_some_and(|url| url.trim_end_matches('/').ends_with(":4317")) => {
            Ok(Some(Protocol::Grpc))
        }
        None => Ok(Some(Protocol::Http)),
    }
}

pub(super) fn provider(
    service: &'static str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<SdkTracerProvider>, TracesError> {
    let Some(protocol) = wanted(&env)? else { return Ok(None) };
    let exporter = match protocol {
        Protocol::Grpc => SpanExporter::builder().with_tonic().build(),
        Protocol::Http => {
            // Its client takes the process's provider of cryptography. An error means that there is one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            SpanExporter::builder()
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .build()
        }
    }
    .map_err(|error| TracesError::Exporter(error.to_string()))?;
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    if env("OTEL_SERVICE_NAME").is_none_or(|name| name.is_empty()) {
        resource = resource.with_service_name(service);
    }
    // The sampler (parent-based, always on unless said otherwise) and the limits come from the environment by default.
    Ok(Some(
        SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build(),
    ))
}

pub(super) fn tracer(provider: &SdkTracerProvider, name: &'static str) -> SdkTracer {
    provider.tracer(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_with(env: &[(&str, &str)]) -> Result<Option<Protocol>, TracesError> {
        wanted(&|name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_exported_unless_asked_for() {
        assert_eq!(wanted_with(&[]).unwrap(), None);
        assert_eq!(wanted_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap(), None);
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(wanted_with(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).unwrap(), None);
        assert_eq!(wanted_with(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap(), None);
        assert_eq!(wanted_with(&[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap(), Some(Protocol::Http));
    }

    #[test]
    fn the_protocol_is_the_one_named_or_the_one_of_the_port() {
        let http = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let grpc = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4317/");
        assert_eq!(wanted_with(&[http]).unwrap(), Some(Protocol::Http));
        assert_eq!(wanted_with(&[grpc]).unwrap(), Some(Protocol::Grpc));
        assert_eq!(
            wanted_with(&[http, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap(),
            Some(Protocol::Grpc)
        );
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        assert_eq!(
            wanted_with(&[grpc, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), traces]).unwrap(),
            Some(Protocol::Http)
        );
    }

    #[test]
    fn an_unknown_value_is_named_with_what_would_be_right() {
        let error = wanted_with(&[("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err().to_string();
        assert_eq!(error, "OTEL_TRACES_EXPORTER=zipkin: expected otlp or none");
    }
}
