//! `extauth` of Settings and listeners: an auth server.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use portcullis_proto::policy::v1 as wire;
use portcullis_shared::routing::pattern;
use wire::ext_auth::Service;

use super::{Place, Said, table_name};
use crate::resource::{ExtAuthHttpService, ExtAuthSettings, ObjectRef};

const DEFAULT_TIMEOUT_MS: u64 = 200;
const DEFAULT_BODY_BYTES: u32 = 4096;
const DEFAULT_USER_ID_HEADER: &str = "x-user-id";

/// A server and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthServer {
    /// Its Upstream.
    pub reference: ObjectRef,
    /// Where it is said.
    pub said: Said,
    /// Limit of a check.
    pub timeout_ms: u64,
    /// Requests pass when it does not answer.
    pub failure_mode_allow: bool,
    /// Else this status; 0 = 403.
    pub status_on_error: u32,
    /// Lower case.
    pub user_id_header: String,
    /// Bytes, whether the beginning is enough, whether as bytes.
    pub body: Option<(u32, bool, bool)>,
    /// The route is chosen again after changes.
    pub clear_route_cache: bool,
    /// How it is spoken to.
    pub service: AuthService,
}

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthService {
    /// By gRPC.
    Grpc {
        /// Empty = the upstream's name.
        authority: String,
    },
    /// By plain HTTP.
    Http(HttpAuth),
}

/// What of headers goes there and comes back. Names are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpAuth {
    path_prefix: String,
    allowed: Vec<String>,
    allowed_patterns: Vec<String>,
    add: Vec<(String, String)>,
    upstream: Vec<String>,
    upstream_append: Vec<String>,
    client: Vec<String>,
}

impl AuthServer {
    /// It is asked by gRPC.
    pub fn is_grpc(&self) -> bool {
        matches!(self.service, AuthService::Grpc { .. })
    }

    /// The message of a level that has it asked.
    pub fn message(&self, context_extensions: Vec<wire::ContextExtension>) -> wire::ExtAuth {
        wire::ExtAuth {
            disabled: false,
            upstream: table_name(&self.reference),
            timeout_ms: self.timeout_ms,
            failure_mode_allow: self.failure_mode_allow,
            status_on_error: self.status_on_error,
            context_extensions,
            user_id_header: self.user_id_header.clone(),
            body: self.body.map(|(max_bytes, allow_partial, as_bytes)| wire::ExtAuthBody {
                max_bytes,
                allow_partial,
                as_bytes,
            }),
            clear_route_cache: self.clear_route_cache,
            service: Some(match &self.service {
                AuthService::Grpc { authority } => {
                    Service::Grpc(wire::ExtAuthGrpc { authority: authority.clone() })
                }
                AuthService::Http(http) => Service::Http(http.message()),
            }),
        }
    }

    /// The message of a level that lets requests pass unasked.
    pub fn disabled(server: Option<&Self>) -> wire::ExtAuth {
        wire::ExtAuth {
            disabled: true,
            user_id_header: server.map(|server| server.user_id_header.clone()).unwrap_or_default(),
            ..wire::ExtAuth::default()
        }
    }
}

impl HttpAuth {
    fn message(&self) -> wire::ExtAuthHttp {
        let add = self
            .add
            .iter()
            .map(|(name, value)| wire::ExtAuthHeader { name: name.clone(), value: value.clone() });
        wire::ExtAuthHttp {
            path_prefix: self.path_prefix.clone(),
            allowed_headers: self.allowed.clone(),
            allowed_header_regexes: self.allowed_patterns.clone(),
            headers_to_add: add.collect(),
            upstream_headers: self.upstream.clone(),
            upstream_headers_to_append: self.upstream_append.clone(),
            client_headers: self.client.clone(),
        }
    }
}

