//! Matchers, delegation, actions and rewrites, seen from outside.

use std::time::{Duration, Instant};

use http::Response;
use portcullis_tests::backend::{body, scripted, upstream};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::{forward, two_versions, virtual_service};

/// Method, path, headers, and the body of the route that must win.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

#[tokio::test]
async fn the_first_matching_route_wins_and_each_predicate_counts() {
    let gateway = Gateway::new();
    let direct = |matcher: &str, name: &str| {
        format!("    - matchers: [{matcher}]\n      directResponseAction: {{status: 200, body: {name}}}\n")
    };
    let routes = [
        direct("{exact: /exact}", "exact"),
        direct("{regex: '/re/[0-9]+'}", "regex"),
        direct("{prefix: /m, methods: [POST, PUT]}", "method"),
        direct("{prefix: /h, headers: [{name: x-kind, value: blue}]}", "header"),
        direct("{prefix: /h, headers: [{name: x-kind, value: 'gr.*', regex: true}]}", "header-regex"),
        direct("{prefix: /h, headers: [{name: x-kind, invertMatch: true}]}", "header-absent"),
        direct("{prefix: /q, queryParameters: [{name: id, value: '\\d+', regex: true}]}", "query"),
        direct("{prefix: /CASE, caseSensitive: false}", "case"),
        direct("{prefix: /foo}", "foo"),
        direct("{prefix: /}", "rest"),
    ];
    gateway.write("vs.yaml", &virtual_service("routes", "['r.test']", &routes.concat()));
    let gateway = gateway.start().await;
    let cases: &[Case] = &[
        ("GET", "/exact", &[], "exact"),
        ("GET", "/exact?x=1", &[], "exact"),
        ("GET", "/exact/", &[], "rest"),
        ("GET", "/re/12", &[], "regex"),
        ("GET", "/re/12x", &[], "rest"),
        ("POST", "/m", &[], "method"),
        ("GET", "/m", &[], "rest"),
        ("GET", "/h", &[("x-kind", "blue")], "header"),
        ("GET", "/h", &[("X-Kind", "green")], "header-regex"),
        ("GET", "/h", &[], "header-absent"),
        ("GET", "/h", &[("x-kind", "red")], "rest"),
        ("GET", "/q?id=7", &[], "query"),
        ("GET", "/q?id=x&id=7", &[], "rest"),
        ("GET", "/case/x", &[], "case"),
        ("GET", "/foobar", &[], "foo"),
        ("GET", "/a/../foo", &[], "foo"),
        ("GET", "/other", &[], "rest"),
    ];
    for (method, path, headers, expected) in cases {
        let answer = client::request(gateway.http(), method, "r.test", path, headers, "").await.unwrap();
        assert_eq!(answer.text(), *expected, "{method} {path} {headers:?}");
    }
    let unknown = gateway.get("nobody.test", "/").await;
    assert_eq!((unknown.status, unknown.text()), (404, String::new()));
}

#[tokio::test]
async fn domains_go_exact_then_longest_wildcard_then_star() {
    let gateway = Gateway::new();
    let mut file = String::new();
    for (name, domain) in [
        ("star", "*"),
        ("suffix", "*.foo.test"),
        ("longer", "*-x.foo.test"),
        ("prefix", "foo.*"),
        ("exact", "a.foo.test"),
    ] {
        let route = format!("    - directResponseAction: {{status: 200, body: {name}}}\n");
        file.push_str(&format!("---\n{}", virtual_service(name, &format!("['{domain}']"), &route)));
    }
    gateway.write("domains.yaml", &file);
    let gateway = gateway.start().await;
    for (host, expected) in [
        ("a.foo.test", "exact"),
        ("A.FOO.test", "exact"),
        ("b.foo.test", "suffix"),
        ("b-x.foo.test", "longer"),
        ("foo.test", "prefix"),
        ("a.foo.test:8080", "star"),
        ("bar.test", "star"),
    ] {
        assert_eq!(gateway.get(host, "/").await.text(), expected, "{host}");
    }
}

