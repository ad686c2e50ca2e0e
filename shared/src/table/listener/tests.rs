use super::*;

fn tls() -> wire::DownstreamTls {
    wire::DownstreamTls { certificate: "ns.cert".into(), ..Default::default() }
}

fn chain(server_names: &[&str]) -> wire::FilterChain {
    wire::FilterChain {
        name: "chain".into(),
        server_names: server_names.iter().map(ToString::to_string).collect(),
        tls: Some(tls()),
        serve: Some(wire::filter_chain::Serve::RouteConfig("routes".into())),
        ..Default::default()
    }
}

fn wire() -> wire::Listener {
    wire::Listener {
        name: "listener-::-8443".into(),
        origin: None,
        address: "::".into(),
        port: 8443,
        proxy_protocol: true,
        filter_chains: vec![chain(&["a.example", "*.b.example"]), chain(&[])],
        connection_logs: Vec::new(),
        ..Default::default()
    }
}

fn refused(wire: wire::Listener) -> String {
    Listener::try_from(wire).unwrap_err().path
}

#[test]
fn every_field_is_converted() {
    let listener = Listener::try_from(wire()).unwrap();
    assert_eq!(&*listener.name, "listener-::-8443");
    assert_eq!(listener.address, "::".parse::<IpAddr>().unwrap());
    assert_eq!((listener.port, listener.proxy_protocol), (8443, true));
    let first = &listener.filter_chains[0];
    assert_eq!((&*first.name, &first.serve), ("chain", &Serve::Http("routes".into())));
    assert_eq!(
        first.server_names,
        [ServerName::Exact("a.example".into()), ServerName::Suffix(".b.example".into())]
    );
    let plain = wire::FilterChain { tls: None, ..chain(&[]) };
    let plain = Listener::try_from(wire::Listener { filter_chains: vec![plain], ..wire() }).unwrap();
    assert_eq!(plain.filter_chains[0].tls, None);
    assert!(Listener::try_from(wire::Listener { filter_chains: vec![], ..wire() }).is_ok());
}

#[test]
fn tls_settings_are_converted() {
    let full = wire::DownstreamTls {
        certificate: "ns.cert".into(),
        require_client_certificate: true,
        verify_subject_alt_names: vec!["client".into()],
        min_version: wire::TlsVersion::TlsVersion12 as i32,
        max_version: wire::TlsVersion::TlsVersion13 as i32,
        cipher_suites: vec!["ECDHE-RSA-AES128-GCM-SHA256".into()],
        curves: vec!["X25519".into()],
        alpn: vec!["h2".into(), "http/1.1".into()],
        disable_session_resumption: true,
        handshake_timeout_ms: 1500,
        ocsp_policy: wire::OcspPolicy::Must as i32,
    };
    let tls = DownstreamTls::try_from(full).unwrap();
    assert_eq!(&*tls.certificate, "ns.cert");
    assert!(tls.require_client_certificate && tls.disable_session_resumption);
    assert_eq!(&*tls.verify_subject_alt_names[0], "client");
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::V1_2, TlsVersion::V1_3));
    assert_eq!((&*tls.cipher_suites[0], &*tls.curves[0]), ("ECDHE-RSA-AES128-GCM-SHA256", "X25519"));
    assert_eq!((&*tls.alpn[0], &*tls.alpn[1]), ("h2", "http/1.1"));
    assert_eq!(tls.handshake_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(tls.ocsp_policy, OcspPolicy::Must);
    let least = DownstreamTls::try_from(self::tls()).unwrap();
    assert_eq!((least.min_version, least.max_version), (TlsVersion::Auto, TlsVersion::Auto));
    assert_eq!((least.handshake_timeout, least.ocsp_policy), (None, OcspPolicy::Lenient));
}

