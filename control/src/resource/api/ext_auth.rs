//! `extauth`: the user's own auth server (Settings, listeners) and which requests it is asked about (options).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::reference::Ref;
use super::scalar::GoDuration;

/// `extauth` of Settings and of a listener: the server.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthSettings {
    /// Upstream of the server.
    pub extauthz_server_ref: Option<Ref>,
    /// It is asked by plain HTTP. At most one of this and `grpcService` is set; neither = gRPC.
    pub http_service: Option<ExtAuthHttpService>,
    /// It is asked by gRPC.
    pub grpc_service: Option<GrpcService>,
    /// Header by which the server tells upstreams who the user is; empty = `x-user-id`.
    pub user_id_header: String,
    /// Limit of a check; absent = 200 ms.
    pub request_timeout: Option<GoDuration>,
    /// Requests pass when the server does not answer.
    pub failure_mode_allow: bool,
    /// Sends the body to the server.
    pub request_body: Option<BufferSettings>,
    /// The route is chosen again when the server changed the request.
    pub clear_route_cache: bool,
    /// Status when the server does not answer; 0 = 403.
    pub status_on_error: u32,
    /// There is only one.
    pub transport_api_version: ApiVersion,
    /// Names statistics in Envoy.
    pub stat_prefix: String,
}

/// `transportApiVersion`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ApiVersion {
    /// Version 3 of Envoy's API.
    #[default]
    V3,
}

/// `grpcService`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcService {
    /// `:authority`; empty = the name of the upstream.
    pub authority: String,
}

/// `httpService`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthHttpService {
    /// Stands before the request's path.
    pub path_prefix: String,
    /// What the server gets.
    pub request: Option<ExtAuthHttpRequest>,
    /// What of its answer counts.
    pub response: Option<ExtAuthHttpResponse>,
}

/// `httpService.request`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthHttpRequest {
    /// Headers of the request, beside those that are always sent.
    pub allowed_headers: Vec<String>,
    /// Set on the question.
    pub headers_to_add: BTreeMap<String, String>,
    /// As `allowedHeaders`, by expression.
    pub allowed_headers_regex: Vec<String>,
}

/// `httpService.response`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthHttpResponse {
    /// Headers of an allowing answer that replace the request's.
    pub allowed_upstream_headers: Vec<String>,
    /// Headers of a denying answer that the client gets; empty = all.
    pub allowed_client_headers: Vec<String>,
    /// Headers of an allowing answer that are joined to the request's.
    pub allowed_upstream_headers_to_append: Vec<String>,
}

/// `requestBody`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BufferSettings {
    /// Bytes; 0 = 4096.
    pub max_request_bytes: u32,
    /// Of a longer body the beginning is sent, else it is answered 413.
    pub allow_partial_message: bool,
    /// As bytes in place of text.
    pub pack_as_bytes: bool,
}

/// `extauth` of a virtual host, route or weighted destination. One member at most is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthExtension {
    /// Requests pass unasked.
    pub disable: Option<bool>,
    /// The user's own server is asked.
    pub custom_auth: Option<CustomAuth>,
}

/// `customAuth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomAuth {
    /// Goes to the server with every question.
    pub context_extensions: BTreeMap<String, String>,
    /// One of `namedExtauth`; empty = the server of the listener or of Settings.
    pub name: String,
}
