//! Load whose every answer is checked: status, destination and body. It runs until it is ended, and then tells what was
//! wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::backend::{Scripted, body, scripted};
use crate::client::{Answer, Error, Tls, Version};
use crate::wait::until;

/// Failures that are remembered word by word.
const MOST: usize = 20;

/// How a client uses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A connection for each request.
    Fresh,
    /// One HTTP/1.1 connection for as long as it is kept open.
    Kept,
    /// One HTTP/2 connection for as long as it takes requests.
    Http2,
}

/// What a client asks for.
#[derive(Clone)]
pub struct Ask {
    /// Where.
    pub address: SocketAddr,
    /// Host, and SNI with TLS.
    pub host: &'static str,
    /// Over TLS.
    pub tls: Option<Tls>,
    /// Over which connections.
    pub how: How,
    /// Which upstreams may answer.
    pub allowed: Arc<Allowed>,
}

/// The upstreams that may answer now. A request may be answered by what was allowed at its start or at its end.
#[derive(Default)]
pub struct Allowed(Mutex<Vec<&'static str>>);

impl Allowed {
    /// These.
    #[must_use]
    pub fn these(names: &[&'static str]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(names.to_vec())))
    }

    /// From now on these.
    pub fn set(&self, names: &[&'static str]) {
        *self.0.lock().unwrap() = names.to_vec();
    }

    fn get(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// Running clients.
pub struct Load {
    facts: Arc<Facts>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct Facts {
    over: AtomicBool,
    /// Broken connections are somebody's known doing at the moment.
    pardoned: AtomicBool,
    /// The same of tunnels alone.
    tunnels_pardoned: AtomicBool,
    answered: AtomicU64,
    reconnects: AtomicU64,
    broken: AtomicU64,
    failures: Mutex<(u64, Vec<String>)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were answered as they should be.
    pub answered: u64,
    /// Connections that were opened because another one ended, other than by a client that wants it so.
    pub reconnects: u64,
    /// Requests that broke while that was pardoned.
    pub broken: u64,
    /// Requests that failed, and words for the first of them.
    pub failed: (u64, Vec<String>),
}

impl Outcome {
    /// Nothing failed, and something was asked.
    ///
    /// # Panics
    /// Otherwise.
    pub fn assert_clean(&self) {
        assert!(self.failed.0 == 0, "{self:#?}");
        assert!(self.answered > 0, "nothing was asked");
    }
}

impl Load {
    /// Starts a client for each of `asks`.
    #[must_use]
    pub fn start(asks: impl IntoIterator<Item = Ask>) -> Self {
        let facts = Arc::new(Facts::default());
        let mut clients = JoinSet::new();
        for ask in asks {
            clients.spawn(client(ask, Arc::clone(&facts)));
        }
        Self { facts, clients }
    }

    /// Adds a tunnel: bytes go through and come back, until the end. It must not break.
    pub fn tunnel(&mut self, address: SocketAddr, host: &'static str) {
        self.clients.spawn(tunnel(address, host, Arc::clone(&self.facts)));
    }

    /// Whether broken connections are pardoned from now on; wrong answers never are.
    pub fn pardon(&self, pardoned: bool) {
        self.facts.pardoned.store(pardoned, Ordering::SeqCst);
    }

    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.facts.answered.load(Ordering::Relaxed)
    }

    /// Whether broken tunnels are pardoned from now on.
    pub fn pardon_tunnels(&self, pardoned: bool) {
        self.facts.tunnels_pardoned.store(pardoned, Ordering::SeqCst);
    }

    /// Waits until `number` more requests are answered.
    pub async fn answers(&self, number: u64) {
        let wanted = self.answered() + number;
        until("further answers", async || (self.answered() >= wanted).then_some(())).await;
    }

    /// Whether anything failed so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.facts.failures.lock().unwrap().0 == 0
    }

    /// Ends it.
    pub async fn end(mut self) -> Outcome {
        self.facts.over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        Outcome {
            answered: self.answered(),
            reconnects: self.facts.reconnects.load(Ordering::Relaxed),
            broken: self.facts.broken.load(Ordering::Relaxed),
            failed: self.facts.failures.lock().unwrap().clone(),
        }
    }
}

impl Facts {
    fn fail(&self, text: String) {
        let mut failures = self.failures.lock().unwrap();
        failures.0 += 1;
        if failures.1.len() < MOST {
            failures.1.push(text);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A connection or a request broke.
    fn broke(&self, what: String) {
        if self.pardoned.load(Ordering::SeqCst) {
            self.broken.fetch_add(1, Ordering::Relaxed);
        } else {
            self.fail(what);
        }
    }
}

/// A sender of requests over one connection.
enum Sender {
    H1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    H2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn connect(ask: &Ask) -> Result<Self, Error> {
        let version = if ask.how == How::Http2 { Version::H2 } else { Version::H1 };
        match &ask.tls {
            None => Self::over(TcpStream::connect(ask.address).await?, version).await,
            Some(tls) => {
                let alpn = if version == Version::H2 { "h2" } else { "http/1.1" };
                let stream = tls.clone().alpn(&[alpn]).connect(ask.address, ask.host).await?;
                Self::over(stream, version).await
            }
        }
    }

    async fn over<S>(stream: S, version: Version) -> Result<Self, Error>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        Ok(match version {
            Version::H1 => {
                let (sender, connection) = hyper::client::conn::http1::handshake(io).await?;
                tokio::spawn(connection);
                Self::H1(sender)
            }
            Version::H2 => {
                let (sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Self::H2(sender)
            }
        })
    }

    /// Whether it takes another request.
    async fn is_usable(&mut self) -> bool {
        match self {
            Self::H1(sender) => sender.ready().await.is_ok(),
            Self::H2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn get(&mut self, ask: &Ask, path: &str) -> Result<Answer, Error> {
        let request = Request::builder().method("GET");
        let answer = match self {
            Self::H1(sender) => {
                let request = request.uri(path).header("host", ask.host).body(Full::default())?;
                sender.send_request(request).await?
            }
            Self::H2(sender) => {
                let scheme = if ask.tls.is_some() { "https" } else { "http" };
                let request = request.uri(format!("{scheme}://{}{path}", ask.host)).body(Full::default())?;
                sender.send_request(request).await?
            }
        };
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, trailers: None, body })
    }
}

async fn client(ask: Ask, facts: Arc<Facts>) {
    let mut connection: Option<Sender> = None;
    let mut had_one = false;
    let mut number = 0_u64;
    while !facts.is_over() {
        number += 1;
        let path = format!("/load/{number}");
        let before = ask.allowed.get();
        let mut sender = match connection.take() {
            // Closed while it was idle: no request was on it.
            Some(mut sender) => match sender.is_usable().await {
                true => sender,
                false => continue,
            },
            None => {
                if std::mem::replace(&mut had_one, true) && ask.how != How::Fresh {
                    facts.reconnects.fetch_add(1, Ordering::Relaxed);
                }
                match Sender::connect(&ask).await {
                    Ok(sender) => sender,
                    Err(error) => {
                        facts.broke(format!("connect {} {:?}: {error}", ask.host, ask.how));
                        continue;
                    }
                }
            }
        };
        match sender.get(&ask, &path).await {
            Ok(answer) => match check(&answer, &path, &before, &ask.allowed.get()) {
                Ok(()) => {
                    facts.answered.fetch_add(1, Ordering::Relaxed);
                    if ask.how != How::Fresh {
                        connection = Some(sender);
                    }
                }
                Err(wrong) => facts.fail(format!("{} {:?} {path}: {wrong}", ask.host, ask.how)),
            },
            // Its connection ended before the request was on it: no server has seen it, and any client asks again.
            Err(error) if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) => {}
            Err(error) => {
                let mut words = error.to_string();
                let mut cause = error.source();
                while let Some(inner) = cause {
                    words = format!("{words}: {inner}");
                    cause = inner.source();
                }
                facts.broke(format!("{} {:?} {path}: {words}", ask.host, ask.how));
            }
        }
    }
}

fn check(answer: &Answer, path: &str, before: &[&str], after: &[&str]) -> Result<(), String> {
    let text = answer.text();
    if answer.status != 200 {
        return Err(format!("status {} {text:?}", answer.status));
    }
    let (name, echoed) = text.split_once(' ').unwrap_or_default();
    if !before.contains(&name) && !after.contains(&name) {
        return Err(format!("answered by {name:?}, not by {before:?} or {after:?}"));
    }
    (echoed == path).then_some(()).ok_or_else(|| format!("body {text:?}"))
}

async fn tunnel(address: SocketAddr, host: &'static str, facts: Arc<Facts>) {
    let mut had_one = false;
    while !facts.is_over() {
        if std::mem::replace(&mut had_one, true) {
            facts.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(error) = through(address, host, &facts).await {
            if facts.tunnels_pardoned.load(Ordering::SeqCst) {
                continue;
            }
            facts.broke(format!("tunnel {host}: {error}"));
        }
    }
}

/// Opens a WebSocket and sends bytes until the end.
async fn through(address: SocketAddr, host: &str, facts: &Facts) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(String::from_utf8_lossy(&head).into());
    }
    let mut number = 0_u64;
    while !facts.is_over() {
        number += 1;
        stream.write_u64(number).await?;
        if stream.read_u64().await? != number {
            return Err("other bytes came back".into());
        }
        facts.answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Ok(())
}

/// An upstream that answers its name and the request's path.
pub async fn named(ip: Ipv4Addr, name: &'static str) -> Scripted {
    scripted(ip, move |request| async move {
        let text = format!("{name} {}", request.uri().path());
        http::Response::new(body(text))
    })
    .await
}

/// An upstream that takes every upgrade and echoes. It lives as long as the runtime.
pub async fn echoing(ip: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                stream
                    .write_all(
                        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                          sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                    )
                    .await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}