#[test]
fn errors_name_the_field() {
    assert_eq!(refused(wire::Listener { name: String::new(), ..wire() }), "name");
    assert_eq!(refused(wire::Listener { address: "localhost".into(), ..wire() }), "address");
    assert_eq!(refused(wire::Listener { port: 0, ..wire() }), "port");
    assert_eq!(refused(wire::Listener { port: 70_000, ..wire() }), "port");
    let with =
        |chains: &[wire::FilterChain]| refused(wire::Listener { filter_chains: chains.to_vec(), ..wire() });
    for bad in ["A.example", "*", "*example.com", "a.*", "", "*.", "*.*.a"] {
        assert_eq!(with(&[chain(&["ok", bad])]), "filter_chains[0].server_names[1]", "{bad}");
    }
    assert_eq!(
        with(&[wire::FilterChain {
            serve: Some(wire::filter_chain::Serve::RouteConfig(String::new())),
            ..chain(&[])
        }]),
        "filter_chains[0].route_config"
    );
    assert_eq!(with(&[wire::FilterChain { serve: None, ..chain(&[]) }]), "filter_chains[0].serve");
    for bad in ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "x"] {
        let source_prefixes = vec!["10.0.0.0/8".into(), bad.into()];
        let chain = wire::FilterChain { source_prefixes, ..chain(&[]) };
        assert_eq!(with(&[chain]), "filter_chains[0].source_prefixes[1]", "{bad}");
    }
    let tls_with = |change: fn(&mut wire::DownstreamTls)| {
        let mut tls = tls();
        change(&mut tls);
        with(&[wire::FilterChain { tls: Some(tls), ..chain(&[]) }])
    };
    assert_eq!(tls_with(|tls| tls.certificate.clear()), "filter_chains[0].tls.certificate");
    assert_eq!(tls_with(|tls| tls.alpn = vec!["x".repeat(256)]), "filter_chains[0].tls.alpn[0]");
    assert_eq!(tls_with(|tls| tls.min_version = 9), "filter_chains[0].tls.min_version");
    assert_eq!(
        tls_with(|tls| (tls.min_version, tls.max_version) = (2, 1)),
        "filter_chains[0].tls.min_version"
    );
    assert_eq!(tls_with(|tls| tls.ocsp_policy = 9), "filter_chains[0].tls.ocsp_policy");
}

#[test]
fn a_server_name_has_one_chain() {
    let with =
        |chains: &[wire::FilterChain]| refused(wire::Listener { filter_chains: chains.to_vec(), ..wire() });
    assert_eq!(with(&[chain(&["a"]), chain(&["b", "a"])]), "filter_chains[1].server_names[1]");
    assert_eq!(with(&[chain(&[]), chain(&[])]), "filter_chains[1].server_names");
}

#[test]
fn a_plain_http_chain_has_no_server_name_and_a_tcp_chain_may() {
    let plain = wire::FilterChain { tls: None, ..chain(&["a"]) };
    let refused = refused(wire::Listener { filter_chains: vec![plain.clone()], ..wire() });
    assert_eq!(refused, "filter_chains[0].server_names");
    let tcp = wire::TcpProxy {
        target: Some(wire::tcp_proxy::Target::Split("s".into())),
        idle_timeout_ms: 7,
        ..Default::default()
    };
    let passed = wire::FilterChain { serve: Some(wire::filter_chain::Serve::Tcp(tcp)), ..plain };
    let mixed = wire::Listener { filter_chains: vec![chain(&["b"]), passed], ..wire() };
    let Serve::Tcp(tcp) = &Listener::try_from(mixed).unwrap().filter_chains[1].serve else { unreachable!() };
    assert_eq!((tcp.max_connect_attempts, tcp.idle_timeout), (1, Some(Duration::from_millis(7))));
    assert_eq!(tcp.target, super::super::TcpTarget::Split("s".into()));
}

#[test]
fn a_suffix_needs_a_label() {
    let suffix = ServerName::Suffix(".example.com".into());
    assert!(suffix.matches("a.example.com") && suffix.matches("a.b.example.com"));
    assert!(!suffix.matches("example.com") && !suffix.matches(".example.com"));
    assert_eq!(suffix.to_string(), "*.example.com");
    assert!(ServerName::Exact("a".into()).matches("a"));
}
