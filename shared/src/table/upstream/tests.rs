use super::*;

fn wire() -> wire::Upstream {
    wire::Upstream { name: "web_ns".into(), ..Default::default() }
}

fn refused(wire: wire::Upstream) -> String {
    Upstream::try_from(wire).unwrap_err().path
}

#[test]
fn defaults() {
    let upstream = Upstream::try_from(wire()).unwrap();
    assert_eq!(upstream.connect_timeout, Duration::from_secs(5));
    assert_eq!(upstream.max_requests_per_connection, None);
    assert_eq!(upstream.load_balancer, LoadBalancer::RoundRobin);
    assert_eq!(upstream.tls, None);
    assert!(!upstream.http2 && !upstream.dynamic_endpoints && upstream.endpoints.is_empty());
}

#[test]
fn every_field_is_converted() {
    let endpoint = wire::Endpoint { address: "::1".into(), port: 443, ..Default::default() };
    let upstream = Upstream::try_from(wire::Upstream {
        origin: Some(wire::Origin { kind: "Upstream".into(), namespace: "ns".into(), name: "web".into() }),
        endpoints: vec![endpoint],
        http2: true,
        connect_timeout_ms: 250,
        max_requests_per_connection: 7,
        load_balancer: Some(wire::upstream::LoadBalancer::LeastRequest(wire::LeastRequest {
            choice_count: 0,
        })),
        ..wire()
    })
    .unwrap();
    assert_eq!(upstream.origin.to_string(), "Upstream ns.web");
    assert_eq!(upstream.endpoints[0].address.to_string(), "[::1]:443");
    assert!(upstream.http2);
    assert_eq!(upstream.connect_timeout, Duration::from_millis(250));
    assert_eq!(upstream.max_requests_per_connection, Some(7));
    assert_eq!(upstream.load_balancer, LoadBalancer::LeastRequest { choice_count: 2 });
    assert!(
        Upstream::try_from(wire::Upstream { dynamic_endpoints: true, ..wire() }).unwrap().dynamic_endpoints
    );
}

#[test]
fn tls_is_converted() {
    let tls = UpstreamTls::try_from(wire::UpstreamTls {
        sni: "web".into(),
        ca_certificate: "ns.ca".into(),
        client_certificate: "ns.client".into(),
        verify_subject_alt_names: vec!["web".into()],
        alpn: vec!["h2".into()],
        min_version: wire::TlsVersion::TlsVersion13 as i32,
        max_version: 0,
        cipher_suites: vec!["s".into()],
        curves: vec!["P-256".into()],
        verify_server_name: true,
    })
    .unwrap();
    assert_eq!((tls.sni.as_deref(), tls.ca_certificate.as_deref()), (Some("web"), Some("ns.ca")));
    assert_eq!(tls.client_certificate.as_deref(), Some("ns.client"));
    assert_eq!((&*tls.verify_subject_alt_names[0], &*tls.alpn[0]), ("web", "h2"));
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::V1_3, TlsVersion::Auto));
    assert_eq!((&*tls.cipher_suites[0], &*tls.curves[0]), ("s", "P-256"));
    assert_eq!(UpstreamTls::try_from(wire::UpstreamTls::default()).unwrap(), UpstreamTls::default());
}

#[test]
fn errors_name_the_field() {
    assert_eq!(refused(wire::Upstream::default()), "name");
    let endpoints = vec![wire::Endpoint { address: "::1".into(), ..Default::default() }];
    assert_eq!(refused(wire::Upstream { endpoints: endpoints.clone(), ..wire() }), "endpoints[0].port");
    assert_eq!(refused(wire::Upstream { endpoints, dynamic_endpoints: true, ..wire() }), "endpoints");
    let tls = |tls| refused(wire::Upstream { tls: Some(tls), ..wire() });
    let names = vec!["web".to_string()];
    assert_eq!(
        tls(wire::UpstreamTls { verify_subject_alt_names: names, ..Default::default() }),
        "tls.verify_subject_alt_names"
    );
    assert_eq!(tls(wire::UpstreamTls { max_version: 7, ..Default::default() }), "tls.max_version");
    assert_eq!(tls(wire::UpstreamTls { curves: vec![String::new()], ..Default::default() }), "tls.curves[0]");
}
