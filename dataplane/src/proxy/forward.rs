//! The header fields of a request on its way up and of an answer on its way down.
//!
//! Owns what a gateway must do to them: fields that are meant for one hop, the `x-forwarded-*`, `x-request-id` and
//! `x-envoy-*` fields in the way Envoy treats them under Gloo's defaults (`useRemoteAddress: false`: client-set
//! `x-forwarded-for` and `-proto` are believed and the former is not appended to), and the framing for the version that
//! the other side speaks. Must not apply what users configure: that is policies' and the plan's.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, SERVER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora_http::RequestHeader;
use portcullis_shared::table::{HttpSettings, ServerHeader};
use smallvec::SmallVec;

use super::conn::ConnInfo;
use super::h1::{Framing, is_bodyless};
use super::list::words;
use super::reply::{LocalReply, Reason};
use super::strict::{self, Head};
use super::{client, client_certificate};
use crate::policy::{DEFAULT_TOTAL_TIMEOUT, host_rewrite};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The request's id, for logs on both sides.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_ENVOY_ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const X_ENVOY_EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const X_ENVOY_SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// Fields that a client may not have removed by naming them in `connection`: the request would mean something else.
const NOT_FOR_ONE_HOP: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "authorization",
    "cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Makes the fields of an admitted request fit for anyone but this gateway, and says who the client is. Policies run
/// after it.
pub(super) fn sanitize(head: &mut Head, info: &ConnInfo) -> Result<SocketAddr, LocalReply> {
    strip_nominated(&mut head.headers, head.upgrade)?;
    let headers = &mut head.headers;
    for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS] {
        headers.remove(name);
    }
    if !head.upgrade {
        headers.remove(UPGRADE);
    }
    keep_te_trailers(headers);
    let client = client::identify(headers, info);
    client_certificate::forward(headers, info);
    match headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        // As Envoy, the scheme of the first hop is the scheme of the request.
        Some(b"https") => head.scheme = "https",
        Some(b"http") => head.scheme = "http",
        _ => {}
    }
    Ok(client)
}

/// The fields that `connection` names (RFC 9110 7.6.1), but `keep-alive`: that is what nearly everyone says, and a field
/// of this name never goes further.
fn nominated(headers: &HeaderMap) -> SmallVec<[HeaderName; 1]> {
    words(headers, &CONNECTION)
        .filter(|word| !word.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|word| HeaderName::from_bytes(word).ok())
        .collect()
}

/// Removes `connection` and the fields that it names.
fn strip_nominated(headers: &mut HeaderMap, keep_upgrade: bool) -> Result<(), LocalReply> {
    for name in nominated(headers) {
        if NOT_FOR_ONE_HOP.contains(&name.as_str()) {
            return Err(LocalReply::bad_request("connection names a field that is for the origin"));
        }
        // Framing is settled elsewhere, and an upgrade is forwarded as one.
        if name != TRANSFER_ENCODING && name != TE && !(keep_upgrade && name == UPGRADE) {
            headers.remove(name);
        }
    }
    headers.remove(CONNECTION);
    Ok(())
}

/// `te` says something about this hop only, but gRPC servers insist on `trailers`.
fn keep_te_trailers(headers: &mut HeaderMap) {
    let Some(te) = headers.remove(TE) else { return };
    let trailers = te
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Milliseconds, without an allocation for what is usual: a quick answer, the default time limit.
fn millis(duration: Duration) -> HeaderValue {
    const FEW: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match usize::try_from(millis).ok().and_then(|few| FEW.get(few)) {
        Some(few) => HeaderValue::from_static(few),
        None if duration == DEFAULT_TOTAL_TIMEOUT => HeaderValue::from_static("15000"),
        None => HeaderValue::from(millis),
    }
}

/// A random UUID (RFC 9562, version 4).
pub(super) fn request_id() -> HeaderValue {
    let random = fastrand::u128(..) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let mut text = [b'-'; 36];
    let mut left = random;
    let places = text.iter_mut().enumerate().rev().filter(|(at, _)| ![8, 13, 18, 23].contains(at));
    for (_, place) in places {
        let digit = (left & 0xf) as u8;
        *place = if digit < 10 { b'0' + digit } else { b'a' - 10 + digit };
        left >>= 4;
    }
    // Hexadecimal digits and dashes.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
}

/// A request as one try sends it: the admitted head, which stays as it is for further tries and for the log, and what is
/// different about it.
pub(super) struct Outgoing<'a> {
    head: &'a Head,
    /// After the route's rewrite.
    target: Option<PathAndQuery>,
    host: Option<HeaderValue>,
    /// Without the fields that Envoy adds.
    quiet: bool,
    /// Fields in place of the head's; none = left out.
    changes: SmallVec<[(HeaderName, Option<HeaderValue>); 4]>,
}

