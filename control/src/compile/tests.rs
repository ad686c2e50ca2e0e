//! Tables from hand-made models.

use super::*;
use crate::ir::{self, Placement, Proxy};

fn host(name: &str, status: u16, body: usize) -> Placement {
    let origin = ir::Origin { kind: "VirtualService", namespace: "ns".into(), name: name.into() };
    let route = ir::Route {
        name: "r".into(),
        origin: Arc::new(origin.clone()),
        path: "p".into(),
        matcher: ir::Matcher::default(),
        action: ir::Action::DirectResponse(ir::DirectResponse { status, body: "x".repeat(body).into() }),
        policies: Vec::new(),
    };
    let host = ir::VirtualHost {
        name: name.into(),
        origin,
        domains: vec![name.into()],
        routes: vec![route],
        virtual_clusters: Vec::new(),
    };
    Placement {
        name: name.into(),
        host: Arc::new(host),
        route_configs: Arc::from([Arc::from("c")]),
        require_tls: false,
        client_chain: None,
    }
}

fn model(hosts: Vec<Placement>) -> Ir {
    let proxy = Proxy { listeners: Vec::new(), hosts };
    Ir { proxies: [("p".into(), proxy)].into(), ..Ir::default() }
}

fn table(hosts: Vec<Placement>, memo: &mut Memo) -> Arc<Table> {
    compile(&model(hosts), &SecretIndex::default(), memo)["p"].clone()
}

fn names(table: &Table) -> Vec<&str> {
    table.entries.keys().map(|(_, name)| &**name).collect()
}

#[test]
fn tables_follow_the_model_and_keep_what_did_not_change() {
    let mut memo = Memo::default();
    let (a, b, c) = (host("a", 200, 0), host("b", 200, 0), host("c", 200, 0));
    let first = table(vec![a.clone(), c.clone()], &mut memo);
    assert_eq!(names(&first), ["a", "c"]);
    let second = table(vec![a.clone(), b.clone(), host("c", 201, 0)], &mut memo);
    assert_eq!(names(&second), ["a", "b", "c"]);
    let key = |name: &str| (Kind::VirtualHost as i32, Arc::from(name));
    assert!(Arc::ptr_eq(&first.entries[&key("a")], &second.entries[&key("a")]));
    assert_ne!(first.entries[&key("c")].digest, second.entries[&key("c")].digest);
    assert_eq!(second, table(vec![a, b.clone(), host("c", 201, 0)], &mut Memo::default()));
    assert_eq!(names(&table(vec![b], &mut memo)), ["b"]);
    assert_eq!(table(Vec::new(), &mut memo).digest, Digest::default());
}

#[test]
fn the_same_model_gives_the_same_table_object() {
    let mut memo = Memo::default();
    let hosts = vec![host("a", 200, 0)];
    let first = table(hosts.clone(), &mut memo);
    assert!(Arc::ptr_eq(&first, &table(hosts, &mut memo)));
    // Made anew with equal content: the bytes are the same, and so is the entry.
    assert!(Arc::ptr_eq(&first, &table(vec![host("a", 200, 0)], &mut memo)));
}

#[test]
fn a_resource_that_is_too_large_is_refused_by_name() {
    let mut memo = Memo::default();
    let large = table(vec![host("a", 200, 17 << 20), host("b", 200, 0)], &mut memo);
    assert_eq!(names(&large), ["b"]);
    assert_eq!(large.refused, [(Kind::VirtualHost as i32, Arc::from("a"))]);
    let small = table(vec![host("a", 200, 1), host("b", 200, 0)], &mut memo);
    assert_eq!((names(&small), small.refused.len()), (vec!["a", "b"], 0));
}

#[test]
fn a_proxy_that_comes_later_gets_everything_that_is_shared() {
    let mut memo = Memo::default();
    let upstream = ir::Upstream {
        name: "u".into(),
        origin: ir::Origin { kind: "Upstream", namespace: "ns".into(), name: "u".into() },
        endpoints: ir::Endpoints::Discovered,
        tls: None,
        http2: false,
        connect_timeout: None,
        max_requests_per_connection: 0,
        balancing: ir::Balancing::default(),
        health_check: None,
        outlier_detection: None,
        ignore_health_on_host_removal: false,
        circuit_breakers: None,
        connections: ir::Connections::default(),
        http: ir::UpstreamHttp::default(),
        policies: Vec::new(),
    };
    let mut ir = model(vec![host("a", 200, 0)]);
    ir.upstreams = Arc::new([("u".into(), Arc::new(upstream))].into());
    compile(&ir, &SecretIndex::default(), &mut memo);
    ir.proxies.insert("q".into(), Proxy::default());
    let tables = compile(&ir, &SecretIndex::default(), &mut memo);
    assert_eq!(names(&tables["q"]), ["u"]);
    assert_eq!(names(&tables["p"]), ["a", "u"]);
}

#[test]
fn certificates_come_and_go_with_their_facts() {
    use crate::translate::SecretFacts;
    let mut memo = Memo::default();
    let source = ir::CertificateSource::Secret { namespace: "ns".into(), name: "s".into() };
    let tls = ir::DownstreamTls {
        certificate: source.clone(),
        require_client_certificate: false,
        verify_subject_alt_names: Vec::new(),
        parameters: ir::TlsParameters::default(),
        alpn: Vec::new(),
        disable_session_resumption: false,
        handshake_timeout: None,
        ocsp_policy: ir::OcspPolicy::Lenient,
    };
    let chain = ir::FilterChain {
        name: "c".into(),
        server_names: Vec::new(),
        tls: Some(tls),
        source_prefixes: Vec::new(),
        serve: ir::Serve::Http("r".into()),
        http: Default::default(),
        policies: Vec::new(),
        part: None,
        admission: Default::default(),
    };
    let listener = ir::Listener {
        name: "l".into(),
        origin: ir::Origin { kind: "Gateway", namespace: "ns".into(), name: "g".into() },
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 1,
        proxy_protocol: false,
        chains: vec![chain],
        connection_logs: Vec::new(),
        options: Default::default(),
    };
    let proxy = Proxy { listeners: vec![Arc::new(listener)], hosts: Vec::new() };
    let ir = Ir { proxies: [("p".into(), proxy)].into(), ..Ir::default() };
    let mut secrets = SecretIndex::default();
    assert_eq!(names(&compile(&ir, &secrets, &mut memo)["p"]), ["l"]);
    let facts = |byte: u8| SecretFacts {
        digest: Digest::of(&[byte]),
        has_certificate: true,
        ..SecretFacts::default()
    };
    secrets.insert(source.clone(), facts(1));
    let one = compile(&ir, &secrets, &mut memo)["p"].clone();
    assert_eq!(names(&one), ["l", "ns.s"]);
    secrets.insert(source.clone(), facts(2));
    let two = compile(&ir, &secrets, &mut memo)["p"].clone();
    assert_ne!(one.digest, two.digest);
    secrets.remove(&source);
    assert_eq!(names(&compile(&ir, &secrets, &mut memo)["p"]), ["l"]);
}
