//! What a request must be before anything looks at it: one reading of its host, target and framing, within limits.
//!
//! What is passed on leniently here can be read differently by the next hop. What only the bytes of an HTTP/1 header
//! show, `h1` has refused before. Owns the checks on parsed headers of both versions and the request in its checked form,
//! [`Head`]. Must not route.

use h2::ext::Protocol;
use http::header::LOCATION;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use portcullis_shared::routing::{PathRules, read_path};
use portcullis_shared::table::{EscapedSlashes, Underscores};

use super::authority;
use super::client_certificate;
use super::conn::ConnInfo;
use super::downstream::Downstream;
use super::h1::content_length;
use super::list::words;
use super::reply::{LocalReply, Reason, is_grpc};
use crate::policy::Line;
use crate::runtime::Http;

const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");

/// A request header that passed.
pub(super) struct Head {
    pub(super) method: Method,
    /// How the client speaks.
    pub(super) version: Version,
    /// `http` or `https`, as the request or its connection says.
    pub(super) scheme: &'static str,
    /// Host or `:authority` as the client wrote it.
    pub(super) authority: Box<str>,
    /// Normalised path and query; `*` for `OPTIONS *`.
    pub(super) target: PathAndQuery,
    /// The fields; Host may be among them, but [`Head::authority`] is what counts.
    pub(super) headers: HeaderMap,
    pub(super) body: bool,
    /// Its length, where the client has said it.
    pub(super) length: Option<u64>,
    pub(super) grpc: bool,
    /// The client wants to speak something else after this request.
    pub(super) upgrade: bool,
    /// Whom a CONNECT asks for; it has no path.
    pub(super) connect: Option<Box<str>>,
    /// All of it as it came, where the names of fields shall stay as they are.
    pub(super) came: Option<bytes::Bytes>,
}

impl Head {
    /// Takes over what policies have changed.
    pub(super) fn change(&mut self, line: Line) {
        let Line { method, target, authority } = line;
        if let Some(method) = method {
            self.method = method;
        }
        if let Some(target) = target {
            self.target = target;
        }
        if let Some(authority) = authority {
            self.authority = authority;
        }
    }

    /// The body has another length now; none = it shows at the end.
    pub(super) fn announce(&mut self, length: Option<u64>) {
        self.headers.remove(TRANSFER_ENCODING);
        match length {
            Some(length) if length > 0 || self.body => {
                self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            _ => drop(self.headers.remove(CONTENT_LENGTH)),
        }
        self.length = length.filter(|length| *length > 0 || self.body);
        self.body = length.is_none_or(|length| length > 0);
    }

    /// Path without query.
    pub(super) fn path(&self) -> &str {
        if self.connect.is_some() { "" } else { self.target.path() }
    }

    /// Path and query, for the log.
    pub(super) fn target_text(&self) -> &str {
        if self.connect.is_some() { "" } else { self.target.as_str() }
    }
}

/// Checks the request that `down` has read and takes its header out of it.
pub(super) fn admit(down: &mut Downstream, info: &ConnInfo) -> Result<Head, LocalReply> {
    let (parts, mut body) = (down.header(), down.has_body());
    let http = &*info.http;
    if parts.version == Version::HTTP_10 && !http.settings.http1.accept_http10 {
        return Err(Reason::LowVersion.into());
    }
    let http2 = down.is_http2();
    if http2 {
        check_http2(parts, http)?;
    }
    let length = content_length(&parts.headers)?;
    let connect = parts.method == Method::CONNECT;
    if connect {
        // Which bytes would be the body's and which the tunnel's?
        if length.is_some_and(|length| length > 0) {
            return Err(bad("a CONNECT with content"));
        }
        if !http2 && body {
            return Err(Reason::UnsupportedCoding.into());
        }
        // Over HTTP/2 the stream goes on, and what comes is not content.
        body = false;
    }
    if !body && length.is_some_and(|length| length > 0) {
        return Err(bad("content-length without content"));
    }
    let authority = authority(parts, info)?;
    if http.settings.underscores == Underscores::Reject
        && parts.headers.keys().any(|name| name.as_str().contains('_'))
    {
        return Err(bad("a field name with an underscore"));
    }
    let target = target(parts, http)?;
    if connect {
        down.expect_tunnel();
    }
    // Last, so that the log of a refused request can still look at it.
    let came = down.take_came();
    Ok(Head { came, ..head(down.take_header(), authority, target, (body, length), info) })
}

fn bad(detail: &'static str) -> LocalReply {
    LocalReply::bad_request(detail)
}

/// What the protocol library leaves open, and `h1` checks while it reads.
fn check_http2(parts: &Parts, http: &Http) -> Result<(), LocalReply> {
    let headers = &parts.headers;
    if headers.len() > http.header_fields {
        return Err(LocalReply::new(Reason::HeaderTooLarge).detail("header fields"));
    }
    // The one byte that a name may hold here and RFC 9110 does not allow.
    if headers.keys().any(|name| name.as_str().contains('"')) {
        return Err(bad("a field name is not a token"));
    }
    // RFC 9113 8.2.1. Over HTTP/1 the same bytes are no part of the value, so the next hop would read another one.
    if headers.values().any(|value| value.as_bytes().trim_ascii().len() != value.len()) {
        return Err(bad("a field value begins or ends with a space"));
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(Reason::UnsupportedCoding.into());
    }
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(bad("unknown scheme"));
    }
    let protocol = parts.extensions.get::<Protocol>();
    if protocol.is_some_and(|protocol| !is_extended(protocol.as_str())) {
        return Err(bad("not a protocol that a stream can change to"));
    }
    match parts.uri.path() {
        "" if parts.method == Method::CONNECT && protocol.is_none() => Ok(()),
        _ if parts.method == Method::CONNECT && protocol.is_none() => Err(bad("a CONNECT with a path")),
        path if path.bytes().any(|byte| !matches!(byte, b'!'..=b'~')) => {
            Err(bad("a control or non-ASCII byte in the target"))
        }
        // The type shows an empty path as a slash (RFC 9113 8.3.1 allows neither).
        _ if parts.uri.path_and_query().is_some_and(|target| target.as_str().starts_with('?')) => {
            Err(bad("the target is neither a path nor a URL"))
        }
        "*" if parts.method == Method::OPTIONS => Ok(()),
        path if path.starts_with('/') => Ok(()),
        _ => Err(bad("the target is neither a path nor a URL")),
    }
}

