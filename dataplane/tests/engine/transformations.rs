//! Transformations by templates, through the engine.

use portcullis_proto::policy::v1 as policy;
use portcullis_proto::policy::v1::template_transform::Body;
use portcullis_proto::table::v1 as table;

use crate::gateway::{any, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

fn template(set: &[(&str, &str)], body: Option<&str>) -> policy::Transform {
    let set =
        set.iter().map(|(name, text)| policy::HeaderTemplate { name: (*name).into(), text: (*text).into() });
    let template = policy::TemplateTransform {
        set: set.collect(),
        body: body.map(|text| Body::Replace(text.into())),
        ..Default::default()
    };
    policy::Transform { kind: Some(policy::transform::Kind::Template(template)), log: false }
}

fn on_requests(request: policy::Transform, clear_route: bool, body_limit: u64) -> prost_types::Any {
    let rule = policy::RequestTransform { request: Some(request), clear_route, ..Default::default() };
    let stage = policy::TransformationStage { requests: vec![rule], body_limit, ..Default::default() };
    any(&policy::EarlyTransformation { stage: Some(stage) })
}

fn on_responses(response: policy::Transform, body_limit: u64) -> prost_types::Any {
    let rule = policy::ResponseTransform { response: Some(response), ..Default::default() };
    let stage = policy::TransformationStage { responses: vec![rule], body_limit, ..Default::default() };
    any(&policy::Transformation { stage: Some(stage) })
}

fn post(body: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_request_s_line_headers_and_body_are_new() {
    let peer = Peer::bind().await;
    let set = [(":method", "PUT"), (":path", "/users/{{ id }}"), ("x-kind", "{{ header(\":method\") }}")];
    let change = template(&set, Some("{\"name\":\"{{ user.name }}\"}"));
    let gateway = Gateway::start(Table::to(peer.address).with(&[on_requests(change, false, 0)])).await;
    let (mut client, mut upstream, head) =
        gateway.forwarded(&peer, post(r#"{"id":7,"user":{"name":"Ann"}}"#)).await;
    assert!(head.starts_with("PUT /users/7 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "x-kind"), Some("PUT"), "headers are set one after the other");
    assert_eq!(header(&head, "content-length"), Some("14"));
    assert_eq!(upstream.take(14).await, br#"{"name":"Ann"}"#);
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.1, "ok");

    client
        .send(
            "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"id\":8,\"user\":{\r\n",
        )
        .await;
    client.send("e\r\n\"name\":\"Bob\"}}\r\n0\r\n\r\n").await;
    let head = upstream.head().await;
    assert!(head.starts_with("PUT /users/8 "), "{head}");
    assert_eq!((header(&head, "transfer-encoding"), header(&head, "content-length")), (None, Some("14")));
    assert_eq!(upstream.take(14).await, br#"{"name":"Bob"}"#);
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_long_is_refused_and_goes_nowhere() {
    let peer = Peer::bind().await;
    let change = || template(&[], Some("{{ default(a, 1) }}"));
    let gateway = Gateway::start(Table::to(peer.address).with(&[on_requests(change(), false, 16)])).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, body) = client.ask(&post("no json")).await;
    assert_eq!(status(&head), 400);
    assert!(body.starts_with("bad request: the body is not JSON: "), "{body}");
    let (head, _) = client.ask(&post("{\"a\": \"too long to be kept\"}")).await;
    assert_eq!(status(&head), 413);
    assert!(peer.is_quiet());
    let lines = gateway.lines(2).await;
    assert_eq!(lines[0]["reason"], "transformation_failed");
    assert_eq!(lines[1]["reason"], "body_too_large");
}

#[tokio::test]
async fn header_templates_let_bodies_stream() {
    let peer = Peer::bind().await;
    let policies = [
        on_requests(template(&[("x-a", "{{ header(\":path\") }}")], None), false, 4),
        on_responses(template(&[("x-b", "{{ header(\":status\") }}")], None), 4),
    ];
    let gateway = Gateway::start(Table::to(peer.address).with(&policies)).await;
    let (mut client, mut upstream, head) =
        gateway.forwarded(&peer, "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nfirst ").await;
    assert_eq!(header(&head, "x-a"), Some("/p"));
    assert_eq!(upstream.take(6).await, b"first ");
    client.send("again").await;
    assert_eq!(upstream.take(5).await, b"again");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nfirst ").await;
    let head = client.head().await;
    assert_eq!(header(&head, "x-b"), Some("200"));
    assert_eq!(client.take(6).await, b"first ");
    upstream.send("again").await;
    assert_eq!(client.take(5).await, b"again");
}

#[tokio::test]
async fn a_grpc_call_streams_even_where_a_body_is_asked_for() {
    let peer = Peer::bind().await;
    let policies = [
        on_requests(template(&[("x-a", "1")], Some("{}")), false, 4),
        on_responses(template(&[("x-b", "1")], Some("{}")), 4),
    ];
    let gateway = Gateway::start(Table::to(peer.address).with(&policies)).await;
    let request =
        "POST /s/M HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nContent-Length: 10\r\n\r\nfirst";
    let (mut client, mut upstream, head) = gateway.forwarded(&peer, request).await;
    assert_eq!(header(&head, "x-a"), Some("1"));
    assert_eq!(upstream.take(5).await, b"first");
    client.send("again").await;
    assert_eq!(upstream.take(5).await, b"again");
    upstream
        .send("HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\nreply")
        .await;
    let (head, body) = client.answer().await;
    assert_eq!((header(&head, "x-b"), body.as_str()), (Some("1"), "reply"));
}

#[tokio::test]
async fn a_response_s_status_and_body_come_of_its_json() {
    let peer = Peer::bind().await;
    let set = [(
        ":status",
        "{% if default(data.error.message, \"\") != \"\" %}400{% else %}{{ header(\":status\") }}{% endif %}",
    )];
    let change = template(&set, Some("{\"path\":\"{{ request_header(\":path\") }}\"}"));
    let gateway = Gateway::start(Table::to(peer.address).with(&[on_responses(change, 64)])).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /p HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    upstream.serve(r#"{"data":{"error":{"message":"no"}}}"#).await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (400, "{\"path\":\"/p\"}"));

    client.send("GET /q HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.head().await;
    upstream.send("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert_eq!((status(&head), body.as_str()), (201, "{\"path\":\"/q\"}"));

    client.send("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.head().await;
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 200);

    client.send("GET /bad HTTP/1.1\r\nHost: h\r\n\r\n").await;
    upstream.serve("no json").await;
    let (head, body) = client.answer().await;
    assert_eq!(status(&head), 400);
    assert!(body.starts_with("bad request: the body is not JSON: "), "{body}");
}

#[tokio::test]
async fn an_answer_of_the_gateway_is_transformed_too() {
    let direct = table::route::Action::DirectResponse(table::DirectResponse {
        status: 200,
        body: r#"{"name":"Ann"}"#.into(),
    });
    let change = template(&[(":status", "203"), ("x-name", "{{ name }}")], Some("hello {{ name }}"));
    let gateway = Gateway::start(Table::default().route("/", direct, &[on_responses(change, 0)])).await;
    let (head, body) = Wire::connect(gateway.address).await.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!((status(&head), body.as_str()), (203, "hello Ann"));
    assert_eq!(header(&head, "x-name"), Some("Ann"));
}

#[tokio::test]
async fn a_cleared_route_is_chosen_again_by_the_new_headers() {
    let (blue, green) = (Peer::always("blue").await, Peer::always("green").await);
    let on_green = table::Match {
        path: Some(table::r#match::Path::Prefix("/".into())),
        headers: vec![table::HeaderMatch {
            name: "x-color".into(),
            value: Some(table::header_match::Value::Exact("green".into())),
            invert: false,
        }],
        ..Default::default()
    };
    let change = |clear| on_requests(template(&[("x-color", "{{ default(color, \"\") }}")], None), clear, 0);
    let ask = async |clear| {
        let table = Table::default()
            .upstream("blue", &[blue], false)
            .upstream("green", &[green], false)
            .match_route(on_green.clone(), to("green"), &[])
            .route("/", to("blue"), &[change(clear)]);
        let gateway = Gateway::start(table).await;
        Wire::connect(gateway.address).await.ask(&post("{\"color\":\"green\"}")).await.1
    };
    assert_eq!(ask(true).await, "green");
    assert_eq!(ask(false).await, "blue");
}
