//! `httpGateway.options.httpConnectionManagerSettings`.

use serde::Deserialize;

use super::headers::HeaderValueOption;
use super::scalar::GoDuration;
use super::upgrades::ProtocolUpgradeConfig;

/// How HTTP is spoken with clients. Absent fields are Envoy's defaults.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpConnectionManagerSettings {
    /// The connection says who the client is, and clients are not trusted.
    pub use_remote_address: Option<bool>,
    /// Proxies in front whose `x-forwarded-for` is believed.
    pub xff_num_trusted_hops: Option<u32>,
    /// The client is not added to `x-forwarded-for`.
    pub skip_xff_append: Option<bool>,
    /// `x-forwarded-port` is set.
    pub append_x_forwarded_port: Option<bool>,
    /// Who counts as internal.
    pub internal_address_config: Option<InternalAddressConfig>,
    /// Added to `via`, both ways.
    pub via: Option<String>,
    /// `x-request-id` is made; absent = true.
    pub generate_request_id: Option<bool>,
    /// An outer client's `x-request-id` is kept at the edge.
    pub preserve_external_request_id: Option<bool>,
    /// What the request id has to do with traces.
    pub uuid_request_id_config: Option<UuidRequestIdConfig>,
    /// Silence that ends a request; absent = 5 min.
    pub stream_idle_timeout: Option<GoDuration>,
    /// A connection without requests; absent = 1 h.
    pub idle_timeout: Option<GoDuration>,
    /// Until the whole request is here.
    pub request_timeout: Option<GoDuration>,
    /// Until its header is.
    pub request_headers_timeout: Option<GoDuration>,
    /// From saying that a connection ends to ending it; absent = 5 s.
    pub drain_timeout: Option<GoDuration>,
    /// From closing one side of a connection to closing it; absent = 1 s.
    pub delayed_close_timeout: Option<GoDuration>,
    /// Of a connection.
    pub max_connection_duration: Option<GoDuration>,
    /// Of a request and its answer.
    pub max_stream_duration: Option<GoDuration>,
    /// Absent = 60.
    pub max_request_headers_kb: Option<u32>,
    /// Absent = 100.
    pub max_headers_count: Option<u32>,
    /// Of one connection.
    pub max_requests_per_connection: Option<u32>,
    /// What becomes of header names with underscores.
    pub headers_with_underscores_action: HeadersWithUnderscoresAction,
    /// The value of `server`.
    pub server_name: Option<String>,
    /// When it is set.
    pub server_header_transformation: ServerHeaderTransformation,
    /// HTTP/1.0 is served.
    pub accept_http_10: Option<bool>,
    /// The host of HTTP/1.0 requests that name none.
    pub default_host_for_http_10: Option<String>,
    /// `expect: 100-continue` goes to the upstream.
    pub proxy_100_continue: Option<bool>,
    /// `content-length` beside `transfer-encoding` is dropped instead of refused.
    pub allow_chunked_length: Option<bool>,
    /// HTTP/1 trailers pass.
    pub enable_trailers: Option<bool>,
    /// Header names as in `Content-Type`. At most one of two is set.
    pub proper_case_header_key_format: Option<bool>,
    /// Header names as they came.
    pub preserve_case_header_key_format: Option<bool>,
    /// The port of a host counts for nothing.
    pub strip_any_host_port: Option<bool>,
    /// Paths are normalised; absent = true.
    pub normalize_path: Option<bool>,
    /// Slashes that follow one another are one.
    pub merge_slashes: Option<bool>,
    /// What becomes of `%2f` and `%5c` in paths.
    pub path_with_escaped_slashes_action: PathWithEscapedSlashesAction,
    /// Versions of HTTP.
    pub codec_type: CodecType,
    /// Settings of HTTP/2.
    pub http2_protocol_options: Option<Http2ProtocolOptions>,
    /// What becomes of `x-forwarded-client-cert`.
    pub forward_client_cert_details: ForwardClientCertDetails,
    /// What it says about the client.
    pub set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
    /// Protocols that a connection may change to.
    pub upgrades: Vec<ProtocolUpgradeConfig>,
    /// On every request before anything else looks at it.
    pub early_header_manipulation: Option<EarlyHeaderManipulation>,
    /// Traces.
    pub tracing: Option<ListenerTracing>,
}

