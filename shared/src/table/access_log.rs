//! What is written about each request or connection, and where: formats are parsed, filters are checked.

use std::sync::Arc;

use http::HeaderName;
use portcullis_proto::table::v1 as wire;

use super::field::{each, required, texts};
use crate::Invalid;
use crate::format::Format;
use crate::routing::HeaderMatcher;

/// One log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub sink: LogSink,
    /// What is logged; `None` = everything.
    pub filter: Option<LogFilter>,
}

/// Where a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// To a file, or to the standard output by the name `/dev/stdout`.
    File {
        /// Its path.
        path: Arc<str>,
        /// The form of a line.
        format: LogFormat,
    },
}

/// The form of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// A text with operators.
    Text(Format),
    /// An object with operators in its texts.
    Json(JsonFormat),
}

/// A value of a JSON template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonFormat {
    /// Fields in order of their names.
    Object(Vec<(Box<str>, JsonFormat)>),
    /// Values.
    List(Vec<JsonFormat>),
    /// A text with operators.
    Text(Format),
    /// JSON that is written as it stands.
    Literal(Box<str>),
}

/// Which requests are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFilter {
    /// By status.
    Status(Compare),
    /// By milliseconds from beginning to end.
    Duration(Compare),
    /// Not those that a health check filter answered.
    NotHealthCheck,
    /// Those with a sampled trace.
    Traceable,
    /// A share of all.
    Sample {
        /// Of a million.
        parts_per_million: u32,
        /// By chance instead of by `x-request-id`.
        independent: bool,
    },
    /// All filters let it pass.
    All(Vec<LogFilter>),
    /// One filter lets it pass.
    Any(Vec<LogFilter>),
    /// By a request header.
    Header(HeaderMatcher),
    /// By a request header that is a whole number.
    HeaderRange {
        /// The header.
        name: HeaderName,
        /// Included.
        start: i64,
        /// Not included.
        end: i64,
        /// The other requests.
        invert: bool,
    },
    /// Those with one of these flags; with any if there are none.
    ResponseFlags(Vec<Arc<str>>),
    /// By the status of a gRPC call.
    GrpcStatus {
        /// Codes.
        codes: Vec<u32>,
        /// All but these.
        exclude: bool,
    },
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compare {
    op: Op,
    value: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    AtLeast,
    AtMost,
}

impl Compare {
    /// Whether it holds for `number`.
    #[must_use]
    pub fn holds(self, number: u64) -> bool {
        let value = u64::from(self.value);
        match self.op {
            Op::Equal => number == value,
            Op::AtLeast => number >= value,
            Op::AtMost => number <= value,
        }
    }
}

impl JsonFormat {
    /// Reads a template.
    ///
    /// # Errors
    /// It is not a JSON object, or a text in it does not parse; the path names it.
    pub fn parse(json: &str) -> Result<Self, Invalid> {
        let value: serde_json::Value = serde_json::from_str(json).map_err(|e| Invalid::new("", e))?;
        match value {
            serde_json::Value::Object(_) => Self::of(&value),
            _ => Err(Invalid::new("", "not a JSON object")),
        }
    }

    /// As [`JsonFormat::parse`], for a value that is part of a template.
    ///
    /// # Errors
    /// A text in it does not parse; the path names it.
    pub fn of(value: &serde_json::Value) -> Result<Self, Invalid> {
        use serde_json::Value;
        Ok(match value {
            Value::Object(fields) => {
                let mut list = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    list.push((name.as_str().into(), Self::of(value).map_err(|e| e.under(name))?));
                }
                list.sort_by(|a: &(Box<str>, _), b| a.0.cmp(&b.0));
                Self::Object(list)
            }
            Value::Array(items) => {
                let item = |(i, item)| Self::of(item).map_err(|e: Invalid| e.under(format!("[{i}]")));
                Self::List(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
            }
            Value::String(text) => Self::Text(Format::parse(text).map_err(|e| Invalid::new("", e))?),
            other => Self::Literal(other.to_string().into()),
        })
    }

