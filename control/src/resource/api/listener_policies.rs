//! Options of HTTP listeners that act on every request: buffer, gzip, health check, gRPC-web.

use serde::Deserialize;

/// `buffer` of a listener, and in `bufferPerRoute`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Buffer {
    /// Longest request.
    pub max_request_bytes: Option<u32>,
}

/// `bufferPerRoute`. One of the two is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BufferPerRoute {
    /// Requests go on as they come.
    pub disabled: Option<bool>,
    /// In the place of the listener's.
    pub buffer: Option<Buffer>,
}

/// `gzip`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gzip {
    /// Memory of the compressor in Envoy, 1 to 9; checked and without effect.
    pub memory_level: Option<u32>,
    /// Shorter answers stay as they are; absent = 30.
    pub content_length: Option<u32>,
    /// How much work is done.
    pub compression_level: CompressionLevel,
    /// How Envoy's compressor looks for repetitions; without effect.
    pub compression_strategy: CompressionStrategy,
    /// What is compressed; empty = the usual texts.
    pub content_type: Vec<String>,
    /// Answers with an etag stay as they are.
    pub disable_on_etag_header: bool,
    /// The upstream does not learn what the client takes.
    pub remove_accept_encoding_header: bool,
    /// How far back repetitions are looked for, 9 to 15; absent = 12.
    pub window_bits: Option<u32>,
}

/// How much work compression does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum CompressionLevel {
    #[default]
    Default,
    Best,
    Speed,
}

/// How repetitions are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum CompressionStrategy {
    #[default]
    Default,
    Filtered,
    Huffman,
    Rle,
}

/// `healthCheck`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerHealthCheck {
    /// The path that the gateway answers on.
    pub path: String,
}

/// `grpcWeb`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcWeb {
    /// gRPC-web is passed on as it comes.
    pub disable: bool,
}
