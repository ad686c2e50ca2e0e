//! An HTTP request, and the connection that it and the gRPC check use.

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_shared::table::{CheckHeader, HttpCheck};
use tokio_util::task::AbortOnDropHandle;

use super::probe::{Dialer, Failure};

/// Bytes of an answer that are read so that its connection can be used again.
const LONGEST: usize = 64 * 1024;
/// Whom an endpoint serves, in its own words.
const SERVED_CLUSTER: HeaderName = HeaderName::from_static("x-envoy-upstream-healthchecked-cluster");
/// An endpoint that wants no more requests at once.
const FAIL_NOW: HeaderName = HeaderName::from_static("x-envoy-immediate-health-check-fail");
/// What endpoints made for Envoy tell checks by.
const AGENT: HeaderValue = HeaderValue::from_static("Envoy/HC");

/// A connection on which one request runs at a time.
pub(super) struct Connection {
    sender: Sender,
    _driver: AbortOnDropHandle<()>,
}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    pub(super) async fn open(dialer: &Dialer<'_>, http2: bool) -> Result<Self, Failure> {
        let (io, agreed) = dialer.connect().await?;
        let io = TokioIo::new(io);
        // An error of the connection shows as one of its request.
        if http2 || agreed {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
            let driver = tokio::spawn(async move { drop(driver.await) });
            Ok(Self { sender: Sender::H2(sender), _driver: AbortOnDropHandle::new(driver) })
        } else {
            let (sender, driver) = http1::handshake(io).await?;
            let driver = tokio::spawn(async move { drop(driver.await) });
            Ok(Self { sender: Sender::H1(sender), _driver: AbortOnDropHandle::new(driver) })
        }
    }

    fn is_usable(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => sender.is_ready(),
            Sender::H2(sender) => sender.is_ready(),
        }
    }

    /// Sends a request whose URI is a path; `host` is whom it is for.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
        host: &HeaderValue,
        tls: bool,
    ) -> Result<Response<Incoming>, Failure> {
        match &mut self.sender {
            Sender::H1(sender) => {
                request.headers_mut().entry(HOST).or_insert_with(|| host.clone());
                Ok(sender.send_request(request).await?)
            }
            Sender::H2(sender) => {
                let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
                *request.uri_mut() = Uri::builder()
                    .scheme(if tls { "https" } else { "http" })
                    .authority(host.as_bytes())
                    .path_and_query(path)
                    .build()
                    .map_err(|_| Failure::Network)?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}

/// The connection of the last question if it still works, else a new one.
pub(super) async fn connection(
    kept: &mut Option<Connection>,
    dialer: &Dialer<'_>,
    http2: bool,
) -> Result<Connection, Failure> {
    match kept.take() {
        Some(connection) if connection.is_usable() => Ok(connection),
        _ => Connection::open(dialer, http2).await,
    }
}

/// The host of a check that names none: the upstream's name.
pub(super) fn host_of(named: Option<&HeaderValue>, dialer: &Dialer<'_>) -> Result<HeaderValue, Failure> {
    match named {
        Some(host) => Ok(host.clone()),
        None => HeaderValue::from_str(&dialer.upstream.name).map_err(|_| Failure::Network),
    }
}

pub(super) fn add(headers: &mut HeaderMap, fields: &[CheckHeader]) {
    for CheckHeader { name, value, append } in fields {
        if *append {
            headers.append(name, value.clone());
        } else {
            headers.insert(name, value.clone());
        }
    }
}

pub(super) async fn ask(
    check: &HttpCheck,
    dialer: &Dialer<'_>,
    kept: &mut Option<Connection>,
) -> Result<(), Failure> {
    let mut connection = connection(kept, dialer, check.http2).await?;
    let mut request = Request::new(Full::default());
    *request.method_mut() = check.method.clone();
    *request.uri_mut() = Uri::from(check.path.clone());
    request.headers_mut().insert(USER_AGENT, AGENT);
    add(request.headers_mut(), &check.add_headers);
    for name in &check.remove_headers {
        request.headers_mut().remove(name);
    }
    let host = host_of(check.host.as_ref(), dialer)?;
    let answer = connection.send(request, &host, dialer.upstream.tls.is_some()).await?;
    let verdict = judge(check, &answer);
    // One that goes on and on is answered all the same, and its connection not used again.
    if Limited::new(answer.into_body(), LONGEST).collect().await.is_ok() {
        *kept = Some(connection);
    }
    verdict
}

fn judge(check: &HttpCheck, answer: &Response<Incoming>) -> Result<(), Failure> {
    let status = answer.status().as_u16();
    if answer.headers().contains_key(FAIL_NOW) || !check.expected.iter().any(|range| range.contains(&status))
    {
        return Err(Failure::Active);
    }
    let Some(service) = &check.service_name else { return Ok(()) };
    let served = answer.headers().get(SERVED_CLUSTER).map(HeaderValue::as_bytes).unwrap_or_default();
    if served.starts_with(service.as_bytes()) { Ok(()) } else { Err(Failure::Verify) }
}