    /// Whether a text in it fits `test`.
    pub fn any(&self, test: &mut dyn FnMut(&Format) -> bool) -> bool {
        match self {
            Self::Object(fields) => fields.iter().any(|(_, value)| value.any(test)),
            Self::List(items) => items.iter().any(|item| item.any(test)),
            Self::Text(format) => test(format),
            Self::Literal(_) => false,
        }
    }
}

impl TryFrom<wire::AccessLog> for AccessLog {
    type Error = Invalid;

    fn try_from(wire: wire::AccessLog) -> Result<Self, Invalid> {
        let sink = match wire.sink.ok_or_else(|| Invalid::new("sink", "missing"))? {
            wire::access_log::Sink::File(file) => file_sink(file).map_err(|e| e.under("file"))?,
        };
        let filter = wire.filter.map(LogFilter::try_from).transpose().map_err(|e| e.under("filter"))?;
        Ok(Self { sink, filter })
    }
}

fn file_sink(wire: wire::FileSink) -> Result<LogSink, Invalid> {
    let format = match wire.format.ok_or_else(|| Invalid::new("format", "missing"))? {
        wire::file_sink::Format::Text(text) => {
            LogFormat::Text(Format::parse(&text).map_err(|e| Invalid::new("text", e))?)
        }
        wire::file_sink::Format::Json(json) => {
            LogFormat::Json(JsonFormat::parse(&json).map_err(|e| e.under("json"))?)
        }
    };
    Ok(LogSink::File { path: required("path", wire.path)?, format })
}

impl TryFrom<wire::LogFilter> for LogFilter {
    type Error = Invalid;

    fn try_from(wire: wire::LogFilter) -> Result<Self, Invalid> {
        use wire::log_filter::Filter as Wire;
        Ok(match wire.filter.ok_or_else(|| Invalid::new("filter", "missing"))? {
            Wire::Status(it) => Self::Status(compare(it).map_err(|e| e.under("status"))?),
            Wire::DurationMs(it) => Self::Duration(compare(it).map_err(|e| e.under("duration_ms"))?),
            Wire::NotHealthCheck(_) => Self::NotHealthCheck,
            Wire::Traceable(_) => Self::Traceable,
            Wire::Sample(it) => {
                Self::Sample { parts_per_million: it.parts_per_million, independent: it.independent }
            }
            Wire::All(it) => Self::All(each("filters", it.filters).map_err(|e| e.under("all"))?),
            Wire::Any(it) => Self::Any(each("filters", it.filters).map_err(|e| e.under("any"))?),
            Wire::Header(it) => Self::Header(HeaderMatcher::try_from(it).map_err(|e| e.under("header"))?),
            Wire::HeaderRange(it) => Self::HeaderRange {
                name: HeaderName::from_bytes(it.name.as_bytes()).map_err(|_| {
                    Invalid::new("header_range.name", format!("\"{}\" is not a header name", it.name))
                })?,
                start: it.start,
                end: it.end,
                invert: it.invert,
            },
            Wire::ResponseFlags(it) => {
                Self::ResponseFlags(texts("flags", it.flags).map_err(|e| e.under("response_flags"))?)
            }
            Wire::GrpcStatus(it) => Self::GrpcStatus { codes: it.codes, exclude: it.exclude },
        })
    }
}

fn compare(wire: wire::Compare) -> Result<Compare, Invalid> {
    let op = match wire::CompareOp::try_from(wire.op) {
        Ok(wire::CompareOp::Eq) => Op::Equal,
        Ok(wire::CompareOp::Ge) => Op::AtLeast,
        Ok(wire::CompareOp::Le) => Op::AtMost,
        Err(_) => return Err(Invalid::new("op", format!("{} is unknown", wire.op))),
    };
    Ok(Compare { op, value: wire.value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_in_order_and_errors_name_their_place() {
        let parsed = JsonFormat::parse(r#"{"b": 1, "a": {"x": "%PROTOCOL%"}}"#).unwrap();
        let JsonFormat::Object(fields) = parsed else { panic!("{parsed:?}") };
        assert_eq!(fields.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(JsonFormat::parse(r#"{"a": {"x": ["", "%NO%"]}}"#).unwrap_err().path, "a.x[1]");
        assert!(JsonFormat::parse("[]").is_err());
    }
}
