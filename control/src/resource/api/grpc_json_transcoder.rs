//! `grpcJsonTranscoder`, of a listener or in an Upstream's `serviceSpec`.

use serde::Deserialize;

use super::scalar::Base64;

/// HTTP requests with JSON become gRPC calls. One of the descriptors is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcJsonTranscoder {
    /// A file with a descriptor set.
    pub proto_descriptor: Option<String>,
    /// A descriptor set.
    pub proto_descriptor_bin: Option<Base64>,
    /// Full names of services in it.
    pub services: Vec<String>,
    /// How JSON is written.
    pub print_options: Option<PrintOptions>,
    /// The route stays that of the HTTP path.
    pub match_incoming_request_route: bool,
    /// Methods without an annotation are POST `/<package>.<service>/<method>`.
    pub auto_mapping: bool,
    /// Query parameters that are no fields.
    pub ignored_query_parameters: Vec<String>,
    /// The same for any.
    pub ignore_unknown_query_parameters: bool,
    /// A failed call has its status as JSON.
    pub convert_grpc_status: bool,
}

/// `printOptions`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrintOptions {
    /// On lines of its own, indented.
    pub add_whitespace: bool,
    /// Empty ones, too.
    pub always_print_primitive_fields: bool,
    /// By their numbers.
    pub always_print_enums_as_ints: bool,
    /// Names as in the proto file.
    pub preserve_proto_field_names: bool,
}

/// `serviceSpec` of an Upstream. At most one is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Requests with JSON are for it, too.
    pub grpc_json_transcoder: Option<GrpcJsonTranscoder>,
}
