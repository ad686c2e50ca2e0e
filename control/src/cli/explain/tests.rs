use super::*;
use crate::cli::console::Console;
use crate::compile::Decoded;
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as wire;
use prost::{Message, Name};

fn origin(kind: &str, name: &str) -> Option<wire::Origin> {
    Some(wire::Origin { kind: kind.into(), namespace: "gloo-system".into(), name: name.into() })
}

fn any<T: Message + Name>(policy: &T) -> prost_types::Any {
    prost_types::Any { type_url: T::type_url(), value: policy.encode_to_vec() }
}

fn prefix(text: &str) -> wire::Match {
    wire::Match { path: Some(wire::r#match::Path::Prefix(text.into())), ..Default::default() }
}

fn route(index: usize, matcher: wire::Match, action: wire::route::Action) -> wire::Route {
    wire::Route {
        name: format!("gloo-system_shop-route-{index}-matcher-0"),
        origin: origin("VirtualService", "shop"),
        path: format!("spec.virtualHost.routes[{index}]"),
        r#match: Some(matcher),
        action: Some(action),
        ..Default::default()
    }
}

fn to(weights: &[(&str, u32)]) -> wire::route::Action {
    let one = |(name, weight): &(&str, u32)| wire::Destination {
        upstream: (*name).into(),
        weight: *weight,
        ..Default::default()
    };
    let destinations = wire::Destinations { destinations: weights.iter().map(one).collect() };
    wire::route::Action::Forward(wire::Forward {
        target: Some(wire::forward::Target::Destinations(destinations)),
    })
}

fn upstream(name: &str, port: u32) -> wire::Upstream {
    let endpoint = wire::Endpoint { address: "127.0.0.1".into(), port, ..Default::default() };
    wire::Upstream {
        name: name.into(),
        origin: origin("Upstream", name),
        endpoints: vec![endpoint],
        ..Default::default()
    }
}

fn listener(port: u32, chains: Vec<wire::FilterChain>) -> wire::Listener {
    wire::Listener {
        name: format!("listener-::-{port}"),
        origin: origin("Gateway", "gateway-proxy"),
        address: "::".into(),
        port,
        proxy_protocol: false,
        filter_chains: chains,
        ..Default::default()
    }
}

fn chain(names: &[&str], certificate: Option<&str>, config: &str) -> wire::FilterChain {
    wire::FilterChain {
        name: certificate.unwrap_or("plain").into(),
        server_names: names.iter().map(|name| (*name).to_owned()).collect(),
        tls: certificate.map(|name| wire::DownstreamTls { certificate: name.into(), ..Default::default() }),
        serve: Some(wire::filter_chain::Serve::RouteConfig(config.into())),
        ..Default::default()
    }
}

/// A shop with a plain and a TLS listener; `change` edits its virtual host.
fn shop(change: impl FnOnce(&mut wire::VirtualHost)) -> Decoded {
    let canary = wire::HeaderMatch {
        name: "x-stage".into(),
        value: Some(wire::header_match::Value::Exact("canary".into())),
        invert: false,
    };
    let testers = wire::Match { headers: vec![canary], ..prefix("/") };
    let mut host = wire::VirtualHost {
        virtual_clusters: Vec::new(),
        name: "gloo-system_shop".into(),
        origin: origin("VirtualService", "shop"),
        route_configs: vec!["plain".into()],
        domains: vec!["shop.example.com".into()],
        routes: vec![
            route(0, testers, to(&[("v2", 1)])),
            route(1, prefix("/api/"), to(&[("v1", 3), ("v2", 1)])),
            route(2, prefix("/cart"), to(&[("v1", 1)])),
        ],
        require_tls: false,
        client_chain: String::new(),
    };
    change(&mut host);
    let secure = wire::VirtualHost {
        name: "gloo-system_secure".into(),
        route_configs: vec!["tls".into()],
        domains: vec!["*".into()],
        ..host.clone()
    };
    let tls = vec![
        chain(&["shop.example.com"], Some("gloo-system.exact"), "tls"),
        chain(&["*.example.com"], Some("gloo-system.wildcard"), "tls"),
    ];
    Decoded {
        listeners: [listener(8080, vec![chain(&[], None, "plain")]), listener(8443, tls)]
            .map(|listener| listener.try_into().unwrap())
            .into(),
        virtual_hosts: [host, secure].map(|host| host.try_into().unwrap()).into(),
        upstreams: [upstream("v1", 9001), upstream("v2", 9002)].map(|one| one.try_into().unwrap()).into(),
        ..Default::default()
    }
}

fn ask(table: &Decoded, method: &str, url: &str, headers: &[&str]) -> Explanation {
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    explain(table, &Request::parse(method, url, &headers).unwrap())
}

fn destinations(explanation: &Explanation) -> &[Effect] {
    match &explanation.outcome {
        Outcome::Forward { destinations, .. } => destinations,
        other => panic!("not forwarded: {other:?}"),
    }
}

fn not_served(explanation: &Explanation) -> (Option<u16>, &str, &str, &[String]) {
    match &explanation.outcome {
        Outcome::NotServed { status, reason, why, nearest } => (*status, reason, why, nearest),
        other => panic!("served: {other:?}"),
    }
}

#[test]
fn the_first_match_wins_and_earlier_ones_say_why_not() {
    let explanation = ask(&shop(|_| ()), "GET", "http://shop.example.com/cart", &[]);
    assert_eq!(explanation.route.as_ref().unwrap().field, "spec.virtualHost.routes[2]");
    let passed: Vec<_> =
        explanation.passed_over.iter().map(|one| (&*one.route.field, &*one.because)).collect();
    assert_eq!(passed.len(), 2);
    assert!(passed[0].1.contains("header") && passed[0].1.contains("x-stage"), "{passed:?}");
    assert!(passed[1].1.contains("path") && passed[1].1.contains("/api/"), "{passed:?}");
    let testers = ask(&shop(|_| ()), "GET", "http://shop.example.com/cart", &["X-Stage: canary"]);
    assert_eq!(testers.route.unwrap().field, "spec.virtualHost.routes[0]");
    assert!(testers.passed_over.is_empty());
}

#[test]
fn weights_are_shown_in_percent() {
    let explanation = ask(&shop(|_| ()), "GET", "http://shop.example.com/api/x?y=1", &[]);
    let shares: Vec<_> =
        destinations(&explanation).iter().map(|to| (&*to.upstream, to.percent, &*to.endpoints[0])).collect();
    assert_eq!(shares, [("v1", 75.0, "127.0.0.1:9001"), ("v2", 25.0, "127.0.0.1:9002")]);
    assert_eq!(destinations(&explanation)[0].request.path, "/api/x?y=1");
    assert_eq!(destinations(&explanation)[0].timeout.as_deref(), Some("15s"));
}

#[test]
fn policies_show_in_the_rewritten_request_and_a_destination_replaces_them() {
    let level = |name: &str| policy::HeaderLevel {
        remove: vec!["x-old".into()],
        add: vec![policy::HeaderAdd { name: name.into(), value: "1".into(), overwrite: true }],
    };
    let headers =
        |name: &str| policy::Headers { request: vec![level(name)], response: vec![level("x-answer")] };
    let table = shop(|host| {
        let rewrite =
            policy::PathRewrite { rewrite: Some(policy::path_rewrite::Rewrite::Prefix("/".into())) };
        let literal = policy::host_rewrite::Rewrite::Literal("internal".into());
        let host_rewrite = policy::HostRewrite { rewrite: Some(literal), append_x_forwarded_host: true };
        let retry = policy::Retry {
            retry_on: vec!["5xx".into()],
            num_retries: 2,
            per_try_timeout_ms: 500,
            ..Default::default()
        };
        let unknown = prost_types::Any { type_url: "/portcullis.policy.v1.Teapot".into(), value: vec![] };
        host.routes[1].policies = vec![
            any(&headers("x-route")),
            any(&rewrite),
            any(&host_rewrite),
            any(&policy::Timeout { total_ms: 0 }),
            any(&retry),
            unknown,
        ];
        if let Some(wire::route::Action::Forward(forward)) = &mut host.routes[1].action
            && let Some(wire::forward::Target::Destinations(list)) = &mut forward.target
        {
            list.destinations[1].policies = vec![any(&headers("x-destination"))];
        }
    });
    let explanation = ask(&table, "GET", "http://shop.example.com/api/x?y=1", &[]);
    let [first, second] = destinations(&explanation) else { panic!("two destinations") };
    assert_eq!((first.request.path.as_str(), first.request.host.as_str()), ("/x?y=1", "internal"));
    assert_eq!(
        first.request.headers,
        ["add x-forwarded-host: shop.example.com", "remove x-old", "set x-route: 1"]
    );
    assert_eq!(first.response_headers, ["remove x-old", "set x-answer: 1"]);
    assert_eq!(first.timeout, None);
    assert_eq!(first.retries.as_deref(), Some("2 on 5xx, 500ms a try"));
    assert_eq!(first.other_policies, ["Teapot"]);
    assert!(second.request.headers.contains(&"set x-destination: 1".to_owned()));
    assert!(!second.request.headers.contains(&"set x-route: 1".to_owned()));
}

#[test]
fn tls_chooses_the_certificate_by_server_name() {
    let table = shop(|_| ());
    for (url, certificate) in [
        ("https://shop.example.com/cart", Some("gloo-system.exact")),
        ("https://blog.example.com/cart", Some("gloo-system.wildcard")),
        ("https://a.b.example.com:8443/cart", Some("gloo-system.wildcard")),
    ] {
        let listener = ask(&table, "GET", url, &[]).listener.unwrap();
        assert_eq!(
            (listener.address.as_str(), listener.certificate.as_deref()),
            ("[::]:8443", certificate),
            "{url}"
        );
    }
    let stranger = ask(&table, "GET", "https://example.org/cart", &[]);
    let (status, reason, why, _) = not_served(&stranger);
    assert_eq!((status, reason), (None, "no_filter_chain"));
    assert!(why.contains("example.org"), "{why}");
}

#[test]
fn a_plain_request_to_a_tls_port_is_told() {
    let explanation = ask(&shop(|_| ()), "GET", "http://shop.example.com:8443/", &[]);
    assert!(not_served(&explanation).2.contains("TLS"));
}

#[test]
fn a_port_in_the_host_is_pointed_out() {
    let explanation = ask(&shop(|_| ()), "GET", "http://shop.example.com:8080/cart", &[]);
    let (status, reason, why, nearest) = not_served(&explanation);
    assert_eq!((status, reason), (Some(404), "no_virtual_host"));
    assert!(why.contains("port"), "{why}");
    assert_eq!(nearest, ["shop.example.com"]);
}

#[test]
fn a_misspelt_host_gets_its_neighbours() {
    let explanation = ask(&shop(|_| ()), "GET", "http://shpo.example.com/cart", &[]);
    assert_eq!(not_served(&explanation).3, ["shop.example.com"]);
}

#[test]
fn no_route_names_the_nearest() {
    let table = shop(|host| {
        host.routes.remove(0);
        host.routes[1].r#match.as_mut().unwrap().methods = vec!["POST".into()];
    });
    let explanation = ask(&table, "GET", "http://shop.example.com/cart", &[]);
    let (status, reason, _, nearest) = not_served(&explanation);
    assert_eq!((status, reason), (Some(404), "no_route"));
    assert!(nearest[0].contains("/cart") && nearest[0].contains("method is not POST"), "{nearest:?}");
    assert_eq!(explanation.passed_over.len(), 2);
}

#[test]
fn redirects_and_answers_need_no_upstream() {
    let table = shop(|host| {
        let redirect = wire::Redirect { https: true, port: 8443, ..Default::default() };
        let answer = wire::DirectResponse { status: 418, body: "teapot".into() };
        host.routes = vec![
            route(0, prefix("/old"), wire::route::Action::Redirect(redirect)),
            route(1, prefix("/"), wire::route::Action::DirectResponse(answer)),
        ];
    });
    let redirect = ask(&table, "GET", "http://shop.example.com/old?a=b", &[]);
    let location = "https://shop.example.com:8443/old?a=b".to_owned();
    assert_eq!(redirect.outcome, Outcome::Redirect { status: 301, location });
    let answer = ask(&table, "GET", "http://shop.example.com/tea", &[]);
    assert_eq!(answer.outcome, Outcome::DirectResponse { status: 418, body: "teapot".into() });
}

#[test]
fn an_upstream_that_does_not_exist_is_named() {
    let table = shop(|host| host.routes = vec![route(0, prefix("/"), to(&[("gone", 1)]))]);
    let explanation = ask(&table, "GET", "http://shop.example.com/", &[]);
    assert_eq!(destinations(&explanation)[0].from, None);
    assert!(render::text(&explanation, &Console::plain()).contains("no such upstream"));
}

#[test]
fn a_destination_that_is_replaced_shows_the_answer() {
    let table = shop(|host| {
        let mut action = to(&[("v1", 3), ("gone", 1)]);
        let wire::route::Action::Forward(forward) = &mut action else { panic!("forward") };
        let Some(wire::forward::Target::Destinations(list)) = &mut forward.target else { panic!("list") };
        list.destinations[1].policies = vec![any(&policy::Answer { status: 404, body: "broken".into() })];
        host.routes = vec![route(0, prefix("/"), action)];
    });
    let explanation = ask(&table, "GET", "http://shop.example.com/", &[]);
    let replaced = &destinations(&explanation)[1];
    assert_eq!(replaced.answer, Some(Answered { status: 404, body: "broken".into() }));
    assert!(replaced.other_policies.is_empty());
    let text = render::text(&explanation, &Console::plain());
    assert!(text.contains("25% the gateway answers 404 \"broken\""), "{text}");
    assert!(!text.contains("no such upstream"), "{text}");
}

#[test]
fn paths_are_normalised_before_they_are_matched() {
    for url in ["http://shop.example.com/api/../cart", "http://shop.example.com/%63art"] {
        let explanation = ask(&shop(|_| ()), "GET", url, &[]);
        assert_eq!(explanation.request.path, "/cart");
        assert_eq!(explanation.route.as_ref().unwrap().field, "spec.virtualHost.routes[2]");
    }
    let refused = ask(&shop(|_| ()), "GET", "http://shop.example.com/a%00", &[]);
    let (status, reason, why, _) = not_served(&refused);
    assert_eq!((status, reason, why), (Some(400), "bad_request", "the path holds a NUL"));
}

#[test]
fn a_port_without_listener_is_told_and_no_port_takes_the_lowest() {
    let mut table = shop(|_| ());
    let explanation = ask(&table, "GET", "http://shop.example.com:9999/", &["host: shop.example.com"]);
    let (status, reason, why, there) = not_served(&explanation);
    assert_eq!((status, reason, why), (None, "no_listener", "nothing listens on port 9999"));
    assert_eq!(there, ["http on [::]:8080", "https on [::]:8443"]);
    table.listeners.push(listener(888, vec![chain(&[], None, "plain")]).try_into().unwrap());
    let explanation = ask(&table, "GET", "http://shop.example.com/cart", &[]);
    assert_eq!(explanation.listener.unwrap().address, "[::]:888");
}

#[test]
fn nothing_configured_is_not_a_riddle() {
    let explanation = ask(&Decoded::default(), "GET", "http://shop.example.com/", &[]);
    assert_eq!(not_served(&explanation).1, "no_listener");
}

#[test]
fn json_reads_back() {
    for url in ["http://shop.example.com/api/", "http://shop.example.com/none", "https://example.org/"] {
        let explanation = ask(&shop(|_| ()), "GET", url, &[]);
        let json = serde_json::to_string(&explanation).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation, "{json}");
    }
}

#[test]
fn text_shows_the_way_of_a_request() {
    let explanation = ask(&shop(|_| ()), "GET", "http://shop.example.com/api/x", &[]);
    let text = render::text(&explanation, &Console::plain());
    let expected = "\
request       GET /api/x
host          shop.example.com
listener      [::]:8080 (Gateway gloo-system.gateway-proxy)
virtual host  VirtualService gloo-system.shop, domain shop.example.com
passed over   1. prefix /, header x-stage=canary: header is not: x-stage=canary
                 VirtualService gloo-system.shop spec.virtualHost.routes[0]
route         2. prefix /api/
                 VirtualService gloo-system.shop spec.virtualHost.routes[1]
destination      75% v1 (http/1.1, 127.0.0.1:9001)
  gets               GET /api/x, Host shop.example.com
  limits             timeout 15s, retries none
destination      25% v2 (http/1.1, 127.0.0.1:9002)
  gets               GET /api/x, Host shop.example.com
  limits             timeout 15s, retries none
";
    assert_eq!(text, expected);
}

/// A port for three: an HTTP part by server name with settings, one by address, and bytes that are passed on.
fn shared() -> Decoded {
    let mut table = shop(|_| ());
    let target = wire::tcp_proxy::Target::Destinations(wire::Destinations {
        destinations: vec![wire::Destination { upstream: "v1".into(), weight: 1, ..Default::default() }],
    });
    let tcp = wire::TcpProxy { name: "db".into(), target: Some(target), ..Default::default() };
    let named = wire::FilterChain {
        name: "shop/tls".into(),
        origin: origin("MatchableHttpGateway", "shop"),
        path: "spec".into(),
        http: Some(wire::HttpSettings { via: "edge".into(), ..Default::default() }),
        policies: vec![any(&policy::Buffer { max_request_bytes: 7 }), any(&policy::GrpcWeb::default())],
        ..chain(&["shop.example.com"], Some("gloo-system.exact"), "tls")
    };
    let passed = wire::FilterChain {
        name: "db/tcp".into(),
        serve: Some(wire::filter_chain::Serve::Tcp(tcp)),
        ..chain(&["db.example.com"], None, "")
    };
    let inner = wire::FilterChain {
        name: "inner/plain".into(),
        source_prefixes: vec!["10.0.0.0/8".into()],
        ..chain(&[], None, "plain")
    };
    table.listeners.push(listener(9000, vec![named, passed, inner]).try_into().unwrap());
    table
}

#[test]
fn the_part_of_a_hybrid_gateway_and_its_settings_are_told() {
    let explanation = ask(&shared(), "GET", "https://shop.example.com:9000/cart", &["host: x"]);
    let listener = explanation.listener.clone().unwrap();
    assert_eq!(listener.part.as_deref(), Some("MatchableHttpGateway gloo-system.shop spec"));
    assert_eq!(listener.takes, ["server name shop.example.com"]);
    assert_eq!(listener.settings, ["via edge"]);
    assert_eq!(listener.policies, ["buffered up to 7 bytes"]);
    let text = render::text(&explanation, &Console::plain());
    assert!(text.contains("settings    via edge"), "{text}");
}

#[test]
fn the_address_of_the_client_decides_where_it_matters() {
    let ask = |from: Option<&str>| {
        let request =
            Request::parse("GET", "http://shop.example.com:9000/cart", &["host: shop.example.com".into()]);
        explain(&shared(), &request.unwrap().from(Client { sni: None, address: from }).unwrap())
    };
    assert_eq!(ask(Some("10.1.2.3")).listener.unwrap().filter_chain.as_deref(), Some("inner/plain"));
    assert!(ask(Some("::ffff:10.1.2.3")).route.is_some(), "an IPv4 client");
    assert_eq!(not_served(&ask(Some("192.0.2.1"))).2, "no filter chain takes clients at 192.0.2.1");
    assert!(not_served(&ask(None)).2.contains("--from"));
}

#[test]
fn connections_are_asked_about_with_a_server_name() {
    let ask = |sni: Option<&str>| {
        let request = Request::parse("GET", "tcp://127.0.0.1:9000", &[]).unwrap();
        explain(&shared(), &request.from(Client { sni, address: Some("10.0.0.1") }).unwrap())
    };
    match ask(Some("db.example.com")).outcome {
        Outcome::PassOn { tcp_host, destinations, .. } => {
            assert_eq!((tcp_host.as_str(), destinations[0].upstream.as_str()), ("db", "v1"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(not_served(&ask(None)).1, "http", "that one speaks HTTP");
}