/// A header in the form that the other side takes.
#[expect(clippy::large_enum_variant, reason = "there is one per try, and it is not moved about")]
pub(super) enum Sealed<'a> {
    /// The tunnel begins at once.
    Nothing,
    /// Written straight from the parts.
    H1(Outgoing<'a>),
    H2(Box<RequestHeader>),
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(head: &'a Head, http: &HttpSettings) -> Self {
        let quiet = http.suppress_envoy_headers;
        let mut outgoing = Outgoing { head, target: None, host: None, quiet, changes: SmallVec::new() };
        if http.http1.forward_expect {
            return outgoing;
        }
        let expect = head.headers.get(EXPECT);
        // The gateway has answered it.
        if expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            outgoing.leave_out(EXPECT);
        }
        outgoing
    }

    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.changes.push((name, Some(value)));
    }

    pub(super) fn leave_out(&mut self, name: HeaderName) {
        self.changes.push((name, None));
    }

    /// Tells the upstream how long its answer is waited for.
    pub(super) fn announce_timeout(&mut self, total: Option<Duration>, per_try: Option<Duration>) {
        let limit = match (total, per_try) {
            (Some(total), Some(per_try)) => Some(total.min(per_try)),
            (limit, None) | (None, limit) => limit,
        };
        if let Some(limit) = limit.filter(|_| !self.quiet) {
            self.set(X_ENVOY_EXPECTED_TIMEOUT, millis(limit));
        }
    }

    /// The path after the route's rewrite. The client's is noted.
    pub(super) fn rewrite_path(&mut self, path: String) -> Result<(), LocalReply> {
        // Envoy puts a slash before what a rewrite left without one.
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let original = HeaderValue::from_str(self.head.target.as_str()).map_err(|_| internal("path"))?;
        if !self.quiet {
            self.set(X_ENVOY_ORIGINAL_PATH, original);
        }
        let target = PathAndQuery::try_from(path);
        self.target = Some(target.map_err(|_| LocalReply::bad_request("the rewritten path is malformed"))?);
        Ok(())
    }

    /// The host after the route's rewrite. The client's is noted, also in `x-forwarded-host` where the route wants it.
    pub(super) fn rewrite_host(&mut self, host: HeaderValue, append_x_forwarded_host: bool) {
        if append_x_forwarded_host {
            let mut forwarded = HeaderMap::new();
            if let Some(before) = self.head.headers.get(host_rewrite::X_FORWARDED_HOST) {
                forwarded.insert(host_rewrite::X_FORWARDED_HOST, before.clone());
            }
            host_rewrite::append_forwarded_host(&mut forwarded, &self.head.authority);
            if let Some(after) = forwarded.remove(host_rewrite::X_FORWARDED_HOST) {
                self.set(host_rewrite::X_FORWARDED_HOST, after);
            }
        }
        if !self.quiet
            && let Ok(original) = HeaderValue::try_from(&*self.head.authority)
        {
            self.set(X_ENVOY_ORIGINAL_HOST, original);
        }
        self.host = Some(host);
    }

    /// Ready to be sent to an upstream that speaks HTTP/2 or HTTP/1, over TLS or not.
    /// Trailers can follow over HTTP/2, and over HTTP/1 where `trailers` says so.
    pub(super) fn seal(mut self, http2: bool, tls: bool, trailers: bool) -> Result<Sealed<'a>, LocalReply> {
        if http2 {
            self.http2_header(tls).map(Sealed::H2)
        } else {
            if !trailers {
                self.leave_out(TRAILER);
            }
            if self.head.upgrade {
                self.set(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Ok(Sealed::H1(self))
        }
    }

    /// The client's head, where the names of fields are written as there.
    pub(super) fn came(&self) -> Option<&[u8]> {
        self.head.came.as_deref()
    }

    /// Method, target and host.
    pub(super) fn line(&self) -> (&Method, &str, &[u8]) {
        let target = self.target.as_ref().unwrap_or(&self.head.target);
        let connect = self.head.connect.as_deref();
        let own = connect.unwrap_or(&self.head.authority).as_bytes();
        let host = self.host.as_ref().map_or(own, HeaderValue::as_bytes);
        // It is text, or it was no value of ours.
        let target = match connect {
            Some(asked) => str::from_utf8(host).unwrap_or(asked),
            None => target.as_str(),
        };
        (&self.head.method, target, host)
    }

    /// All fields. Host and framing among them are not what counts.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let changes = &self.changes;
        let kept =
            self.head.headers.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == *name));
        kept.chain(changes.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))))
    }

    /// How an HTTP/1 upstream learns where the body ends.
    pub(super) fn framing(&self) -> Framing {
        let head = self.head;
        if head.connect.is_some() {
            return Framing::None;
        }
        match head.length {
            Some(length) if head.body => Framing::Length(length),
            None if head.body => Framing::Chunked,
            Some(_) => Framing::Length(0),
            None if [Method::POST, Method::PUT, Method::PATCH].contains(&head.method) => Framing::Length(0),
            None => Framing::None,
        }
    }

    fn http2_header(&self, tls: bool) -> Result<Box<RequestHeader>, LocalReply> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = self.head.method.clone();
        parts.version = Version::HTTP_2;
        let host = self.line().2;
        parts.uri = match &self.head.connect {
            Some(_) => Uri::builder().authority(host).build().map_err(|_| malformed_host())?,
            None => absolute(host, self.target.as_ref().unwrap_or(&self.head.target).clone(), tls)?,
        };
        parts.headers.reserve(self.head.headers.len().saturating_add(self.changes.len()));
        for (name, value) in self.fields() {
            if ![HOST, TRANSFER_ENCODING, UPGRADE].contains(name) {
                parts.headers.append(name, value.clone());
            }
        }
        Ok(Box::new(RequestHeader::from(parts)))
    }
}

