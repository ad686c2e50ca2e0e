//! Which endpoint a request goes to: by its hash, by labels.

use std::net::SocketAddr;

use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as table;
use portcullis_proto::table::v1::upstream::LoadBalancer;

use crate::gateway::{any, endpoint, to};
use crate::wire::{header, status};
use crate::{Gateway, Peer, Table, Wire};

async fn peers() -> [SocketAddr; 4] {
    [Peer::always("a").await, Peer::always("b").await, Peer::always("c").await, Peer::always("d").await]
}

fn hash(keys: Vec<policy::hash_key::Key>) -> prost_types::Any {
    let keys = keys.into_iter().map(|key| policy::HashKey { key: Some(key), terminal: false }).collect();
    any(&policy::Hash { keys })
}

async fn hashing(balancer: LoadBalancer, key: policy::hash_key::Key) -> Gateway {
    let upstream = table::Upstream {
        name: "up".into(),
        endpoints: peers().await.into_iter().map(endpoint).collect(),
        load_balancer: Some(balancer),
        ..Default::default()
    };
    Gateway::start(Table::default().add_upstream(upstream).route("/", to("up"), &[hash(vec![key])])).await
}

fn ring() -> LoadBalancer {
    LoadBalancer::RingHash(table::RingHash::default())
}

#[tokio::test]
async fn requests_with_the_same_header_go_to_the_same_endpoint() {
    for balancer in [ring(), LoadBalancer::Maglev(table::Maglev {})] {
        let gateway = hashing(balancer, policy::hash_key::Key::Header("x-user".into())).await;
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..16 {
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\nx-user: {user}\r\n\r\n");
            let mut client = Wire::connect(gateway.address).await;
            let first = client.ask(&request).await.1;
            for _ in 0..3 {
                assert_eq!(client.ask(&request).await.1, first, "user {user}");
            }
            seen.insert(first);
        }
        assert!(seen.len() > 1, "users are spread: {seen:?}");
    }
}

#[tokio::test]
async fn a_cookie_is_set_and_keeps_a_client_where_it_is() {
    let cookie = policy::HashCookie { name: "lb".into(), ttl_s: Some(60), path: "/".into() };
    let gateway = hashing(ring(), policy::hash_key::Key::Cookie(cookie)).await;
    let mut client = Wire::connect(gateway.address).await;
    let (head, first) = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let set = header(&head, "set-cookie").expect("a cookie").to_owned();
    assert!(set.ends_with("; Max-Age=60; Path=/; HttpOnly"), "{set}");
    let sent = set.split(';').next().unwrap();
    for _ in 0..4 {
        let mut client = Wire::connect(gateway.address).await;
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: x=y; {sent}\r\n\r\n");
        let (head, body) = client.ask(&request).await;
        assert_eq!((body, header(&head, "set-cookie")), (first.clone(), None));
    }
}

#[tokio::test]
async fn a_destination_s_labels_choose_among_endpoints() {
    let label = |value: &str| table::Label { key: "version".into(), value: value.into() };
    let [a, b, c, _] = peers().await;
    let labelled = |address, value| table::Endpoint { labels: vec![label(value)], ..endpoint(address) };
    let upstream = table::Upstream {
        name: "up".into(),
        endpoints: vec![labelled(a, "1"), labelled(b, "2"), labelled(c, "2")],
        subsets: Some(table::Subsets {
            selectors: vec![table::SubsetSelector { keys: vec!["version".into()], single_host: false }],
            fallback: table::SubsetFallback::NoFallback as i32,
            default_subset: vec![],
        }),
        ..Default::default()
    };
    let version = |value: &str| {
        let destination = table::Destination {
            upstream: "up".into(),
            weight: 1,
            policies: vec![],
            subset: vec![label(value)],
        };
        let target =
            table::forward::Target::Destinations(table::Destinations { destinations: vec![destination] });
        table::route::Action::Forward(table::Forward { target: Some(target) })
    };
    let table = Table::default()
        .add_upstream(upstream)
        .route("/1", version("1"), &[])
        .route("/2", version("2"), &[])
        .route("/3", version("3"), &[])
        .route("/", to("up"), &[]);
    let gateway = Gateway::start(table).await;
    let mut client = Wire::connect(gateway.address).await;
    let mut two = Vec::new();
    for _ in 0..4 {
        assert_eq!(client.ask("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n").await.1, "a");
        two.push(client.ask("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await.1);
    }
    two.sort();
    two.dedup();
    assert_eq!(two, ["b", "c"]);
    for path in ["/3", "/"] {
        let (head, body) = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        assert_eq!((status(&head), body.as_str()), (503, "no healthy upstream"));
    }
}
