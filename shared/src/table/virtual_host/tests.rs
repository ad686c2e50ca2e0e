use super::*;

fn route(origin: &str) -> wire::Route {
    wire::Route {
        name: "r".into(),
        origin: Some(wire::Origin {
            kind: "VirtualService".into(),
            namespace: "ns".into(),
            name: origin.into(),
        }),
        r#match: Some(wire::Match {
            path: Some(wire::r#match::Path::Prefix("/".into())),
            ..Default::default()
        }),
        action: Some(wire::route::Action::Redirect(wire::Redirect::default())),
        ..Default::default()
    }
}

fn wire() -> wire::VirtualHost {
    wire::VirtualHost {
        name: "ns_main".into(),
        origin: Some(wire::Origin {
            kind: "VirtualService".into(),
            namespace: "ns".into(),
            name: "main".into(),
        }),
        route_configs: vec!["a".into()],
        domains: vec!["*.example.com".into(), "*".into()],
        routes: vec![route("main"), route("main"), route("other"), route("other")],
        require_tls: true,
        client_chain: "tls-1".into(),
        virtual_clusters: vec![wire::VirtualCluster {
            name: "users".into(),
            pattern: "/users(/.*)?".into(),
            method: "GET".into(),
        }],
    }
}

#[test]
fn every_field_is_converted() {
    let host = VirtualHost::try_from(wire()).unwrap();
    assert_eq!((&*host.name, &*host.route_configs[0], host.require_tls), ("ns_main", "a", true));
    assert_eq!(host.client_chain.as_deref(), Some("tls-1"));
    assert_eq!(host.origin.to_string(), "VirtualService ns.main");
    let users = &host.virtual_clusters[0];
    assert!(users.fits("GET", "/users/1") && users.fits("GET", "/users"));
    assert!(!users.fits("GET", "/a/users") && !users.fits("POST", "/users"));
    assert_eq!(host.domains, [Domain::Suffix(".example.com".into()), Domain::Any]);
    assert_eq!(host.routes.len(), 4);
    assert!(VirtualHost::try_from(wire::VirtualHost { routes: vec![], ..wire() }).is_ok());
}

#[test]
fn equal_origins_are_shared() {
    let host = VirtualHost::try_from(wire()).unwrap();
    assert!(Arc::ptr_eq(&host.origin, &host.routes[1].origin));
    assert!(Arc::ptr_eq(&host.routes[2].origin, &host.routes[3].origin));
    assert_eq!(&*host.routes[3].origin.name, "other");
}

#[test]
fn errors_name_the_field() {
    let refused = |wire: wire::VirtualHost| VirtualHost::try_from(wire).unwrap_err().path;
    assert_eq!(refused(wire::VirtualHost { name: String::new(), ..wire() }), "name");
    assert_eq!(refused(wire::VirtualHost { domains: vec![], ..wire() }), "domains");
    assert_eq!(
        refused(wire::VirtualHost { domains: vec!["a".into(), "a*b".into()], ..wire() }),
        "domains[1]"
    );
    assert_eq!(
        refused(wire::VirtualHost { route_configs: vec![String::new()], ..wire() }),
        "route_configs[0]"
    );
    let bad = wire::Route { action: None, ..route("main") };
    assert_eq!(refused(wire::VirtualHost { routes: vec![route("main"), bad], ..wire() }), "routes[1]");
}
