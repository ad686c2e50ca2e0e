//! The question and the answer as plain HTTP: the request without its body goes to the server, and 200 lets it pass.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING,
    WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use portcullis_proto::policy::v1 as proto;
use portcullis_shared::invalid::Invalid;
use portcullis_shared::routing::pattern;
use regex::Regex;

use super::change::{Change, Changes, Field, How, response_name};
use super::grpc::PARTIAL_BODY;
use super::{ANSWER_BYTES, Decision, Denial, Sent, name};
use crate::policy::RequestCx;
use crate::proxy::callout::{Call, CallError, Called};

/// Names that the server wants out of the request, in its answer.
const HEADERS_TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// See the module.
#[derive(Debug)]
pub(super) struct HttpService {
    path_prefix: String,
    allowed: Vec<HeaderName>,
    allowed_patterns: Vec<Regex>,
    add: Vec<(HeaderName, HeaderValue)>,
    upstream: Vec<HeaderName>,
    upstream_append: Vec<HeaderName>,
    /// Empty = all.
    client: Vec<HeaderName>,
}

impl HttpService {
    pub(super) fn new(wire: proto::ExtAuthHttp) -> Result<Self, Invalid> {
        let patterns = wire.allowed_header_regexes.iter().enumerate().map(|(i, text)| {
            pattern::full(text).map_err(|e| Invalid::new(format!("allowed_header_regexes[{i}]"), e))
        });
        let add = wire.headers_to_add.iter().enumerate().map(|(i, header)| {
            let field = format!("headers_to_add[{i}]");
            let value = HeaderValue::from_str(&header.value)
                .map_err(|_| Invalid::new(format!("{field}.value"), "is no header value"))?;
            Ok((name(&header.name, &field)?, value))
        });
        Ok(HttpService {
            allowed_patterns: patterns.collect::<Result<_, _>>()?,
            add: add.collect::<Result<_, Invalid>>()?,
            allowed: names(&wire.allowed_headers, "allowed_headers")?,
            upstream: names(&wire.upstream_headers, "upstream_headers")?,
            upstream_append: names(&wire.upstream_headers_to_append, "upstream_headers_to_append")?,
            client: names(&wire.client_headers, "client_headers")?,
            path_prefix: wire.path_prefix,
        })
    }

    pub(super) fn call(
        &self,
        cx: &RequestCx<'_>,
        body: Option<Sent>,
        timeout: Duration,
    ) -> Result<Call, Box<str>> {
        let target = format!("{}{}", self.path_prefix, cx.path());
        let mut headers = HeaderMap::new();
        for (name, value) in cx.headers.map() {
            if self.passes(name) {
                headers.append(name, value.clone());
            }
        }
        for (name, value) in &self.add {
            headers.insert(name, value.clone());
        }
        let mut sent = Bytes::new();
        if let Some(body) = body {
            let partial = HeaderValue::from_static(if body.partial { "true" } else { "false" });
            headers.insert(HeaderName::from_static(PARTIAL_BODY), partial);
            sent = body.bytes;
        } else if ![Method::GET, Method::HEAD].iter().any(|method| method == cx.method()) {
            // It says that none comes, whatever the request's own method promises.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Call {
            method: Method::from_bytes(cx.method().as_bytes()).map_err(|_| "the method")?,
            target: PathAndQuery::try_from(target).map_err(|_| "the path with its prefix is malformed")?,
            authority: Some(cx.authority().into()),
            headers,
            body: sent,
            timeout,
            answer_limit: ANSWER_BYTES,
            discard: false,
        })
    }

    fn passes(&self, name: &HeaderName) -> bool {
        // The engine frames; host goes as the authority.
        ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
            && (*name == AUTHORIZATION
                || self.allowed.contains(name)
                || self.allowed_patterns.iter().any(|pattern| pattern.is_match(name.as_str())))
    }

    /// What an answer means.
    pub(super) fn decision(&self, answer: Result<Called, CallError>) -> Decision {
        match answer {
            Err(error) => Decision::Failed(error.to_string().into()),
            Ok(answer) if answer.status.is_server_error() => {
                Decision::Failed(format!("the auth server answered {}", answer.status).into())
            }
            Ok(answer) if answer.status == StatusCode::OK => {
                Decision::Allow(Box::new(self.changes(&answer.headers)))
            }
            Ok(answer) => Decision::Deny(self.denial(answer)),
        }
    }

    fn changes(&self, answer: &HeaderMap) -> Changes {
        let mut changes = Changes::default();
        for (list, how) in [(&self.upstream, How::Set), (&self.upstream_append, How::Join)] {
            for name in list {
                let field = Field::new(name.as_str()).ok().flatten();
                let Some(field) = field.filter(|field| matches!(field, Field::Named(_))) else { continue };
                let values = answer.get_all(name).iter().cloned();
                changes.request.extend(values.map(|value| Change { field: field.clone(), value, how }));
            }
        }
        let listed = answer.get_all(HEADERS_TO_REMOVE).iter().filter_map(|value| value.to_str().ok());
        for text in listed.flat_map(|list| list.split(',')) {
            let field = Field::new(&text.trim().to_ascii_lowercase());
            if let Ok(Some(Field::Named(name))) = field {
                changes.remove.push(name);
            }
        }
        changes
    }

    fn denial(&self, answer: Called) -> Denial {
        let shown = |name: &HeaderName| {
            self.client.is_empty()
                || self.client.contains(name)
                || *name == WWW_AUTHENTICATE
                || *name == LOCATION
        };
        let headers = answer.headers.iter().filter(|(name, _)| shown(name)).filter_map(|(name, value)| {
            let name = response_name(name.as_str()).ok().flatten()?;
            Some((name, value.clone()))
        });
        let status = if answer.status.is_informational() { StatusCode::FORBIDDEN } else { answer.status };
        Denial { status, metadata: None, headers: headers.collect(), body: answer.body }
    }
}

fn names(list: &[String], field: &str) -> Result<Vec<HeaderName>, Invalid> {
    list.iter().enumerate().map(|(i, text)| name(text, &format!("{field}[{i}]"))).collect()
}
