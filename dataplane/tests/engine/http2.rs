//! HTTP/2 on either side or both, gRPC on top of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::gateway::{retry, timeout, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

type Call = (Request<RecvStream>, server::SendResponse<Bytes>);

/// An HTTP/2 upstream; calls come out of the channel with the number of their connection.
struct H2Peer {
    address: SocketAddr,
    calls: mpsc::UnboundedReceiver<(usize, Call)>,
}

impl H2Peer {
    async fn bind() -> Self {
        Self::with(server::Builder::new()).await
    }

    async fn with(builder: server::Builder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let (sender, builder) = (sender.clone(), builder.clone());
                tokio::spawn(async move {
                    let mut connection = builder.handshake::<_, Bytes>(tcp).await.unwrap();
                    while let Some(Ok(call)) = connection.accept().await {
                        if sender.send((number, call)).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        H2Peer { address, calls }
    }

    async fn call(&mut self) -> Call {
        tokio::time::timeout(Duration::from_secs(10), self.calls.recv()).await.expect("no call").unwrap().1
    }
}

async fn connect(gateway: &Gateway) -> client::SendRequest<Bytes> {
    let (send, connection) =
        client::handshake(TcpStream::connect(gateway.address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    send.ready().await.unwrap()
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://a.test{path}"))
}

async fn get(send: &mut client::SendRequest<Bytes>, path: &str) -> Response<RecvStream> {
    *send = send.clone().ready().await.unwrap();
    let (response, _) = send.send_request(request("GET", path).body(()).unwrap(), true).unwrap();
    tokio::time::timeout(Duration::from_secs(10), response).await.expect("no answer").unwrap()
}

async fn body(stream: &mut RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut all = Vec::new();
    while let Some(piece) =
        tokio::time::timeout(Duration::from_secs(10), stream.data()).await.expect("no data")
    {
        let piece = piece.unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    (all, stream.trailers().await.unwrap())
}

fn ok() -> Response<()> {
    Response::new(())
}

#[tokio::test]
async fn http2_in_http1_out() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut send = connect(&gateway).await;
    let request =
        request("POST", "/a?b").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
    let (response, mut stream) = send.send_request(request.body(()).unwrap(), false).unwrap();
    stream.send_data("hello".into(), true).unwrap();
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert!(head.starts_with("POST /a?b HTTP/1.1\r\nHost: a.test\r\n"), "{head}");
    assert_eq!(header(&head, "cookie"), Some("a=1; b=2"));
    assert_eq!(header(&head, "te"), Some("trailers"));
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(upstream.chunked().await, b"hello");
    upstream
        .send("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\nkeep-alive: x\r\nx-y: z\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-y"], "z");
    assert!(!response.headers().contains_key("keep-alive"));
    assert_eq!(body(response.body_mut()).await.0, b"ok");
    // Without a body, and on the same upstream connection.
    let answer = tokio::spawn(async move { get(&mut send, "/2").await });
    let head = upstream.serve("two").await;
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert_eq!(body(answer.await.unwrap().body_mut()).await.0, b"two");
    let line = &gateway.lines(2).await[0];
    assert_eq!((line["protocol"].as_str(), line["bytes_received"].as_u64()), (Some("HTTP/2"), Some(5)));
    assert_eq!(line["bytes_sent"], 2);
}

#[tokio::test]
async fn http1_in_http2_out() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST /a?b HTTP/1.1\r\nHost: a.test\r\nConnection: x\r\nX: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    let (mut call, mut respond) = peer.call().await;
    assert_eq!(call.uri(), "http://a.test/a?b");
    for name in ["connection", "x", "transfer-encoding", "host"] {
        assert!(!call.headers().contains_key(name), "{name}");
    }
    assert_eq!(body(call.body_mut()).await.0, b"hello");
    let mut stream = respond.send_response(ok(), false).unwrap();
    stream.send_data("abc".into(), true).unwrap();
    let head = client.head().await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(client.chunked().await, b"abc");
    // An answer without a body, and a request without one, on the same connection.
    client.send("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    let (call, mut respond) = peer.call().await;
    assert!(call.body().is_end_stream());
    respond.send_response(ok(), true).unwrap();
    assert_eq!(client.answer().await.1, "");
}

#[tokio::test]
async fn http2_in_http2_out_with_trailers() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut send = connect(&gateway).await;
    let grpc = request("POST", "/echo.Echo/Unary")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (response, mut stream) = send.send_request(grpc.body(()).unwrap(), false).unwrap();
    stream.send_data("question".into(), true).unwrap();
    let (mut call, mut respond) = peer.call().await;
    assert_eq!(call.headers()["te"], "trailers");
    assert_eq!(body(call.body_mut()).await.0, b"question");
    let mut out = respond.send_response(ok(), false).unwrap();
    out.send_data("answer".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    out.send_trailers(trailers).unwrap();
    let mut response = response.await.unwrap();
    let (data, trailers) = body(response.body_mut()).await;
    assert_eq!(data, b"answer");
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    // Trailers-only.
    let (response, _) = send.send_request(request("POST", "/x").body(()).unwrap(), true).unwrap();
    let (_, mut respond) = peer.call().await;
    respond.send_response(Response::builder().header("grpc-status", "12").body(()).unwrap(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn streams_in_both_directions_move_message_by_message() {
    let mut peer = H2Peer::bind().await;
    // The limit does not begin while the client may still send.
    let gateway = Gateway::start(Table::to_h2(peer.address).with(&[timeout(100)])).await;
    let mut send = connect(&gateway).await;
    let (response, mut stream) =
        send.send_request(request("POST", "/bidi").body(()).unwrap(), false).unwrap();
    let (mut call, mut respond) = peer.call().await;
    let mut out = respond.send_response(ok(), false).unwrap();
    let mut response = response.await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    for round in 0..50 {
        let message = Bytes::from(format!("ping {round}"));
        stream.send_data(message.clone(), false).unwrap();
        assert_eq!(call.body_mut().data().await.unwrap().unwrap(), message);
        let message = Bytes::from(format!("pong {round}"));
        out.send_data(message.clone(), false).unwrap();
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), message);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(body(call.body_mut()).await.0.is_empty());
    out.send_data(Bytes::new(), true).unwrap();
    assert!(body(response.body_mut()).await.0.is_empty());
}

#[tokio::test]
async fn a_large_body_goes_through_http2_unchanged() {
    const SIZE: usize = 5_000_000;
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut send = connect(&gateway).await;
    let (response, mut stream) = send.send_request(request("POST", "/").body(()).unwrap(), false).unwrap();
    let payload: Bytes = (0..=250u8).cycle().take(SIZE).collect::<Vec<_>>().into();
    let sent = payload.clone();
    tokio::spawn(async move {
        stream.reserve_capacity(SIZE);
        let mut rest = sent;
        while !rest.is_empty() {
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
            stream.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let (mut call, mut respond) = peer.call().await;
    tokio::spawn(async move {
        let mut out = respond.send_response(ok(), false).unwrap();
        while let Some(piece) = call.body_mut().data().await {
            let mut piece = piece.unwrap();
            call.body_mut().flow_control().release_capacity(piece.len()).unwrap();
            while !piece.is_empty() {
                out.reserve_capacity(piece.len());
                let mut room = out.capacity();
                if room == 0 {
                    room = std::future::poll_fn(|cx| out.poll_capacity(cx)).await.unwrap().unwrap();
                }
                out.send_data(piece.split_to(room.min(piece.len())), false).unwrap();
            }
        }
        out.send_data(Bytes::new(), true).unwrap();
    });
    let mut response = response.await.unwrap();
    assert!(body(response.body_mut()).await.0 == payload, "bytes were lost or changed");
}

#[tokio::test]
async fn a_client_that_resets_its_stream_ends_the_try_only() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut send = connect(&gateway).await;
    let (response, mut stream) = send.send_request(request("POST", "/").body(()).unwrap(), false).unwrap();
    let (mut call, mut respond) = peer.call().await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    let error = call.body_mut().data().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    assert!(std::future::poll_fn(|cx| respond.poll_reset(cx)).await.is_ok());
    assert_eq!(gateway.line().await["reason"], "client_disconnect");
    // The connections on both sides go on.
    let answer = tokio::spawn(async move { get(&mut send, "/2").await });
    let (_, mut respond) = peer.call().await;
    respond.send_response(ok(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn many_requests_at_once_share_one_new_connection() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut send = connect(&gateway).await;
    let mut answers = Vec::new();
    for number in 0..60 {
        send = send.ready().await.unwrap();
        answers.push(
            send.send_request(request("GET", &format!("/{number}")).body(()).unwrap(), true).unwrap().0,
        );
    }
    for _ in 0..60 {
        let (connection, (_, mut respond)) = peer.calls.recv().await.unwrap();
        assert_eq!(connection, 0, "a second connection was opened");
        respond.send_response(ok(), true).unwrap();
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert!(gateway.metrics().contains("envoy_cluster_upstream_cx_total{envoy_cluster_name=\"up\"} 1"));
}

#[tokio::test]
async fn a_dead_upstream_fails_all_waiting_requests_at_once() {
    let gateway = Gateway::start(Table::to_h2(Peer::nowhere().await)).await;
    let mut send = connect(&gateway).await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        send = send.ready().await.unwrap();
        answers.push(send.send_request(request("GET", "/").body(()).unwrap(), true).unwrap().0);
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 503);
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address).with(&[retry(&["refused-stream"], 1, 0)])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi").await;
    let (_, mut respond) = peer.call().await;
    respond.send_reset(h2::Reason::REFUSED_STREAM);
    let (mut call, mut respond) = peer.call().await;
    assert_eq!(body(call.body_mut()).await.0, b"hi");
    respond.send_response(ok(), true).unwrap();
    assert_eq!(status(&client.answer().await.0), 200);
}

#[tokio::test]
async fn time_limits_cancel_the_stream_and_keep_the_connection() {
    let mut peer = H2Peer::bind().await;
    let gateway =
        Gateway::start(Table::to_h2(peer.address).with(&[retry(&["5xx"], 1, 100), timeout(5000)])).await;
    let mut send = connect(&gateway).await;
    for _ in 0..3 {
        let mut sender = send.clone();
        let answer = tokio::spawn(async move { get(&mut sender, "/").await });
        for _ in 0..2 {
            let (connection, (_, mut respond)) = peer.calls.recv().await.unwrap();
            assert_eq!(connection, 0);
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            assert_eq!(reset, h2::Reason::CANCEL);
        }
        assert_eq!(answer.await.unwrap().status(), 504);
    }
    send = send.ready().await.unwrap();
    let answer = tokio::spawn(async move { get(&mut send, "/").await });
    let (connection, (_, mut respond)) = peer.calls.recv().await.unwrap();
    assert_eq!(connection, 0);
    respond.send_response(ok(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test]
async fn grpc_clients_are_told_in_their_own_terms() {
    let peer = H2Peer::bind().await;
    let table = Table::default()
        .upstream("up", &[peer.address], true)
        .upstream("dead", &[Peer::nowhere().await], true)
        .route("/slow", to("up"), &[timeout(100)])
        .route("/dead", to("dead"), &[]);
    let gateway = Gateway::start(table).await;
    let mut send = connect(&gateway).await;
    for (path, code, message) in [
        ("/slow", "14", Some("upstream request timeout")),
        (
            "/dead",
            "14",
            Some(
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
            ),
        ),
        ("/none", "12", None),
    ] {
        let grpc = request("POST", path).header("content-type", "application/grpc");
        send = send.ready().await.unwrap();
        let (response, _) = send.send_request(grpc.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], code, "{path}");
        assert_eq!(response.headers().get("grpc-message").map(|value| value.to_str().unwrap()), message);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert!(response.body().is_end_stream(), "trailers-only");
    }
    let lines = gateway.lines(3).await;
    assert_eq!(lines[0]["status"], 504, "the log has the HTTP status");
    assert_eq!(lines[2]["reason"], "no_route");
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut send = connect(&gateway).await;
    let (response, mut stream) = send.send_request(request("POST", "/").body(()).unwrap(), false).unwrap();
    stream.send_data(vec![0; 1000].into(), false).unwrap();
    let (_, mut respond) = peer.call().await;
    let mut out = respond.send_response(Response::builder().status(413).body(()).unwrap(), false).unwrap();
    out.send_data("big".into(), true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(body(response.body_mut()).await.0, b"big");
}

#[tokio::test]
async fn an_unread_stream_does_not_stop_its_siblings() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut send = connect(&gateway).await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        send = send.ready().await.unwrap();
        unread.push(send.send_request(request("GET", "/").body(()).unwrap(), true).unwrap().0);
        let (_, mut respond) = peer.call().await;
        let mut out = respond.send_response(ok(), false).unwrap();
        tokio::spawn(async move {
            loop {
                out.reserve_capacity(100_000);
                let Some(Ok(room)) = std::future::poll_fn(|cx| out.poll_capacity(cx)).await else { return };
                if out.send_data(vec![0; room].into(), false).is_err() {
                    return;
                }
            }
        });
    }
    // A client of its own: the first one's connection window is used up by then.
    let mut other = connect(&gateway).await;
    let answer = tokio::spawn(async move { get(&mut other, "/").await });
    let (_, mut respond) = peer.call().await;
    let mut out = respond.send_response(ok(), false).unwrap();
    out.send_data(vec![1; 10_000].into(), true).unwrap();
    assert_eq!(body(answer.await.unwrap().body_mut()).await.0.len(), 10_000);
}

#[tokio::test]
async fn a_drain_says_goodbye_and_lets_streams_end() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let (send, connection) =
        client::handshake(TcpStream::connect(gateway.address).await.unwrap()).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let (response, _) = send.send_request(request("GET", "/").body(()).unwrap(), true).unwrap();
    let (_, mut respond) = peer.call().await;
    gateway.drain.send(true).unwrap();
    respond.send_response(ok(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    tokio::time::timeout(Duration::from_secs(10), connection).await.expect("still open").unwrap().unwrap();
}

#[tokio::test]
async fn malformed_http2_requests_are_refused() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    for (uri, fields) in [
        ("http://a.test/%00", vec![]),
        ("http://a,b/", vec![]),
        ("ftp://a.test/", vec![]),
        ("http://a.test/", vec![("content-length", "5")]),
        ("http://a.test/", vec![("x", " 1")]),
        ("http://a.test/", vec![("x", "1\t")]),
    ] {
        let mut send = connect(&gateway).await;
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let (response, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
        match response.await {
            Ok(response) => assert_eq!(response.status(), 400, "{uri}"),
            Err(error) => assert!(error.is_reset(), "{uri}: {error}"),
        }
    }
    assert!(peer.calls.try_recv().is_err(), "something reached the upstream");
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_header() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut send = connect(&gateway).await;
    let mut upstream: Option<Wire> = None;
    for (method, answer) in [
        ("HEAD", "200 OK\r\ncontent-length: 9\r\n"),
        ("GET", "204 No Content\r\n"),
        ("GET", "304 Not Modified\r\n"),
        ("GET", "200 OK\r\ncontent-length: 0\r\n"),
    ] {
        send = send.ready().await.unwrap();
        let (response, _) = send.send_request(request(method, "/").body(()).unwrap(), true).unwrap();
        if upstream.is_none() {
            upstream = Some(peer.accept().await);
        }
        let upstream = upstream.as_mut().unwrap();
        upstream.head().await;
        upstream.send(format!("HTTP/1.1 {answer}\r\n")).await;
        let response = response.await.unwrap();
        assert_eq!(response.status().as_str(), &answer[..3]);
        assert!(response.body().is_end_stream(), "{method} {answer}");
        if method == "HEAD" {
            assert_eq!(response.headers()["content-length"], "9");
        }
    }
}

#[tokio::test]
async fn many_small_frames_are_no_flood() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut send = connect(&gateway).await;
    let (response, mut stream) = send.send_request(request("POST", "/").body(()).unwrap(), false).unwrap();
    for _ in 0..2000 {
        stream.send_data("x".into(), false).unwrap();
    }
    // With content: an empty last frame would be one of another kind.
    stream.send_data("x".into(), true).unwrap();
    let mut upstream = peer.accept().await;
    upstream.head().await;
    assert_eq!(upstream.chunked().await.len(), 2001);
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn data_after_an_answer_without_content_is_dropped() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        let (_call, mut respond) = peer.call().await;
        let mut stream =
            respond.send_response(Response::builder().status(204).body(()).unwrap(), false).unwrap();
        // The stream may be reset by now.
        let _ = stream.send_data("HTTP/1.1 200 OK".into(), true);
        let head = client.head().await;
        assert_eq!(status(&head), 204);
        assert_eq!(header(&head, "transfer-encoding"), None);
    }
}

#[tokio::test]
async fn grpc_web_is_spoken_without_being_asked_for() {
    let mut peer = H2Peer::bind().await;
    let gateway = Gateway::start(Table::to_h2(peer.address)).await;
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "POST /a.B/C HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc-web-text\r\n\
             Accept: application/grpc-web-text\r\nContent-Length: 12\r\n\r\nAAAAAAJoaQ==",
        )
        .await;
    let (mut call, mut respond) = peer.call().await;
    assert_eq!(call.headers()["content-type"], "application/grpc");
    assert_eq!(call.headers()["te"], "trailers");
    assert_eq!(body(call.body_mut()).await.0, b"\0\0\0\0\x02hi");
    let answer = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut out = respond.send_response(answer, false).unwrap();
    out.send_data(Bytes::from_static(b"\0\0\0\0\x02ok"), false).unwrap();
    out.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]))
        .unwrap();
    let head = client.head().await;
    assert_eq!(header(&head, "content-type"), Some("application/grpc-web-text+proto"));
    // Base64 of the message, and of the frame 0x80 with the 15 bytes `grpc-status:0\r\n`.
    assert_eq!(client.chunked().await, b"AAAAAAJvaw==gAAAAA9ncnBjLXN0YXR1czowDQo=");
    // A local answer is one of gRPC too, and keeps its status.
    let gateway = Gateway::start(Table::to_h2(Peer::nowhere().await)).await;
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST /a.B/C HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 0\r\n\r\n")
        .await;
    let (head, _) = client.answer().await;
    assert_eq!((status(&head), header(&head, "grpc-status")), (503, Some("14")));
    assert_eq!(header(&head, "content-type"), Some("application/grpc-web+proto"));
}