fn absolute(host: &[u8], target: PathAndQuery, tls: bool) -> Result<Uri, LocalReply> {
    Uri::builder()
        .scheme(if tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(host)
        .path_and_query(target)
        .build()
        .map_err(|_| malformed_host())
}

fn malformed_host() -> LocalReply {
    LocalReply::bad_request("the rewritten host is malformed")
}

/// The answer to a CONNECT that ends here.
pub(super) fn connected() -> http::response::Parts {
    http::Response::new(()).into_parts().0
}

/// Makes the header of an answer fit to begin a tunnel.
pub(super) fn frame_tunnel(parts: &mut http::response::Parts) {
    let headers = &mut parts.headers;
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
        headers.remove(name);
    }
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

fn internal(detail: &'static str) -> LocalReply {
    LocalReply::new(Reason::Internal).detail(detail)
}

/// An upstream that answers by 101 speaks what the client has asked for, and nothing else.
pub(super) fn is_agreed(head: &Head, answer: &HeaderMap) -> bool {
    let mut protocols = words(answer, &UPGRADE).peekable();
    protocols.peek().is_some()
        && protocols.all(|protocol| {
            !strict::is_http2_protocol(protocol)
                && words(&head.headers, &UPGRADE).any(|asked| asked.eq_ignore_ascii_case(protocol))
        })
}

/// The status by which an answer's endpoint is judged: a gRPC server reports its failures with status 200.
pub(super) fn judged_status(parts: &http::response::Parts) -> StatusCode {
    let Some(grpc) = parts.headers.get(super::reply::GRPC_STATUS) else { return parts.status };
    let code = grpc.to_str().ok().and_then(|code| code.parse().ok());
    super::reply::http_status(code.unwrap_or(u16::MAX))
}

/// An informational answer as the client gets it: it has no body whatever it says.
pub(super) fn informational(mut parts: http::response::Parts) -> http::response::Parts {
    strip_hop(&mut parts.headers);
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER, UPGRADE] {
        parts.headers.remove(name);
    }
    parts
}