#[tokio::test]
async fn delegation_flattens_tables_with_inheritance() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let root = "    - matchers: [{prefix: /api, headers: [{name: x-team, value: blue}]}]\n      options: {prefixRewrite: /rewritten}\n      \
                delegateAction: {selector: {labels: {team: blue}, namespaces: ['*']}}\n";
    gateway.write("root.yaml", &virtual_service("root", "['d.test']", root));
    let table = |name: &str, namespace: &str, weight: i32, routes: &str| {
        format!(
            "---\napiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{team: blue}}}}\n\
             spec:\n  weight: {weight}\n  routes:\n{routes}"
        )
    };
    let to = |upstream: &str| {
        format!("      routeAction: {{single: {{upstream: {{name: {upstream}, namespace: gloo-system}}}}}}\n")
    };
    gateway.write(
        "tables.yaml",
        &(table("second", "team-a", 20, &format!("    - matchers: [{{prefix: /api}}]\n      inheritableMatchers: true\n{}", to("v2")))
            + &table(
                "first",
                "team-b",
                10,
                &format!(
                    "    - matchers: [{{exact: /api/one}}]\n      inheritableMatchers: true\n{}    - matchers: [{{prefix: /elsewhere}}]\n      inheritableMatchers: true\n{}",
                    to("v1"),
                    to("v1")
                ),
            )),
    );
    let gateway = gateway.start().await;
    let ask = |path: &'static str, team: &'static str| {
        client::request(
            gateway.http(),
            "GET",
            "d.test",
            path,
            if team.is_empty() { &[] } else { &[("x-team", "blue")] },
            "",
        )
    };
    let one = ask("/api/one", "blue").await.unwrap();
    assert_eq!(one.served_by(), "v1");
    assert_eq!(
        one.json()["path"],
        "/rewritten",
        "the parent's option is inherited, the child's own match is replaced"
    );
    let two = ask("/api/two", "blue").await.unwrap();
    assert_eq!(two.served_by(), "v2");
    assert_eq!(two.json()["path"], "/rewritten/two");
    assert_eq!(ask("/api/one", "").await.unwrap().status, 404, "the parent's header matcher is inherited");
    assert_eq!(ask("/elsewhere", "blue").await.unwrap().status, 404, "a child outside its parent is dropped");
    let shown = gateway.portcullis(&["get", "rt", "first", "-n", "team-b"]).await;
    assert!(
        String::from_utf8_lossy(&shown.stdout).contains("Warning"),
        "{}",
        String::from_utf8_lossy(&shown.stdout)
    );
}

#[tokio::test]
async fn redirects_and_direct_responses() {
    let gateway = Gateway::new();
    let redirect = |prefix: &str, action: &str| {
        format!("    - matchers: [{{prefix: {prefix}}}]\n      redirectAction: {action}\n")
    };
    let routes = redirect("/https", "{httpsRedirect: true}")
        + &redirect("/host", "{hostRedirect: other.test, responseCode: FOUND, stripQuery: true}")
        + &redirect("/swap", "{prefixRewrite: /swapped, responseCode: PERMANENT_REDIRECT}")
        + &redirect("/path", "{pathRedirect: /target, responseCode: SEE_OTHER}")
        + "    - matchers: [{prefix: /teapot}]\n      directResponseAction: {status: 418, body: short and stout}\n";
    gateway.write("vs.yaml", &virtual_service("redirects", "['r.test']", &routes));
    let gateway = gateway.start().await;
    for (path, status, location) in [
        ("/https/x?y=1", 301, "https://r.test/https/x?y=1"),
        ("/host/x?y=1", 302, "http://other.test/host/x"),
        ("/swap/x?y=1", 308, "http://r.test/swapped/x?y=1"),
        ("/path/x", 303, "http://r.test/target"),
    ] {
        let answer = gateway.get("r.test", path).await;
        assert_eq!((answer.status, answer.header("location")), (status, location), "{path}");
    }
    let teapot = gateway.get("r.test", "/teapot").await;
    assert_eq!((teapot.status, teapot.text().as_str()), (418, "short and stout"));
}

#[tokio::test]
async fn rewrites_and_header_manipulation_reach_the_upstream_in_order() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let vs = format!(
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {{name: h, namespace: gloo-system}}\nspec:\n  virtualHost:\n    \
         domains: ['h.test']\n    options:\n      headerManipulation:\n        requestHeadersToAdd:\n        \
         - {{header: {{key: x-level, value: vhost}}, append: false}}\n        - {{header: {{key: x-client, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}}}\n        \
         responseHeadersToAdd: [{{header: {{key: x-out, value: vhost}}}}]\n    routes:\n{}",
        "    - matchers: [{prefix: /re}]\n      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}\n      options:\n        \
         regexRewrite: {pattern: {regex: '^/re/([^/]+)/(.*)$'}, substitution: '/\\2/\\1'}\n        hostRewrite: rewritten.test\n        appendXForwardedHost: true\n    \
         - matchers: [{prefix: /pre}]\n      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}\n      options:\n        \
         prefixRewrite: /\n        headerManipulation:\n          requestHeadersToRemove: [x-secret]\n          \
         requestHeadersToAdd: [{header: {key: x-level, value: route}}]\n          responseHeadersToAdd: [{header: {key: x-out, value: route}}]\n"
    );
    gateway.write("vs.yaml", &vs);
    let gateway = gateway.start().await;
    let re = gateway.get("h.test", "/re/one/two?q=1").await.json();
    assert_eq!((re["path"].as_str(), re["query"].as_str()), (Some("/two/one"), Some("q=1")), "{re}");
    assert_eq!(re["host"], "rewritten.test");
    assert_eq!(re["headers"]["x-forwarded-host"], "h.test", "{re}");
    assert_eq!(re["headers"]["x-envoy-original-path"], "/re/one/two?q=1");

    let answer = client::request(
        gateway.http(),
        "GET",
        "h.test",
        "/pre/x",
        &[("x-secret", "s"), ("x-level", "client")],
        "",
    )
    .await
    .unwrap();
    let pre = answer.json();
    assert_eq!(pre["path"], "//x", "Envoy's arithmetic: the prefix alone is replaced");
    assert_eq!(pre["headers"].get("x-secret"), None);
    assert_eq!(pre["headers"]["x-level"], "vhost", "the overwriting virtual host runs last");
    assert_eq!(pre["headers"]["x-client"], "127.0.0.1", "{pre}");
    let out: Vec<_> = answer.headers.get_all("x-out").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(out.join(","), "route,vhost");
}

