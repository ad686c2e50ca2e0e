//! What a request must be before anything looks at it: one reading of its host, target and framing, within limits.
//!
//! Pingora's sessions take more than that (bare line feeds, a lost `content-length` beside `transfer-encoding`, any
//! Host), and what is passed on leniently here can be read differently by the next hop. Owns the checks and the request
//! in its checked form, [`Head`]. Must not route.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use portcullis_shared::routing::normalize;

use super::authority;
use super::conn::ConnInfo;
use super::downstream::Downstream;
use super::limits;
use super::reply::{LocalReply, Reason, is_grpc};

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
    pub(super) grpc: bool,
    /// The client wants to speak something else after this request.
    pub(super) upgrade: bool,
}

impl Head {
    /// Path without query.
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }
}

/// Checks the request that `down` has read and takes its header out of it.
pub(super) fn admit(down: &mut Downstream, info: &ConnInfo) -> Result<Head, LocalReply> {
    let raw = down.raw_header();
    check_raw(&raw, down.header().headers.contains_key(TRANSFER_ENCODING))?;
    check_fields(&down.header().headers, down.is_http2())?;
    check_target(down)?;
    let body = down.has_body();
    check_framing(down.header(), body)?;
    let authority = authority(down.header(), info)?;
    let target = target(down.header())?;
    // Last, so that the log of a refused request can still look at it.
    Ok(head(down.take_header(), authority, target, body, info))
}

fn bad(detail: &'static str) -> LocalReply {
    LocalReply::bad_request(detail)
}

/// What only the bytes of an HTTP/1 header show.
fn check_raw(raw: &Bytes, coded: bool) -> Result<(), LocalReply> {
    if raw.len() > limits::HEADER_BYTES {
        return Err(too_large("header bytes"));
    }
    let mut previous = 0;
    let mut first_line = true;
    for byte in raw {
        match byte {
            b'\n' if previous != b'\r' => return Err(bad("a line ends without CR")),
            b'\n' => first_line = false,
            // The session drops it, so that the request would be another one than was asked for.
            b'#' if first_line => return Err(bad("the target holds a fragment")),
            _ => {}
        }
        previous = *byte;
    }
    // The session drops the length of a request that has both.
    if coded && has_line(raw, b"content-length:") {
        return Err(bad("content-length beside transfer-encoding"));
    }
    Ok(())
}

/// A raw header has a field whose line begins with `name`.
pub(super) fn has_line(raw: &[u8], name: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n')
        .any(|line| line.get(..name.len()).is_some_and(|got| got.eq_ignore_ascii_case(name)))
}

fn too_large(detail: &'static str) -> LocalReply {
    LocalReply::new(Reason::HeaderTooLarge).detail(detail)
}

fn check_fields(headers: &HeaderMap, http2: bool) -> Result<(), LocalReply> {
    if headers.len() > limits::HEADER_FIELDS {
        return Err(too_large("header fields"));
    }
    // The one byte that a name may hold here and RFC 9110 does not allow.
    if headers.keys().any(|name| name.as_str().contains('"')) {
        return Err(bad("a field name is not a token"));
    }
    // RFC 9113 8.2.1. Over HTTP/1 the same bytes are no part of the value, so the next hop would read another one.
    if http2 && headers.values().any(|value| value.as_bytes().trim_ascii().len() != value.len()) {
        return Err(bad("a field value begins or ends with a space"));
    }
    Ok(())
}