/// The server, unless something about it is wrong.
pub(super) fn lower(settings: &ExtAuthSettings, place: &mut Place<'_>) -> Option<Arc<AuthServer>> {
    let reference = place.upstream(".extauthzServerRef", settings.extauthz_server_ref.as_ref());
    let timeout = place.timeout(".requestTimeout", settings.request_timeout, DEFAULT_TIMEOUT_MS);
    let status = settings.status_on_error;
    let status = (status == 0 || (200..600).contains(&status)).then_some(status);
    if status.is_none() {
        let text = format!("{} is not a status from 200 to 599", settings.status_on_error);
        place.error(".statusOnError", text);
    }
    let user_id_header = match settings.user_id_header.as_str() {
        "" => Some(DEFAULT_USER_ID_HEADER.to_owned()),
        name => header(name, ".userIdHeader", place),
    };
    let service = match (&settings.grpc_service, &settings.http_service) {
        (None, Some(http)) => self::http(http, place).map(AuthService::Http),
        (grpc, _) => Some(AuthService::Grpc {
            authority: grpc.as_ref().map_or(String::new(), |it| it.authority.clone()),
        }),
    };
    let body = settings.request_body.as_ref().map(|body| {
        let most = if body.max_request_bytes == 0 { DEFAULT_BODY_BYTES } else { body.max_request_bytes };
        (most, body.allow_partial_message, body.pack_as_bytes)
    });
    Some(Arc::new(AuthServer {
        said: place.said(".extauthzServerRef"),
        reference: reference?,
        timeout_ms: timeout?,
        failure_mode_allow: settings.failure_mode_allow,
        status_on_error: status?,
        user_id_header: user_id_header?,
        body,
        clear_route_cache: settings.clear_route_cache,
        service: service?,
    }))
}

fn http(service: &ExtAuthHttpService, place: &mut Place<'_>) -> Option<HttpAuth> {
    let mut made = HttpAuth { path_prefix: service.path_prefix.clone(), ..HttpAuth::default() };
    let mut fine = made.path_prefix.is_empty() || made.path_prefix.starts_with('/');
    if !fine {
        place.error(".httpService.pathPrefix", "the path prefix must begin with a slash");
    }
    let request = service.request.clone().unwrap_or_default();
    let response = service.response.clone().unwrap_or_default();
    for (list, field, into) in [
        (&request.allowed_headers, "request.allowedHeaders", &mut made.allowed),
        (&response.allowed_upstream_headers, "response.allowedUpstreamHeaders", &mut made.upstream),
        (
            &response.allowed_upstream_headers_to_append,
            "response.allowedUpstreamHeadersToAppend",
            &mut made.upstream_append,
        ),
        (&response.allowed_client_headers, "response.allowedClientHeaders", &mut made.client),
    ] {
        for (at, name) in list.iter().enumerate() {
            let name = header(name, &format!(".httpService.{field}[{at}]"), place);
            fine &= name.is_some();
            into.extend(name);
        }
    }
    for (at, text) in request.allowed_headers_regex.iter().enumerate() {
        if let Err(problem) = pattern::full(text) {
            place.error(&format!(".httpService.request.allowedHeadersRegex[{at}]"), problem);
            fine = false;
        }
    }
    made.allowed_patterns = request.allowed_headers_regex;
    for (name, value) in request.headers_to_add {
        let field = format!(".httpService.request.headersToAdd.{name}");
        if HeaderValue::from_str(&value).is_err() {
            place.error(&field, "the value has characters that a header cannot have");
            fine = false;
        }
        match header(&name, &field, place) {
            Some(name) => made.add.push((name, value)),
            None => fine = false,
        }
    }
    fine.then_some(made)
}

/// Lower case.
fn header(name: &str, field: &str, place: &mut Place<'_>) -> Option<String> {
    let lower = HeaderName::from_bytes(name.as_bytes()).ok().map(|name| name.to_string());
    if lower.is_none() {
        place.error(field, format!("[{name}] is not a header name"));
    }
    lower
}
