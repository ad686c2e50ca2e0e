//! A user's own auth server decides about requests.

use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::service::auth::v3 as auth;
use portcullis_proto::envoy::r#type::v3::HttpStatus;
use portcullis_proto::google::rpc;
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as table;

use crate::gateway::{any, to};
use crate::grpc::{AuthServer, auth_server};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

fn by_grpc() -> policy::ExtAuth {
    policy::ExtAuth {
        upstream: "auth".into(),
        timeout_ms: 10_000,
        service: Some(policy::ext_auth::Service::Grpc(policy::ExtAuthGrpc::default())),
        ..Default::default()
    }
}

fn by_http(service: policy::ExtAuthHttp) -> policy::ExtAuth {
    policy::ExtAuth { service: Some(policy::ext_auth::Service::Http(service)), ..by_grpc() }
}

fn field(key: &str, value: &str) -> core::HeaderValueOption {
    let header = core::HeaderValue { key: key.into(), value: value.into(), raw_value: vec![] };
    core::HeaderValueOption { header: Some(header), ..Default::default() }
}

fn with_status(code: i32, response: auth::check_response::HttpResponse) -> auth::CheckResponse {
    auth::CheckResponse {
        status: Some(rpc::Status { code, message: String::new() }),
        http_response: Some(response),
        dynamic_metadata: None,
    }
}

/// Lets those pass that have a token, and says who they are.
async fn server() -> AuthServer {
    auth_server(|request| {
        let http = request.attributes.as_ref().unwrap().request.as_ref().unwrap().http.as_ref().unwrap();
        Ok(match http.headers.get("authorization").map(String::as_str) {
            Some("good") => {
                let ok = auth::OkHttpResponse {
                    headers: vec![field("x-user", "bob")],
                    headers_to_remove: vec!["authorization".into()],
                    response_headers_to_add: vec![field("x-checked", "yes")],
                    ..Default::default()
                };
                with_status(0, auth::check_response::HttpResponse::OkResponse(ok))
            }
            _ => {
                let denied = auth::DeniedHttpResponse {
                    status: Some(HttpStatus { code: 401 }),
                    headers: vec![field("www-authenticate", "Token")],
                    body: "who?".into(),
                };
                with_status(16, auth::check_response::HttpResponse::DeniedResponse(denied))
            }
        })
    })
    .await
}

async fn gateway(auth: std::net::SocketAddr, http2: bool, peer: &Peer, rule: policy::ExtAuth) -> Gateway {
    Gateway::start(Table::to(peer.address).with(&[any(&rule)]).upstream("auth", &[auth], http2)).await
}

#[tokio::test]
async fn a_server_by_grpc_lets_pass_and_denies() {
    let (auth, peer) = (server().await, Peer::bind().await);
    let gateway = gateway(auth.address, true, &peer, by_grpc()).await;
    let (mut client, mut upstream, head) =
        gateway.forwarded(&peer, "GET /a?b=c HTTP/1.1\r\nHost: h.test\r\nAuthorization: good\r\n\r\n").await;
    assert_eq!((header(&head, "x-user"), header(&head, "authorization")), (Some("bob"), None));
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (head, body) = client.answer().await;
    assert_eq!((header(&head, "x-checked"), body.as_str()), (Some("yes"), "ok"));

    let (head, body) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((status(&head), body.as_str()), (401, "who?"));
    assert_eq!(header(&head, "www-authenticate"), Some("Token"));
    let line = gateway.lines(2).await.pop().unwrap();
    assert_eq!((&line["flags"], &line["reason"]), (&"UAEX".into(), &"ext_authz_denied".into()), "{line}");
    let asked = auth.asked();
    let http = asked[0].attributes.as_ref().unwrap().request.as_ref().unwrap().http.as_ref().unwrap();
    assert_eq!((http.path.as_str(), http.host.as_str()), ("/a?b=c", "h.test"));
}

#[tokio::test]
async fn without_an_answer_requests_stay_out_unless_allowed() {
    let (nowhere, peer) = (Peer::nowhere().await, Peer::bind().await);
    let closed = gateway(nowhere, true, &peer, by_grpc()).await;
    let mut client = Wire::connect(closed.address).await;
    let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&head), 403);
    assert_eq!(closed.line().await["reason"], "ext_authz_error");

    let silent = Peer::bind().await;
    let late = policy::ExtAuth { timeout_ms: 50, status_on_error: 503, ..by_grpc() };
    let late = gateway(silent.address, true, &peer, late).await;
    let (head, _) = Wire::connect(late.address).await.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(status(&head), 503);

    let open = policy::ExtAuth { failure_mode_allow: true, ..by_grpc() };
    let open = gateway(nowhere, true, &peer, open).await;
    open.forwarded(&peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
}