/// The form of the target: origin-form, absolute-form of http, or `OPTIONS *`.
fn check_target(down: &Downstream) -> Result<(), LocalReply> {
    let header = down.header();
    if header.method == Method::CONNECT {
        return Err(Reason::ConnectNotAllowed.into());
    }
    if !header.raw_path_is_utf8() {
        return Err(bad("the target is not ASCII"));
    }
    if down.is_http2() {
        let scheme = header.uri.scheme_str();
        if !matches!(scheme, None | Some("http" | "https")) {
            return Err(bad("unknown scheme"));
        }
        return check_origin_form(&header.method, header.uri.path().as_bytes());
    }
    let target = header.raw_path();
    match target.iter().position(|byte| *byte == b':').and_then(|at| target.split_at_checked(at)) {
        // Pingora has compared its authority with Host; the path is what counts then.
        Some((scheme, rest))
            if (scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https"))
                && rest.starts_with(b"://") =>
        {
            Ok(())
        }
        _ => check_origin_form(&header.method, target),
    }
}

fn check_origin_form(method: &Method, path: &[u8]) -> Result<(), LocalReply> {
    match path {
        [b'/', ..] => Ok(()),
        b"*" if *method == Method::OPTIONS => Ok(()),
        _ => Err(bad("the target is neither a path nor a URL")),
    }
}

/// How long the body is must have one answer.
fn check_framing(parts: &Parts, body: bool) -> Result<(), LocalReply> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Reason::UnsupportedCoding.into());
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    if lengths.next().is_some() {
        return Err(bad("more than one content-length"));
    }
    let digits = length.as_bytes();
    if digits.is_empty()
        || digits.len() > limits::CONTENT_LENGTH_DIGITS
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return Err(bad("content-length is not a number"));
    }
    if !body && parts.version == Version::HTTP_2 && digits.iter().any(|digit| *digit != b'0') {
        return Err(bad("content-length without content"));
    }
    Ok(())
}

fn head(mut parts: Parts, authority: Box<str>, target: PathAndQuery, body: bool, info: &ConnInfo) -> Head {
    let scheme = match parts.uri.scheme_str() {
        Some("https") => "https",
        Some("http") => "http",
        _ if info.tls.is_some() => "https",
        _ => "http",
    };
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut parts.headers);
    }
    // Which bytes would be the body's and which the tunnel's is told by nobody, so a request with both is not upgraded.
    let upgrade = parts.version == Version::HTTP_11 && !body && wants_upgrade(&parts.headers);
    Head {
        method: parts.method,
        version: parts.version,
        scheme,
        authority,
        target,
        grpc: is_grpc(&parts.headers),
        headers: parts.headers,
        body,
        upgrade,
    }
}

fn authority(parts: &Parts, info: &ConnInfo) -> Result<Box<str>, LocalReply> {
    let host = parts.headers.get(HOST);
    let text = match (host, parts.uri.authority()) {
        (_, Some(authority)) => authority.as_str(),
        (Some(host), None) => host.to_str().map_err(|_| bad("Host is not ASCII"))?,
        // HTTP/1.0 knows no Host: the client means the address that it connected to.
        (None, None) if parts.version == Version::HTTP_10 => return Ok(info.local.to_string().into()),
        (None, None) => return Err(bad("no Host")),
    };
    if !authority::is_valid(text) {
        return Err(bad("Host is malformed"));
    }
    Ok(text.into())
}

fn target(parts: &Parts) -> Result<PathAndQuery, LocalReply> {
    let Some(came) = parts.uri.path_and_query() else { return Ok(PathAndQuery::from_static("/")) };
    // The path is encoded, but a query is passed on as it came.
    if came.query().is_some_and(|query| !query.is_ascii()) {
        return Err(bad("the query is not ASCII"));
    }
    match normalize(came.as_str()) {
        Ok(std::borrow::Cow::Borrowed(_)) => Ok(came.clone()),
        Ok(std::borrow::Cow::Owned(normal)) => {
            PathAndQuery::try_from(normal).map_err(|_| bad("the path is malformed"))
        }
        Err(error) => Err(LocalReply::bad_request(error.to_string())),
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

/// The words of a list, over all its fields.
pub(super) fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
}

/// HTTP/2 by whatever name: in a tunnel its requests would pass without being looked at.
pub(super) fn is_http2_protocol(protocol: &[u8]) -> bool {
    let protocol = protocol.to_ascii_lowercase();
    protocol.starts_with(b"h2") || protocol.starts_with(b"http/")
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
