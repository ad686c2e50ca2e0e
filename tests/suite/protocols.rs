//! HTTP/1.1 and HTTP/2 on both sides, gRPC, WebSocket, streams.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use portcullis_tests::backend::{Body, Scripted, body, scripted, upstream};
use portcullis_tests::client::{self, Version};
use portcullis_tests::gateway::Gateway;
use tokio::net::TcpStream;

use crate::{forward, virtual_service};

/// A gateway whose `/h1` goes to the backend by HTTP/1.1 and whose `/h2` by HTTP/2.
async fn both_ways(backend: &Scripted, gateway: Gateway) -> Gateway {
    gateway.write(
        "us.yaml",
        &(upstream("h1", backend.address, "") + &upstream("h2", backend.address, "  useHttp2: true\n")),
    );
    let routes =
        ["/h1", "/h2"].map(|p| format!("{}      options: {{timeout: 0s}}\n", forward(p, &p[1..]))).concat();
    gateway.write("vs.yaml", &virtual_service("p", "['p.test']", &routes));
    gateway.start().await
}

async fn echo(request: http::Request<hyper::body::Incoming>) -> Response<Body> {
    let version = format!("{:?}", request.version());
    let body = request.into_body().map_err(|_| unreachable_body()).boxed_unsync();
    Response::builder().header("x-version", version).body(body).unwrap()
}

fn unreachable_body() -> std::convert::Infallible {
    panic!("the request body broke off")
}

#[tokio::test]
async fn all_four_pairs_of_versions_carry_bodies_both_ways() {
    let gateway = Gateway::new();
    let backend = scripted(gateway.ip, echo).await;
    let gateway = both_ways(&backend, gateway).await;
    let big = Bytes::from(vec![b'x'; 3 << 20]);
    for down in [Version::H1, Version::H2] {
        for (path, up) in [("/h1", "HTTP/1.1"), ("/h2", "HTTP/2.0")] {
            for content in [Bytes::new(), Bytes::from_static(b"small"), big.clone()] {
                let stream = TcpStream::connect(gateway.http()).await.unwrap();
                let answer =
                    client::send(stream, down, "http", "POST", "p.test", path, &[], content.clone()).await;
                let answer = answer.unwrap_or_else(|e| panic!("{down:?} {path} {}: {e}", content.len()));
                assert_eq!((answer.status, answer.header("x-version")), (200, up), "{down:?} {path}");
                assert!(
                    answer.body == content,
                    "{down:?} {path}: {} of {} bytes",
                    answer.body.len(),
                    content.len()
                );
            }
        }
    }
}

#[tokio::test]
async fn grpc_streams_both_ways_with_trailers() {
    let gateway = Gateway::new();
    let backend = scripted(gateway.ip, async |request| {
        // Answers each message as it comes and ends with trailers: a bidirectional stream.
        let frames = request.into_body().into_data_stream().map(|chunk| Ok(Frame::data(chunk.unwrap())));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = frames.chain(futures::stream::once(async { Ok(Frame::trailers(trailers)) }));
        Response::builder()
            .header("content-type", "application/grpc")
            .body(UnsyncBoxBody::new(StreamBody::new(frames)))
            .unwrap()
    })
    .await;
    let gateway = both_ways(&backend, gateway).await;

    let stream = TcpStream::connect(gateway.http()).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://p.test/h2")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut out) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    out.send_data(Bytes::from_static(b"one"), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let mut incoming = response.into_body();
    assert_eq!(incoming.data().await.unwrap().unwrap(), "one", "answered while the request is still open");
    out.send_data(Bytes::from_static(b"two"), true).unwrap();
    assert_eq!(incoming.data().await.unwrap().unwrap(), "two");
    let trailers = incoming.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_grpc_call_without_a_route_gets_a_grpc_status() {
    let gateway = Gateway::new();
    let backend = scripted(gateway.ip, async |_| Response::new(body(""))).await;
    let gateway = both_ways(&backend, gateway).await;
    let stream = TcpStream::connect(gateway.http()).await.unwrap();
    let headers = &[("content-type", "application/grpc"), ("te", "trailers")];
    let answer =
        client::send(stream, Version::H2, "http", "POST", "p.test", "/unknown.Service/Call", headers, "")
            .await
            .unwrap();
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "12"), "{answer:?}");
}

#[tokio::test]
async fn websockets_pass_messages_and_closing() {
    let gateway = Gateway::new();
    let listener = tokio::net::TcpListener::bind((gateway.ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    gateway.write("us.yaml", &upstream("ws", address, ""));
    gateway.write("vs.yaml", &virtual_service("ws", "['ws.test']", &forward("/", "ws")));
    let gateway = gateway.start().await;
    let stream = TcpStream::connect(gateway.http()).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://ws.test/chat", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    for text in ["hello".to_owned(), "x".repeat(1 << 20)] {
        socket.send(text.clone().into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_by_the_upstream() {
    let gateway = Gateway::new();
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel::<()>();
    struct OnDrop(tokio::sync::mpsc::UnboundedSender<()>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (seen, mut is_seen) = tokio::sync::mpsc::unbounded_channel::<()>();
    let backend = scripted(gateway.ip, move |_| {
        let (guard, seen) = (OnDrop(gone.clone()), seen.clone());
        async move {
            seen.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(guard);
            Response::new(body(""))
        }
    })
    .await;
    let gateway = both_ways(&backend, gateway).await;
    for path in ["/h1", "/h2"] {
        let asking = tokio::spawn(client::request(gateway.http(), "GET", "p.test", path, &[], ""));
        is_seen.recv().await.unwrap();
        asking.abort();
        tokio::time::timeout(portcullis_tests::wait::PATIENCE, is_gone.recv())
            .await
            .unwrap_or_else(|_| panic!("{path}: the upstream was not told"))
            .unwrap();
    }
}

#[tokio::test]
async fn http_1_0_head_and_bodyless_answers() {
    let gateway = Gateway::new();
    let backend = scripted(gateway.ip, async |request| {
        let status = if request.uri().path().ends_with("204") { 204 } else { 200 };
        let text = if status == 204 { "" } else { "hello" };
        Response::builder().status(status).body(body(text)).unwrap()
    })
    .await;
    let gateway = both_ways(&backend, gateway).await;
    let old = client::raw(gateway.http(), b"GET /h1 HTTP/1.0\r\nHost: p.test\r\n\r\n").await.unwrap();
    // Unless the listener accepts it.
    assert!(old.contains(" 426 "), "{old}");
    let head = client::request(gateway.http(), "HEAD", "p.test", "/h1", &[], "").await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    let empty = client::request(gateway.http(), "GET", "p.test", "/h1/204", &[], "").await.unwrap();
    assert_eq!((empty.status, empty.body.len()), (204, 0));
    let continued = client::raw(
        gateway.http(),
        b"POST /h2 HTTP/1.1\r\nHost: p.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nhi",
    )
    .await
    .unwrap();
    assert!(continued.contains(" 200 "), "{continued}");
}
