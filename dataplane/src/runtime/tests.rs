use http::HeaderMap;
use portcullis_proto::link::v1::upsert::Resource as Wire;
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as proto;
use portcullis_shared::routing::RequestView;
use portcullis_shared::table;
use proptest::prelude::*;
use prost::Name;

use super::*;
use crate::held::Content;
use crate::tls::testing::{Ca, self_signed};

fn any<M: Name>(message: &M) -> prost_types::Any {
    prost_types::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn prefix(text: &str) -> Option<proto::Match> {
    Some(proto::Match { path: Some(proto::r#match::Path::Prefix(text.into())), ..Default::default() })
}

fn destination(upstream: &str, weight: u32) -> proto::Destination {
    proto::Destination { upstream: upstream.into(), weight, policies: vec![], subset: vec![] }
}

fn route(name: &str, path: &str, target: proto::forward::Target) -> proto::Route {
    proto::Route {
        name: name.into(),
        r#match: prefix(path),
        action: Some(proto::route::Action::Forward(proto::Forward { target: Some(target) })),
        ..Default::default()
    }
}

fn to(upstream: &str) -> proto::forward::Target {
    let destinations = vec![destination(upstream, 1)];
    proto::forward::Target::Destinations(proto::Destinations { destinations })
}

fn host(name: &str, domain: &str, upstream: &str) -> proto::VirtualHost {
    proto::VirtualHost {
        name: name.into(),
        route_configs: vec!["rc".into()],
        domains: vec![domain.into()],
        routes: vec![route(&format!("{name}-route-0"), "/", to(upstream))],
        ..Default::default()
    }
}

fn upstream(name: &str) -> proto::Upstream {
    let endpoint = proto::Endpoint { address: "10.0.0.1".into(), port: 80, ..Default::default() };
    proto::Upstream { name: name.into(), endpoints: vec![endpoint], ..Default::default() }
}

fn certificate(name: &str, from: &table::Certificate) -> proto::Certificate {
    let ders =
        |list: &[rustls::pki_types::CertificateDer<'_>]| list.iter().map(|der| der.to_vec().into()).collect();
    proto::Certificate {
        name: name.into(),
        chain_der: ders(&from.chain),
        key_der: from.key.as_ref().map(|key| key.expose().clone().into()).unwrap_or_default(),
        ca_der: ders(&from.ca),
        ..Default::default()
    }
}

fn tls_chain(certificate: &str, names: &[&str]) -> proto::FilterChain {
    proto::FilterChain {
        name: format!("chain-{certificate}"),
        server_names: names.iter().map(|name| (*name).into()).collect(),
        tls: Some(proto::DownstreamTls { certificate: certificate.into(), ..Default::default() }),
        serve: serve("rc"),
        ..Default::default()
    }
}

fn serve(route_config: &str) -> Option<proto::filter_chain::Serve> {
    Some(proto::filter_chain::Serve::RouteConfig(route_config.into()))
}

const CLIENT: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn listener(name: &str, chains: Vec<proto::FilterChain>) -> proto::Listener {
    proto::Listener {
        name: name.into(),
        address: "::".into(),
        port: 8443,
        filter_chains: chains,
        ..Default::default()
    }
}

fn put(held: &mut Held, resource: Wire) {
    held.upsert(table::upsert(resource)).expect("a resource with a name");
}

fn held(resources: Vec<Wire>) -> Held {
    let mut held = Held::default();
    resources.into_iter().for_each(|resource| put(&mut held, resource));
    held
}

fn build(held: &Held, prev: Option<&Runtime>) -> Arc<Runtime> {
    let (runtime, rejections) = Runtime::build(held, prev);
    assert_eq!(rejections, []);
    runtime
}

fn reasons(rejections: &[Rejection]) -> Vec<String> {
    rejections.iter().map(|r| format!("{} {} {}: {}", r.kind, r.name, r.path, r.reason)).collect()
}

fn view<'a>(authority: &'a str, path: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    RequestView { method: "GET", scheme: "http", authority, path, query: None, headers }
}

/// Name of the route and first upstream for a request, in the words of the answer that a client would get.
fn answer(runtime: &Runtime, authority: &str, path: &str) -> String {
    answer_in(runtime, "rc", authority, path)
}

fn answer_in(runtime: &Runtime, config: &str, authority: &str, path: &str) -> String {
    let headers = HeaderMap::new();
    let Some(host) = runtime.route_config(config).and_then(|config| config.find(authority)) else {
        return "no_virtual_host".into();
    };
    if host.rejected.is_some() {
        return "config_rejected".into();
    }
    let Some(route) = host.route(&view(authority, path, &headers)) else { return "no_route".into() };
    let upstream = match &route.action {
        Action::Forward(Target::Destinations(list)) => &list.pick(0).expect("weight").upstream,
        Action::Forward(Target::Split(name)) => match runtime.split(name) {
            Some(split) => &split.destinations.pick(0).expect("weight").upstream,
            None => return "no_cluster".into(),
        },
        Action::Closed(_) => return "config_rejected".into(),
        _ => return "local".into(),
    };
    let known = if runtime.upstream(upstream).is_some() { "" } else { " no_cluster" };
    format!("{} {upstream}{known}", route.name)
}

#[test]
fn a_request_finds_host_route_and_upstream() {
    let mut canary = host("canary", "canary.io", "u");
    canary.routes[0] = route("r", "/", proto::forward::Target::Split("s".into()));
    canary.routes[0].policies = vec![any(&policy::Timeout { total_ms: 5 })];
    let mut split =
        proto::Split { name: "s".into(), destinations: Some(Default::default()), ..Default::default() };
    let mut stable = destination("u", 3);
    stable.policies = vec![any(&policy::Timeout { total_ms: 9 })];
    split.destinations.as_mut().expect("set").destinations = vec![stable, destination("new", 1)];
    let held = held(vec![
        Wire::VirtualHost(host("a", "*.example.com", "u")),
        Wire::VirtualHost(canary),
        Wire::Upstream(upstream("u")),
        Wire::Split(split),
    ]);
    let runtime = build(&held, None);
    assert_eq!(answer(&runtime, "WWW.example.com", "/x"), "a-route-0 u");
    assert_eq!(answer(&runtime, "example.com", "/x"), "no_virtual_host");
    assert_eq!(answer(&runtime, "canary.io", "/x"), "r u");

    let route = &runtime.virtual_host("canary").expect("there").routes()[0];
    assert_eq!(route.template(), "/*");
    let split = runtime.split("s").expect("there");
    let (stable, new) = (&split.destinations.list()[0], &split.destinations.list()[1]);
    let limit = |destination| route.plan_for(destination).total_timeout.expect("set").as_millis();
    assert_eq!((limit(stable), limit(new)), (9, 5), "a destination's policy replaces the route's");
    let picks: Vec<_> = (0..8).map(|p| &*split.destinations.pick(p).expect("one").upstream).collect();
    assert_eq!(picks, ["u", "u", "u", "new", "u", "u", "u", "new"]);
}

#[test]
fn what_did_not_change_is_taken_over() {
    let mut table = held(vec![
        Wire::VirtualHost(host("a", "a.io", "u")),
        Wire::VirtualHost(host("b", "b.io", "u")),
        Wire::Upstream(upstream("u")),
        Wire::Upstream(upstream("v")),
        Wire::Certificate(certificate("one", &self_signed(&["one"]))),
        Wire::Certificate(certificate("two", &self_signed(&["two"]))),
        Wire::Listener(listener("l", vec![tls_chain("one", &["one.io"]), tls_chain("two", &["*.two.io"])])),
        Wire::Listener(listener("plain", vec![])),
    ]);
    let first = build(&table, None);
    let again = build(&table, Some(&first));
    assert!(Arc::ptr_eq(first.route_config("rc").expect("there"), again.route_config("rc").expect("there")));
    assert!(first.listeners().iter().zip(again.listeners()).all(|(a, b)| Arc::ptr_eq(a, b)));

    put(&mut table, Wire::VirtualHost(host("b", "b.io", "v")));
    put(&mut table, Wire::Upstream(proto::Upstream { http2: true, ..upstream("v") }));
    put(&mut table, Wire::Certificate(certificate("two", &self_signed(&["two"]))));
    let second = build(&table, Some(&first));
    let same_host = |name| {
        Arc::ptr_eq(first.virtual_host(name).expect("there"), second.virtual_host(name).expect("there"))
    };
    assert!(same_host("a") && !same_host("b"));
    assert!(Arc::ptr_eq(first.upstream("u").expect("there"), second.upstream("u").expect("there")));
    let (old, new) = (first.upstream("v").expect("there"), second.upstream("v").expect("there"));
    assert!(!Arc::ptr_eq(old, new) && Arc::ptr_eq(&old.stats, &new.stats));
    let chain = |runtime: &Runtime, sni| {
        Arc::clone(runtime.listener("l").expect("l").select(Some(sni), CLIENT).expect(sni))
    };
    assert!(Arc::ptr_eq(&chain(&first, "one.io"), &chain(&second, "one.io")));
    assert!(!Arc::ptr_eq(&chain(&first, "a.two.io"), &chain(&second, "a.two.io")), "its certificate is new");
    assert!(Arc::ptr_eq(first.listener("plain").expect("there"), second.listener("plain").expect("there")));
    assert_eq!(answer(&second, "b.io", "/"), "b-route-0 v");
    assert_eq!(answer(&first, "b.io", "/"), "b-route-0 u", "a running request keeps its runtime");

    // Only a route configuration changed: the handshake, and so the tickets of clients, stay.
    let mut moved = tls_chain("one", &["one.io"]);
    moved.serve = serve("other");
    put(&mut table, Wire::Listener(listener("l", vec![moved, tls_chain("two", &["*.two.io"])])));
    let third = build(&table, Some(&second));
    let (before, after) = (chain(&second, "one.io"), chain(&third, "one.io"));
    assert!(matches!(&after.serve, Serve::Http(name) if **name == *"other"));
    let usual = |chain: &Chain| chain.tls.as_ref().expect("tls").usual();
    assert!(Arc::ptr_eq(&usual(&before), &usual(&after)));
}

#[test]
fn a_broken_virtual_host_keeps_its_form_or_is_closed() {
    let mut table = held(vec![Wire::VirtualHost(host("a", "a.io", "u")), Wire::Upstream(upstream("u"))]);
    let first = build(&table, None);

    let mut unknown = host("a", "a.io", "u");
    unknown.routes.insert(0, route("whole", "/whole", to("u")));
    unknown.routes[1].policies = vec![prost_types::Any { type_url: "/x.Teleport".into(), value: vec![] }];
    let mut undecodable = host("b", "b.io", "u");
    undecodable.routes[0].r#match = None;
    put(&mut table, Wire::VirtualHost(unknown));
    put(&mut table, Wire::VirtualHost(undecodable));
    put(&mut table, Wire::VirtualHost(host("c", "c.io", "u")));
    for prev in [Some(&*first), None] {
        let (second, rejections) = Runtime::build(&table, prev);
        assert_eq!(
            reasons(&rejections),
            [
                "virtual_host a routes[1].policies[0].type_url: unknown policy \"/x.Teleport\"",
                "virtual_host b routes[0].match: missing"
            ]
        );
        let kept = if prev.is_some() { "a-route-0 u" } else { "config_rejected" };
        assert_eq!(answer(&second, "a.io", "/"), kept);
        let other = if prev.is_some() { "a-route-0 u" } else { "whole u" };
        assert_eq!(
            answer(&second, "a.io", "/whole"),
            other,
            "only the route with the unknown policy is closed"
        );
        assert_eq!(answer(&second, "b.io", "/"), "config_rejected", "not another host's routes");
        assert_eq!(answer(&second, "c.io", "/"), "c-route-0 u");

        let (third, again) = Runtime::build(&table, Some(&second));
        assert_eq!(again, rejections, "said again as long as it is so");
        assert_eq!(answer(&third, "a.io", "/"), kept);
        let mut repaired = table.clone();
        put(&mut repaired, Wire::VirtualHost(host("a", "a.io", "w")));
        put(&mut repaired, Wire::VirtualHost(host("b", "b.io", "u")));
        let fourth = build(&repaired, Some(&third));
        assert_eq!(answer(&fourth, "a.io", "/"), "a-route-0 w no_cluster");
        assert_eq!(answer(&fourth, "b.io", "/"), "b-route-0 u");
    }
}

#[test]
fn a_broken_chain_leaves_the_others_alone_and_its_names_closed() {
    let mut table = held(vec![
        Wire::Certificate(certificate("good", &self_signed(&["good"]))),
        Wire::Certificate(certificate("all", &self_signed(&["all"]))),
        Wire::Listener(listener(
            "l",
            vec![
                tls_chain("good", &["good.io"]),
                tls_chain("gone", &["gone.io", "*.gone.io"]),
                tls_chain("all", &[]),
            ],
        )),
    ]);
    let (first, rejections) = Runtime::build(&table, None);
    assert_eq!(
        reasons(&rejections),
        ["listener l filter_chains[1].tls.certificate: certificate \"gone\" is missing"]
    );
    let chosen = |runtime: &Runtime, sni| {
        runtime.listener("l").expect("l").select(sni, CLIENT).map(|chain| chain.name.to_string())
    };
    assert_eq!(chosen(&first, Some("good.io")).as_deref(), Some("chain-good"));
    assert_eq!(chosen(&first, Some("gone.io")), None, "not served with another certificate");
    assert_eq!(chosen(&first, Some("a.gone.io")), None);
    assert_eq!(chosen(&first, Some("other.io")).as_deref(), Some("chain-all"));

    let one = self_signed(&["gone"]);
    put(&mut table, Wire::Certificate(certificate("gone", &one)));
    let second = build(&table, Some(&first));
    assert_eq!(chosen(&second, Some("gone.io")).as_deref(), Some("chain-gone"));

    let two = self_signed(&["gone"]);
    put(&mut table, Wire::Certificate(certificate("gone", &table::Certificate { key: two.key, ..one })));
    let (third, rejections) = Runtime::build(&table, Some(&second));
    assert_eq!(rejections.len(), 1);
    assert!(rejections[0].reason.contains("does not fit its private key"), "{rejections:?}");
    assert_eq!(chosen(&third, Some("gone.io")).as_deref(), Some("chain-gone"), "the previous form");
}

#[test]
fn server_names_choose_the_chain() {
    let chains = vec![tls_chain("a", &["a.io", "*.a.io"]), tls_chain("b", &["*.b.a.io"])];
    let mut resources: Vec<_> =
        ["a", "b", "c"].iter().map(|name| Wire::Certificate(certificate(name, &self_signed(&[])))).collect();
    resources.push(Wire::Listener(listener("named", chains.clone())));
    resources.push(Wire::Listener(listener("open", [chains, vec![tls_chain("c", &[])]].concat())));
    let runtime = build(&held(resources), None);
    let chosen = |listener, sni| {
        runtime
            .listener(listener)
            .expect("there")
            .select(sni, CLIENT)
            .map(|chain| chain.name.to_string())
            .unwrap_or_default()
    };
    for (sni, named, open) in [
        (Some("a.io"), "chain-a", "chain-a"),
        (Some("A.IO"), "chain-a", "chain-a"),
        (Some("x.a.io"), "chain-a", "chain-a"),
        (Some("x.y.a.io"), "chain-a", "chain-a"),
        (Some("b.a.io"), "chain-a", "chain-a"),
        (Some("x.b.a.io"), "chain-b", "chain-b"),
        (Some(".a.io"), "", "chain-c"),
        (Some("io"), "", "chain-c"),
        (Some("xa.io"), "", "chain-c"),
        (None, "", "chain-c"),
    ] {
        assert_eq!((chosen("named", sni), chosen("open", sni)), (named.into(), open.into()), "{sni:?}");
    }
    assert!(runtime.listener("named").expect("there").tls);
}

#[test]
fn an_upstream_follows_its_certificates() {
    let (one, two) = (Ca::new("ca"), Ca::new("ca"));
    let mut secure = upstream("u");
    secure.tls = Some(proto::UpstreamTls { ca_certificate: "ca".into(), ..Default::default() });
    let mut table = held(vec![Wire::Upstream(secure)]);
    let (first, rejections) = Runtime::build(&table, None);
    assert_eq!(reasons(&rejections), ["upstream u tls.ca_certificate: certificate \"ca\" is missing"]);
    assert!(first.upstream("u").is_none(), "never without the verification that was asked for");

    let identity = |runtime: &Runtime| runtime.upstream("u").expect("u").tls.as_ref().expect("tls").identity;
    put(&mut table, Wire::Certificate(certificate("ca", &one.alone())));
    let second = build(&table, Some(&first));
    put(&mut table, Wire::Certificate(certificate("ca", &two.alone())));
    let third = build(&table, Some(&second));
    assert_ne!(identity(&second), identity(&third));

    table.remove(Kind::Certificate, "ca");
    let (fourth, rejections) = Runtime::build(&table, Some(&third));
    assert_eq!((rejections.len(), identity(&fourth)), (1, identity(&third)));
}

#[test]
fn the_digest_is_that_of_the_set_and_a_clone_is_a_transaction() {
    let one = held(vec![Wire::Upstream(upstream("u")), Wire::Upstream(upstream("v"))]);
    let other = held(vec![Wire::Upstream(upstream("v")), Wire::Upstream(upstream("u"))]);
    assert_eq!(one.digest(), other.digest());
    let mut next = one.clone();
    put(&mut next, Wire::Upstream(proto::Upstream { http2: true, ..upstream("u") }));
    assert!(next.remove(Kind::Upstream, "v") && !next.remove(Kind::Upstream, "v"));
    assert_ne!(next.digest(), one.digest());
    assert_eq!((one.len(), next.len()), (2, 1));
    put(&mut next, Wire::Upstream(upstream("u")));
    put(&mut next, Wire::Upstream(upstream("v")));
    assert_eq!(next.digest(), one.digest());
    let mut names: Vec<_> = next.resources().map(|(kind, name, _)| format!("{kind} {name}")).collect();
    names.sort();
    assert_eq!(names, ["upstream u", "upstream v"]);
    assert!(next.upsert(portcullis_proto::link::v1::Upsert::default()).is_err());
    assert!(next.upsert(table::upsert(Wire::Upstream(upstream("")))).is_err());
}

/// One edit of a table with few names, so that edits meet.
#[derive(Debug, Clone)]
enum Edit {
    Host { name: u8, domain: u8, upstream: u8, configs: u8 },
    Split { name: u8, upstream: u8 },
    Upstream(u8),
    Remove(Kind, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let small = || 0u8..4;
    let kind = prop_oneof![Just(Kind::VirtualHost), Just(Kind::Upstream), Just(Kind::Split)];
    prop_oneof![
        6 => (small(), small(), 0u8..6, 0u8..3)
            .prop_map(|(name, domain, upstream, configs)| Edit::Host { name, domain, upstream, configs }),
        2 => (small(), small()).prop_map(|(name, upstream)| Edit::Split { name, upstream }),
        2 => small().prop_map(Edit::Upstream),
        2 => (kind, small()).prop_map(|(kind, name)| Edit::Remove(kind, name)),
    ]
}

fn apply(table: &mut Held, edit: Edit) {
    match edit {
        Edit::Host { name, domain, upstream, configs } => {
            let domain = ["a.io", "*.a.io", "*", "b.*"][usize::from(domain)];
            let mut host = host(&format!("n{name}"), domain, &format!("n{upstream}"));
            if upstream >= 4 {
                host.routes[0] =
                    route("split", "/", proto::forward::Target::Split(format!("n{}", upstream - 4)));
            }
            let configs = [&["rc"][..], &["other", "rc"], &["other"]][usize::from(configs)];
            host.route_configs = configs.iter().map(|name| (*name).into()).collect();
            put(table, Wire::VirtualHost(host));
        }
        Edit::Split { name, upstream } => {
            let destinations = vec![destination(&format!("n{upstream}"), 1)];
            let destinations = Some(proto::Destinations { destinations });
            put(
                table,
                Wire::Split(proto::Split { name: format!("n{name}"), destinations, ..Default::default() }),
            );
        }
        Edit::Upstream(name) => put(table, Wire::Upstream(upstream(&format!("n{name}")))),
        Edit::Remove(kind, name) => {
            table.remove(kind, &format!("n{name}"));
        }
    }
}

proptest! {
    #[test]
    fn a_build_on_top_of_others_answers_as_one_from_nothing(edits in prop::collection::vec(edit(), 1..40)) {
        // What a worker holds, which lets go of what runs, and the same with all of its content.
        let (mut held, mut table) = (Held::default(), Held::default());
        let mut running: Option<Arc<Runtime>> = None;
        for edit in edits {
            apply(&mut held, edit.clone());
            apply(&mut table, edit);
            let next = build(&held, running.as_deref());
            let fresh = build(&table, None);
            held = next.held().clone();
            prop_assert_eq!(held.digest(), table.digest());
            for kind in [Kind::VirtualHost, Kind::Split] {
                prop_assert!(held.of_kind(kind).values().all(|entry| matches!(entry.content, Content::Settled)));
            }
            for config in ["rc", "other"] {
                for authority in ["a.io", "x.a.io", "b.io", "c.io"] {
                    prop_assert_eq!(
                        answer_in(&next, config, authority, "/x"),
                        answer_in(&fresh, config, authority, "/x")
                    );
                }
                let hosts = |runtime: &Runtime| {
                    let hosts = runtime.route_config(config).map(|config| config.hosts().count());
                    hosts.unwrap_or_default()
                };
                prop_assert_eq!(hosts(&next), hosts(&fresh));
            }
            running = Some(next);
        }
    }
}