/// `internalAddressConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InternalAddressConfig {
    /// Whether unix sockets are; no client comes over one.
    pub unix_sockets: Option<bool>,
    /// Networks.
    pub cidr_ranges: Vec<CidrRange>,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CidrRange {
    /// An address.
    pub address_prefix: String,
    /// Bits of it that count; absent = 0.
    pub prefix_len: Option<u32>,
}

/// `uuidRequestIdConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UuidRequestIdConfig {
    /// The id says whether there is a trace; absent = true.
    pub pack_trace_reason: Option<bool>,
    /// Whether there is a trace is decided by the id; absent = true.
    pub use_request_id_for_trace_sampling: Option<bool>,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum HeadersWithUnderscoresAction {
    #[default]
    Allow,
    RejectClientRequest,
    DropHeader,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ServerHeaderTransformation {
    #[default]
    Overwrite,
    AppendIfAbsent,
    PassThrough,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum PathWithEscapedSlashesAction {
    #[default]
    ImplementationSpecificDefault,
    KeepUnchanged,
    RejectRequest,
    UnescapeAndRedirect,
    UnescapeAndForward,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "named as in the API")]
pub enum CodecType {
    #[default]
    #[serde(rename = "AUTO")]
    Auto,
    #[serde(rename = "HTTP1")]
    Http1,
    #[serde(rename = "HTTP2")]
    Http2,
}

/// `http2ProtocolOptions` of a listener.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http2ProtocolOptions {
    /// At one time on one connection.
    pub max_concurrent_streams: Option<u32>,
    /// Bytes.
    pub initial_stream_window_size: Option<u32>,
    /// Bytes.
    pub initial_connection_window_size: Option<u32>,
    /// An invalid request ends its stream instead of the connection.
    pub override_stream_error_on_invalid_http_message: Option<bool>,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum ForwardClientCertDetails {
    #[default]
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}

/// `setCurrentClientCertDetails`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetCurrentClientCertDetails {
    /// The subject.
    pub subject: Option<bool>,
    /// The certificate.
    pub cert: bool,
    /// The chain.
    pub chain: bool,
    /// DNS names.
    pub dns: bool,
    /// The URI name.
    pub uri: bool,
}

/// `earlyHeaderManipulation`: additions come before removals.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EarlyHeaderManipulation {
    /// Added.
    pub headers_to_add: Vec<HeaderValueOption>,
    /// Removed.
    pub headers_to_remove: Vec<String>,
}

/// `tracing` of a listener.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTracing {
    /// Headers that become tags of their names.
    pub request_headers_for_tags: Vec<String>,
    /// Variables of the worker that become tags.
    pub environment_variables_for_tags: Vec<EnvironmentTag>,
    /// Texts that become tags.
    pub literals_for_tags: Vec<LiteralTag>,
    /// How many requests are traced.
    pub trace_percentages: Option<TracePercentages>,
    /// More is noted.
    pub verbose: bool,
    /// Tries have spans of their own, always.
    pub spawn_upstream_span: bool,
}

/// `environmentVariablesForTags`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvironmentTag {
    /// Name of the tag.
    pub tag: String,
    /// Name of the variable.
    pub name: String,
    /// Value where there is no such variable.
    pub default_value: String,
}

/// `literalsForTags`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LiteralTag {
    /// Name of the tag.
    pub tag: String,
    /// Its value.
    pub value: String,
}

/// `tracePercentages`: absent = 100.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TracePercentages {
    /// Of the requests that force a trace.
    pub client_sample_percentage: Option<f32>,
    /// Of all others.
    pub random_sample_percentage: Option<f32>,
    /// Cap.
    pub overall_sample_percentage: Option<f32>,
}