#[tokio::test]
async fn timeouts_are_exact_and_retries_go_on() {
    let gateway = Gateway::new();
    let flaky_count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = std::sync::Arc::clone(&flaky_count);
    let backend = scripted(gateway.ip, move |request| {
        let n = counter
            .fetch_add(u32::from(request.uri().path() == "/flaky"), std::sync::atomic::Ordering::SeqCst);
        async move {
            match request.uri().path() {
                "/slow" => std::future::pending().await,
                "/flaky" if n < 2 => Response::builder().status(503).body(body("not yet")).unwrap(),
                _ => Response::new(body("fine")),
            }
        }
    })
    .await;
    gateway.write("us.yaml", &upstream("backend", backend.address, ""));
    let route = |path: &str, options: &str| format!("{}      options: {options}\n", forward(path, "backend"));
    let routes = route("/slow", "{timeout: 300ms}")
        + &route("/flaky", "{retries: {retryOn: 5xx, numRetries: 3, retryBackOff: {baseInterval: 1ms}}}")
        + &forward("/", "backend");
    gateway.write("vs.yaml", &virtual_service("t", "['t.test']", &routes));
    let gateway = gateway.start().await;
    let start = Instant::now();
    let slow = gateway.get("t.test", "/slow").await;
    assert_eq!((slow.status, slow.text().as_str()), (504, "upstream request timeout"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(start.elapsed() < Duration::from_millis(2000), "{:?}", start.elapsed());
    assert_eq!(gateway.get("t.test", "/flaky").await.text(), "fine");
    assert_eq!(flaky_count.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_is_missing_is_503_and_cluster_header_names_an_upstream() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let routes = forward("/missing", "nowhere")
        + "    - matchers: [{prefix: /chosen}]\n      routeAction: {clusterHeader: x-cluster}\n"
        + &forward("/dead", "dead");
    gateway.write("dead.yaml", &upstream("dead", std::net::SocketAddr::from((gateway.ip, 1)), ""));
    gateway.write("vs.yaml", &virtual_service("c", "['c.test']", &routes));
    let gateway = gateway.start().await;
    assert_eq!(gateway.get("c.test", "/missing").await.status, 503);
    assert_eq!(gateway.get("c.test", "/dead").await.status, 503);
    assert_eq!(gateway.get("c.test", "/chosen").await.status, 503);
    for (cluster, status) in [("v2_gloo-system", 200), ("other_gloo-system", 503)] {
        let answer =
            client::request(gateway.http(), "GET", "c.test", "/chosen", &[("x-cluster", cluster)], "")
                .await
                .unwrap();
        assert_eq!(answer.status, status, "{cluster}");
    }
    let metrics = client::get(gateway.admin(1), "/metrics").await.unwrap().text();
    for reason in ["no_cluster", "connect_failed"] {
        assert!(metrics.contains(reason), "{reason} is counted:\n{metrics}");
    }
}

#[tokio::test]
async fn names_are_resolved_and_localhost_works() {
    let gateway = Gateway::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let _hello =
        portcullis_tests::backend::hello(std::net::SocketAddr::from(([127, 0, 0, 1], port)), "named").await;
    gateway.write(
        "us.yaml",
        &format!(
            "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: named, namespace: gloo-system}}\n\
             spec: {{static: {{hosts: [{{addr: localhost, port: {port}}}]}}}}\n"
        ),
    );
    let route = format!("{}      options: {{autoHostRewrite: true}}\n", forward("/", "named"));
    gateway.write("vs.yaml", &virtual_service("named", "['n.test']", &route));
    let gateway = gateway.start().await;
    let answer = gateway.get("n.test", "/").await;
    assert_eq!(answer.served_by(), "named");
    assert_eq!(answer.json()["host"], "localhost", "autoHostRewrite gives the endpoint's name");
}
