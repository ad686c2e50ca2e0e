//! Upstreams: the demo server as a process, and scripted servers inside the test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::client;
use crate::program;
use crate::wait::until;

/// A running `portcullis hello`.
pub struct Hello {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Child,
}

/// Starts `portcullis hello` on an address.
pub async fn hello(address: SocketAddr, name: &str) -> Hello {
    let process = Command::new(program("portcullis"))
        .args(["hello", "--listen", &address.to_string(), "--name", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("the demo upstream", async || client::get(address, "/").await.ok()).await;
    Hello { address, _process: process }
}

/// The YAML of a static Upstream.
#[must_use]
pub fn upstream(name: &str, address: SocketAddr, further: &str) -> String {
    format!(
        "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: {name}, namespace: gloo-system}}\nspec:\n  \
         static:\n    hosts:\n    - {{addr: {}, port: {}}}\n{further}",
        address.ip(),
        address.port()
    )
}

/// Body type of scripted servers.
pub type Body = UnsyncBoxBody<bytes::Bytes, Infallible>;

/// A server inside the test, HTTP/1.1 and HTTP/2 with prior knowledge; stops when dropped.
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves `answer` on a free port of the address.
pub async fn scripted<F, Fut>(ip: std::net::Ipv4Addr, answer: F) -> Scripted
where
    F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let answer = Arc::clone(&answer);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let answer = Arc::clone(&answer);
                    async move { Ok::<_, Infallible>(answer(request).await) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Scripted { address, serving }
}

/// A whole body.
#[must_use]
pub fn body(text: impl Into<bytes::Bytes>) -> Body {
    use http_body_util::BodyExt as _;
    UnsyncBoxBody::new(http_body_util::Full::new(text.into()).map_err(|never| match never {}))
}
