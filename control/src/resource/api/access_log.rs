//! `accessLoggingService` and `listenerAccessLoggingService` of a Gateway.

use serde::Deserialize;

/// The logs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLoggingService {
    /// Each is written by itself.
    pub access_log: Vec<AccessLog>,
}

/// One log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLog {
    /// To a file. One sink is set.
    pub file_sink: Option<FileSink>,
    /// What is logged; absent = everything.
    pub filter: Option<AccessLogFilter>,
}

/// `fileSink`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileSink {
    /// Its path.
    pub path: String,
    /// A text with operators; empty or absent = Envoy's default. At most one of two formats is set.
    pub string_format: Option<String>,
    /// An object with operators in its texts.
    pub json_format: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `filter`: one member is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogFilter {
    /// By status.
    pub status_code_filter: Option<ComparedFilter>,
    /// By milliseconds.
    pub duration_filter: Option<ComparedFilter>,
    /// Without health checks.
    pub not_health_check_filter: Option<NoFields>,
    /// With a sampled trace.
    pub traceable_filter: Option<NoFields>,
    /// A share.
    pub runtime_filter: Option<RuntimeFilter>,
    /// All of several.
    pub and_filter: Option<FilterList>,
    /// Any of several.
    pub or_filter: Option<FilterList>,
    /// By a request header.
    pub header_filter: Option<HeaderFilter>,
    /// By response flags.
    pub response_flag_filter: Option<ResponseFlagFilter>,
    /// By the status of a gRPC call.
    pub grpc_status_filter: Option<GrpcStatusFilter>,
}

/// A message without fields.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NoFields {}

/// `statusCodeFilter` and `durationFilter`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComparedFilter {
    /// What must hold.
    pub comparison: Option<ComparisonFilter>,
}

/// `comparison`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComparisonFilter {
    /// How.
    pub op: ComparisonOp,
    /// With what.
    pub value: Option<RuntimeUint32>,
}

/// `op`, in the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ComparisonOp {
    #[default]
    Eq,
    Ge,
    Le,
}

/// A number that Envoy's runtime may override.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeUint32 {
    /// The number.
    pub default_value: u32,
    /// Its name there; must be given.
    pub runtime_key: String,
}

/// `runtimeFilter`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeFilter {
    /// Its name in Envoy's runtime; must be given.
    pub runtime_key: String,
    /// The share; absent = 0.
    pub percent_sampled: Option<FractionalPercent>,
    /// By chance instead of by `x-request-id`.
    pub use_independent_randomness: bool,
}

/// A share.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FractionalPercent {
    /// So many.
    pub numerator: u32,
    /// Of so many.
    pub denominator: Denominator,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum Denominator {
    #[default]
    Hundred,
    TenThousand,
    Million,
}

/// `andFilter` and `orFilter`: two filters or more.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterList {
    /// The list.
    pub filters: Vec<AccessLogFilter>,
}

/// `headerFilter`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderFilter {
    /// Envoy's header matcher.
    pub header: Option<EnvoyHeaderMatcher>,
}

/// Envoy's header matcher: one kind of match at most is set, none = the header is present.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvoyHeaderMatcher {
    /// The header.
    pub name: String,
    /// Equal to.
    pub exact_match: Option<String>,
    /// RE2, the whole value.
    pub safe_regex_match: Option<SafeRegex>,
    /// A whole number within a range.
    pub range_match: Option<RangeMatch>,
    /// There or not.
    pub present_match: Option<bool>,
    /// Begins with.
    pub prefix_match: Option<String>,
    /// Ends with.
    pub suffix_match: Option<String>,
    /// The opposite.
    pub invert_match: bool,
}

/// `safeRegexMatch`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SafeRegex {
    /// The pattern.
    pub regex: String,
    /// Which engine; there is one.
    pub google_re2: Option<GoogleRe2>,
}

/// `googleRe2`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GoogleRe2 {
    /// Deprecated; every pattern is bounded here.
    pub max_program_size: Option<u32>,
}

/// `rangeMatch`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RangeMatch {
    /// Included.
    pub start: i64,
    /// Not included.
    pub end: i64,
}

/// `responseFlagFilter`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseFlagFilter {
    /// Envoy's words; empty = any flag.
    pub flags: Vec<String>,
}

/// `grpcStatusFilter`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcStatusFilter {
    /// The statuses.
    pub statuses: Vec<GrpcStatus>,
    /// All but these.
    pub exclude: bool,
}

/// A status of gRPC; its position is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum GrpcStatus {
    Ok,
    Canceled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}