/// Makes an upstream's answer fit for the client, before policies see it. `trailers` can follow it.
pub(super) fn sanitize_response(
    parts: &mut http::response::Parts,
    waited: Duration,
    trailers: bool,
    http: &HttpSettings,
) {
    let headers = &mut parts.headers;
    strip_hop(headers);
    if !trailers {
        headers.remove(TRAILER);
    }
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        headers.remove(UPGRADE);
    }
    if !http.suppress_envoy_headers {
        headers.insert(X_ENVOY_SERVICE_TIME, millis(waited));
    }
}

/// Removes what an upstream said to this hop only.
fn strip_hop(headers: &mut HeaderMap) {
    for name in nominated(headers) {
        // An upstream cannot have its framing or its upgrade taken away by naming it.
        if ![TRANSFER_ENCODING, CONTENT_LENGTH, UPGRADE].contains(&name) {
            headers.remove(name);
        }
    }
    headers.remove(CONNECTION);
    for name in [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, TE] {
        headers.remove(name);
    }
}

/// The name under which the gateway answers, and `via`. By default it replaces the upstream's, as Envoy does by default
/// (`serverHeaderTransformation: OVERWRITE`): what runs behind a gateway is nobody's business.
pub(super) fn sign(headers: &mut HeaderMap, http: &HttpSettings) {
    let name = || http.server_name.clone().unwrap_or(HeaderValue::from_static("portcullis"));
    match http.server_header {
        ServerHeader::Overwrite => {
            headers.insert(SERVER, name());
        }
        ServerHeader::AppendIfAbsent => {
            headers.entry(SERVER).or_insert_with(name);
        }
        ServerHeader::PassThrough => {}
    }
    if let Some(via) = &http.via {
        client::append_value(headers, &VIA, b", ", via);
    }
}

/// Frames an answer for a client that speaks `version`. `end` says that no body follows.
pub(super) fn frame_response(
    parts: &mut http::response::Parts,
    version: Version,
    head_request: bool,
    end: bool,
) {
    let status = parts.status;
    let bodyless = is_bodyless(status, head_request);
    let headers = &mut parts.headers;
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        // RFC 9110 8.6: not even a length of 0.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
    }
    if version == Version::HTTP_2 {
        headers.remove(TRANSFER_ENCODING);
        return;
    }
    parts.version = Version::HTTP_11;
    headers.remove(TRANSFER_ENCODING);
    if bodyless || headers.contains_key(CONTENT_LENGTH) {
        return;
    }
    if end {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else if version == Version::HTTP_11 {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // An HTTP/1.0 client reads until the connection closes.
}

/// The client can tell the end of the answer only by the end of the connection.
pub(super) fn is_close_delimited(
    parts: &http::response::Parts,
    version: Version,
    head_request: bool,
) -> bool {
    version == Version::HTTP_10
        && !head_request
        && parts.status != StatusCode::NO_CONTENT
        && parts.status != StatusCode::NOT_MODIFIED
        && !parts.headers.contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids() {
        let id = request_id();
        let text = id.to_str().unwrap();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]), "{text}");
        assert_ne!(request_id(), id);
    }

    fn head() -> Head {
        Head {
            method: Method::GET,
            version: Version::HTTP_11,
            scheme: "http",
            authority: "h".into(),
            target: PathAndQuery::from_static("/"),
            headers: HeaderMap::from_iter([(X_ENVOY_EXPECTED_TIMEOUT, HeaderValue::from_static("7"))]),
            body: false,
            length: None,
            grpc: false,
            upgrade: false,
            connect: None,
            came: None,
        }
    }

    #[test]
    fn the_shorter_limit_is_announced() {
        let announced = |total, per_try| {
            let head = head();
            let mut outgoing = Outgoing::new(&head, &HttpSettings::default());
            outgoing.announce_timeout(total, per_try);
            let values: Vec<_> =
                outgoing.fields().map(|(_, value)| value.to_str().unwrap().to_owned()).collect();
            values.join(" ")
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(announced(Some(Duration::from_secs(15)), second), "1000");
        assert_eq!(announced(None, second), "1000");
        assert_eq!(announced(second, None), "1000");
        assert_eq!(announced(None, None), "7");
    }
}
