//! Requests of the gateway's own: over its connections, within their limits.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use portcullis_dataplane::proxy::callout::{Call, CallError, Called, Code, GrpcCall, GrpcError};
use portcullis_proto::envoy::service::auth::v3 as auth;
use portcullis_proto::google::rpc;
use tonic::Status;

use crate::grpc::auth_server;
use crate::wire::header;
use crate::{Gateway, Peer, Table};

fn get(path: &'static str) -> Call {
    Call {
        method: Method::GET,
        target: PathAndQuery::from_static(path),
        authority: None,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(10),
        answer_limit: 100,
        discard: false,
    }
}

async fn call(gateway: &Gateway, call: Call) -> Result<Called, CallError> {
    let upstream = gateway.runtime.load().upstream("up").unwrap().clone();
    gateway.caller.call(upstream, call).await
}

#[tokio::test]
async fn a_call_goes_out_whole_and_its_connection_is_used_again() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let mut post = get("/check?a=b");
    post.method = Method::POST;
    post.authority = Some("auth.test".into());
    post.headers.insert("x-one", HeaderValue::from_static("1"));
    post.body = Bytes::from_static(b"hello");
    let serve = async {
        let mut wire = peer.accept().await;
        let head = wire.head().await;
        assert!(head.starts_with("POST /check?a=b HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "host"), Some("auth.test"));
        assert_eq!(header(&head, "x-one"), Some("1"));
        assert_eq!(header(&head, "content-length"), Some("5"));
        assert_eq!(wire.take(5).await, b"hello");
        wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nx-why: no\r\ntransfer-encoding: chunked\r\n\r\n2\r\nso\r\n0\r\n\r\n").await;
        let head = wire.serve("again").await;
        assert_eq!(header(&head, "host"), Some("up"));
    };
    let calls = async {
        let answer = call(&gateway, post).await.unwrap();
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.headers.get("x-why").unwrap(), "no");
        assert_eq!(answer.body, "so");
        assert_eq!(call(&gateway, get("/")).await.unwrap().body, "again");
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn a_stale_connection_is_replaced() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let serve = async {
        let mut wire = peer.accept().await;
        wire.serve("one").await;
        // The second request is read, and the connection ends.
        wire.head().await;
        drop(wire);
        peer.accept().await.serve("two").await;
    };
    let calls = async {
        assert_eq!(call(&gateway, get("/")).await.unwrap().body, "one");
        assert_eq!(call(&gateway, get("/")).await.unwrap().body, "two");
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn what_never_answers_what_is_too_large_and_what_is_not_there_are_errors() {
    let peer = Peer::bind().await;
    let gateway = Gateway::start(Table::to(peer.address)).await;
    let limit = Duration::from_millis(50);
    let error = call(&gateway, Call { timeout: limit, ..get("/") }).await.unwrap_err();
    assert_eq!(error, CallError::Timeout(limit));

    let large = Peer::always("0123456789").await;
    let gateway = Gateway::start(Table::to(large)).await;
    let error = call(&gateway, Call { answer_limit: 9, ..get("/") }).await.unwrap_err();
    assert_eq!(error, CallError::TooLarge(9));
    assert_eq!(call(&gateway, Call { answer_limit: 10, ..get("/") }).await.unwrap().body, "0123456789");

    let gateway = Gateway::start(Table::to(Peer::nowhere().await)).await;
    assert!(matches!(call(&gateway, get("/")).await, Err(CallError::Failed(_))));

    let gateway = Gateway::start(Table::default().upstream("up", &[], false)).await;
    assert_eq!(call(&gateway, get("/")).await, Err(CallError::NoEndpoint("up".into())));
}

#[tokio::test]
async fn a_grpc_call_brings_a_message_or_a_status() {
    let server = auth_server(|request| {
        let path = &request.attributes.as_ref().unwrap().context_extensions["path"];
        match path.as_str() {
            "/" => Ok(auth::CheckResponse {
                status: Some(rpc::Status { code: 7, message: "no".into() }),
                http_response: None,
                dynamic_metadata: None,
            }),
            _ => Err(Status::permission_denied("not here")),
        }
    })
    .await;
    let gateway = Gateway::start(Table::to_h2(server.address)).await;
    let ask = |path: &str| {
        let attributes = auth::AttributeContext {
            context_extensions: [("path".to_owned(), path.to_owned())].into(),
            ..Default::default()
        };
        let upstream = gateway.runtime.load().upstream("up").unwrap().clone();
        let call = GrpcCall {
            method: "/envoy.service.auth.v3.Authorization/Check",
            authority: None,
            metadata: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            answer_limit: 1000,
        };
        let request = auth::CheckRequest { attributes: Some(attributes) };
        gateway.caller.unary::<_, auth::CheckResponse>(upstream, call, &request)
    };
    assert_eq!(ask("/").await.unwrap().status.unwrap().message, "no");
    assert_eq!(ask("/x").await.unwrap_err(), GrpcError::Status(Code(7), "not%20here".into()));
    assert_eq!(ask("/").await.unwrap().status.unwrap().code, 7);
    assert_eq!(server.asked().len(), 3);

    let plain = Gateway::start(Table::to(server.address)).await;
    let upstream = plain.runtime.load().upstream("up").unwrap().clone();
    let call = GrpcCall {
        method: "/x/y",
        authority: None,
        metadata: HeaderMap::new(),
        timeout: Duration::from_secs(10),
        answer_limit: 1000,
    };
    let answer = plain.caller.unary::<_, ()>(upstream, call, &()).await;
    assert_eq!(answer.unwrap_err(), GrpcError::NotHttp2("up".into()));
}
