//! Policies around a request: their place in its life.

use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as table;

use crate::gateway::{any, to};
use crate::wire::header;
use crate::{Gateway, Peer, Table, Wire};

fn add(name: &str, value: &str) -> policy::HeaderAdd {
    policy::HeaderAdd { name: name.into(), value: value.into(), overwrite: true }
}

fn headers(request: &[(&str, &str)], response: &[(&str, &str)]) -> prost_types::Any {
    let level = |list: &[(&str, &str)]| policy::HeaderLevel {
        remove: vec![],
        add: list.iter().map(|(name, value)| add(name, value)).collect(),
    };
    any(&policy::Headers { request: vec![level(request)], response: vec![level(response)] })
}

#[tokio::test]
async fn request_and_response_fields_are_changed_and_know_the_facts() {
    let peer = Peer::bind().await;
    let policies = [headers(
        &[("x-client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), ("x-request-id", "mine")],
        &[("x-route", "%ROUTE_NAME%"), ("server", "not this")],
    )];
    let gateway = Gateway::start(Table::to(peer.address).with(&policies)).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut upstream = peer.accept().await;
    let head = upstream.serve("ok").await;
    assert_eq!(header(&head, "x-client"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-request-id"), Some("mine"));
    let (head, _) = client.answer().await;
    assert_eq!(header(&head, "x-route"), Some("host-route-0"));
    assert_eq!(header(&head, "server"), Some("portcullis"));
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n\r\n").await;
    let head = upstream.serve("ok").await;
    assert_eq!(header(&head, "x-client"), Some("1.2.3.4"), "the hop before says whom it serves");
    client.answer().await;
}

#[tokio::test]
async fn a_destination_s_policies_take_the_place_of_the_route_s() {
    let peer = Peer::bind().await;
    let destination = table::Destination {
        upstream: "up".into(),
        weight: 1,
        policies: vec![headers(&[("x-from", "destination")], &[])],
        subset: vec![],
    };
    let target =
        table::forward::Target::Destinations(table::Destinations { destinations: vec![destination] });
    let action = table::route::Action::Forward(table::Forward { target: Some(target) });
    let route = [headers(&[("x-from", "route")], &[])];
    let table = Table::default().upstream("up", &[peer.address], false).route("/", action, &route);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(header(&peer.accept().await.serve("ok").await, "x-from"), Some("destination"));
}

#[tokio::test]
async fn local_answers_of_a_route_have_its_response_fields() {
    let direct = table::DirectResponse { status: 200, body: "hi".into() };
    let table = Table::default()
        .upstream("up", &[], false)
        .route("/direct", table::route::Action::DirectResponse(direct), &[headers(&[], &[("x-a", "1")])])
        .route("/", to("up"), &[headers(&[], &[("x-b", "2")])]);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, _) = client.ask("GET /direct HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(header(&head, "x-a"), Some("1"));
    let (head, _) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(header(&head, "x-b"), Some("2"));
}