fn head(
    mut parts: Parts,
    authority: Box<str>,
    target: PathAndQuery,
    (body, length): (bool, Option<u64>),
    info: &ConnInfo,
) -> Head {
    let scheme = match parts.uri.scheme_str() {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        Some(_) => "http",
        _ if info.tls.is_some() => "https",
        _ => "http",
    };
    if info.http.settings.underscores == Underscores::Drop {
        let names = parts.headers.keys().filter(|name| name.as_str().contains('_')).cloned();
        for name in names.collect::<Vec<_>>() {
            parts.headers.remove(name);
        }
    }
    let mut extended = false;
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
        extended = translate_extended(&mut parts);
    }
    let connect = (parts.method == Method::CONNECT)
        .then(|| parts.uri.authority().map_or_else(|| authority.clone(), |asked| asked.as_str().into()));
    // Which bytes would be the body's and which the tunnel's is told by nobody, so a request with both is not upgraded.
    let plain = parts.version == Version::HTTP_11 && connect.is_none() && !body;
    let upgrade = extended || (plain && wants_upgrade(&parts.headers));
    Head {
        method: parts.method,
        version: parts.version,
        scheme,
        authority,
        target,
        grpc: is_grpc(&parts.headers),
        headers: parts.headers,
        body,
        length,
        upgrade,
        connect,
        came: None,
    }
}

/// A protocol that a stream may be asked to change to (RFC 8441): a token, and not HTTP itself.
fn is_extended(protocol: &str) -> bool {
    !is_http2_protocol(protocol.as_bytes()) && HeaderName::from_bytes(protocol.as_bytes()).is_ok()
}

/// Makes the CONNECT of RFC 8441 the GET that the same client would send over HTTP/1, as Envoy does: routes, policies and
/// upstreams see an upgrade as any other.
fn translate_extended(parts: &mut Parts) -> bool {
    let Some(protocol) = parts.extensions.remove::<Protocol>() else { return false };
    let Ok(value) = HeaderValue::from_str(protocol.as_str()) else { return false };
    parts.method = Method::GET;
    parts.headers.insert(UPGRADE, value);
    if protocol.as_str().eq_ignore_ascii_case("websocket") {
        // Over HTTP/2 there is none, but RFC 6455 4.2.1 asks for it.
        parts.headers.entry(SEC_WEBSOCKET_KEY).or_insert_with(websocket_key);
    }
    true
}