#[tokio::test]
async fn a_server_by_http_sees_what_it_may_and_answers_by_status() {
    let (auth, peer) = (Peer::bind().await, Peer::bind().await);
    let rule = by_http(policy::ExtAuthHttp {
        path_prefix: "/check".into(),
        allowed_headers: vec!["x-token".into()],
        upstream_headers: vec!["x-user".into()],
        client_headers: vec!["x-why".into()],
        ..Default::default()
    });
    let gateway = gateway(auth.address, false, &peer, rule).await;
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST /a HTTP/1.1\r\nHost: h\r\nX-Token: t\r\nAccept: a\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    let mut server = auth.accept().await;
    let head = server.head().await;
    assert!(head.starts_with("POST /check/a HTTP/1.1\r\n"), "{head}");
    assert_eq!((header(&head, "host"), header(&head, "x-token")), (Some("h"), Some("t")));
    assert_eq!((header(&head, "accept"), header(&head, "content-length")), (None, Some("0")));
    server.send("HTTP/1.1 200 OK\r\nx-user: bob\r\nx-other: 1\r\ncontent-length: 0\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert_eq!((header(&head, "x-user"), header(&head, "x-other")), (Some("bob"), None));
    assert_eq!(upstream.take(2).await, b"hi");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    client.answer().await;

    client.send("GET /b HTTP/1.1\r\nHost: h\r\n\r\n").await;
    server.head().await;
    server.send("HTTP/1.1 403 No\r\nx-why: so\r\nx-other: 1\r\ncontent-length: 3\r\n\r\nno!").await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (403, "no!"));
    assert_eq!((header(&head, "x-why"), header(&head, "x-other")), (Some("so"), None));
}

#[tokio::test]
async fn the_body_goes_to_the_server_and_then_upstream() {
    let (auth, peer) = (server().await, Peer::bind().await);
    let body = policy::ExtAuthBody { max_bytes: 5, allow_partial: false, as_bytes: true };
    let whole = gateway(auth.address, true, &peer, policy::ExtAuth { body: Some(body), ..by_grpc() }).await;
    let (_client, mut upstream, _) = whole
        .forwarded(
            &peer,
            "POST / HTTP/1.1\r\nHost: h\r\nAuthorization: good\r\nContent-Length: 5\r\n\r\nhello",
        )
        .await;
    assert_eq!(upstream.take(5).await, b"hello");
    let mut client = Wire::connect(whole.address).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nAuthorization: good\r\nContent-Length: 6\r\n\r\nhello!").await;
    assert_eq!(status(&client.head().await), 413);

    let body = policy::ExtAuthBody { allow_partial: true, ..body };
    let partial = gateway(auth.address, true, &peer, policy::ExtAuth { body: Some(body), ..by_grpc() }).await;
    let mut client = Wire::connect(partial.address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nAuthorization: good\r\nContent-Length: 12\r\n\r\nhello ")
        .await;
    // The rest comes when the server has decided already.
    let mut upstream = peer.accept().await;
    let head = upstream.head().await;
    assert_eq!(header(&head, "content-length"), Some("12"));
    client.send("world!").await;
    assert_eq!(upstream.take(12).await, b"hello world!");
    let bodies: Vec<_> = auth
        .asked()
        .into_iter()
        .map(|it| it.attributes.unwrap().request.unwrap().http.unwrap())
        .map(|http| (http.raw_body, http.headers["x-envoy-auth-partial-body"].clone()))
        .collect();
    assert_eq!(bodies, [(b"hello".to_vec(), "false".into()), (b"hello".to_vec(), "true".into())]);
}

#[tokio::test]
async fn the_route_may_be_chosen_again_by_what_the_server_says() {
    let (auth, peer, other) = (server().await, Peer::bind().await, Peer::bind().await);
    let rule = policy::ExtAuth { clear_route_cache: true, ..by_grpc() };
    let by_user = table::Match {
        headers: vec![table::HeaderMatch {
            name: "x-user".into(),
            value: Some(table::header_match::Value::Exact("bob".into())),
            ..Default::default()
        }],
        ..crate::gateway::prefix("/")
    };
    let table = Table::default()
        .upstream("up", &[peer.address], false)
        .upstream("other", &[other.address], false)
        .upstream("auth", &[auth.address], true)
        .match_route(by_user, to("other"), &[any(&rule)])
        .route("/", to("up"), &[any(&rule)]);
    let gateway = Gateway::start(table).await;
    gateway.forwarded(&other, "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: good\r\n\r\n").await;
    assert_eq!(auth.asked().len(), 1);
}
