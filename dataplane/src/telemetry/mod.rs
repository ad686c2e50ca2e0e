//! Metrics of the worker process and the start of tracing.