/// Sixteen random bytes in base64.
fn websocket_key() -> HeaderValue {
    let text = client_certificate::base64(&fastrand::u128(..).to_le_bytes());
    // Letters, digits and a few signs.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// Host, or what takes its place: `:authority`, or the authority of a target in absolute form (RFC 9112 3.2.2).
fn authority(parts: &Parts, info: &ConnInfo) -> Result<Box<str>, LocalReply> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::to_str).transpose().map_err(|_| bad("Host is not ASCII"))?;
    if hosts.next().is_some() {
        return Err(bad("more than one Host"));
    }
    let text = match (parts.uri.authority(), host) {
        // They must not differ (RFC 9113 8.3.1).
        (Some(authority), Some(host)) if parts.version == Version::HTTP_2 && *host != *authority.as_str() => {
            return Err(bad("Host is another one than :authority"));
        }
        // HTTP/1.1 wants a valid Host even where the target counts.
        (Some(_), None) if parts.version == Version::HTTP_11 => return Err(bad("no Host")),
        (Some(_), Some(host)) if !authority::is_valid(host) => return Err(bad("Host is malformed")),
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host,
        // HTTP/1.0 knows no Host: the client means the address that it connected to.
        (None, None) if parts.version == Version::HTTP_10 => {
            let default = info.http.settings.http1.default_host.clone();
            return Ok(default.unwrap_or_else(|| info.local.to_string().into()));
        }
        (None, None) => return Err(bad("no Host")),
    };
    if !authority::is_valid(text) {
        return Err(bad("Host is malformed"));
    }
    if parts.method == Method::CONNECT
        && parts.extensions.get::<Protocol>().is_none()
        && authority::port(text).is_none()
    {
        return Err(bad("a CONNECT without a port"));
    }
    Ok(match text.rsplit_once(':') {
        Some((host, port)) if info.http.settings.strip_any_host_port && !port.ends_with(']') => host.into(),
        _ => text.into(),
    })
}

fn target(parts: &Parts, http: &Http) -> Result<PathAndQuery, LocalReply> {
    let Some(came) = parts.uri.path_and_query() else { return Ok(PathAndQuery::from_static("/")) };
    if came.as_str().starts_with('?') {
        // `http://host?query`: an empty path is a slash (RFC 9110 4.2.3).
        let path = format!("/{}", came.as_str());
        return PathAndQuery::try_from(path).map_err(|_| bad("the path is malformed"));
    }
    // The path is encoded, but a query is passed on as it came.
    if came.query().is_some_and(|query| !query.is_ascii()) {
        return Err(bad("the query is not ASCII"));
    }
    let paths = http.settings.paths;
    let rules = PathRules {
        keep_dot_segments: paths.keep_dot_segments,
        merge_slashes: paths.merge_slashes,
        unescape_slashes: paths.escaped_slashes != EscapedSlashes::Keep,
    };
    let (normal, unescaped) =
        read_path(came.as_str(), rules).map_err(|error| LocalReply::bad_request(error.to_string()))?;
    if unescaped && paths.escaped_slashes == EscapedSlashes::Reject {
        return Err(bad("an escaped slash in the path"));
    }
    if unescaped && paths.escaped_slashes == EscapedSlashes::Redirect {
        let location = HeaderValue::from_str(&normal).map_err(|_| bad("the path is malformed"))?;
        let reply = LocalReply::new(Reason::Redirect).status(StatusCode::TEMPORARY_REDIRECT);
        return Err(reply.header(LOCATION, location));
    }
    match normal {
        std::borrow::Cow::Borrowed(_) => Ok(came.clone()),
        std::borrow::Cow::Owned(normal) => {
            PathAndQuery::try_from(normal).map_err(|_| bad("the path is malformed"))
        }
    }
}

/// RFC 9113 8.2.3: HTTP/2 may split the field, everybody else expects one.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Joined from values, so it is one.
    if let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// HTTP/2 by whatever name: in a tunnel its requests would pass without being looked at.
pub(super) fn is_http2_protocol(protocol: &[u8]) -> bool {
    let protocol = protocol.to_ascii_lowercase();
    protocol.starts_with(b"h2") || protocol.starts_with(b"http/")
}

/// The protocols that the client wants to change to, lower case.
pub(super) fn upgrades(head: &Head) -> impl Iterator<Item = String> {
    words(&head.headers, &UPGRADE).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
}

/// A protocol change that can be granted: asked for on both fields, and not to HTTP/2, which is simply not taken up.
fn wants_upgrade(headers: &HeaderMap) -> bool {
    let mut protocols = words(headers, &UPGRADE).peekable();
    if protocols.peek().is_none() {
        return false;
    }
    let named = words(headers, &CONNECTION).any(|name| name.eq_ignore_ascii_case(b"upgrade"));
    named && !protocols.any(is_http2_protocol)
}
