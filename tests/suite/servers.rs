//! Servers of users' own that the gateway asks: whether a request may pass, whether it is one too many.

use std::net::SocketAddr;

use http::Response;
use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::service::auth::v3 as auth;
use portcullis_proto::envoy::service::ratelimit::v3 as rls;
use portcullis_proto::google::rpc;
use portcullis_tests::backend::{body, scripted, upstream};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;
use portcullis_tests::wait::until;
use rls::rate_limit_response::Code;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status};

use crate::{two_versions, virtual_service};

/// Lets those in that say `x-token: good`, and tells upstreams that they are Bob.
struct Bob;

#[tonic::async_trait]
impl auth::authorization_server::Authorization for Bob {
    async fn check(
        &self,
        request: Request<auth::CheckRequest>,
    ) -> Result<tonic::Response<auth::CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap();
        assert_eq!(attributes.context_extensions["from"], "vhost");
        let http = attributes.request.unwrap().http.unwrap();
        let good = http.headers.get("x-token").is_some_and(|token| token == "good");
        let header = core::HeaderValue { key: "x-user-id".into(), value: "bob".into(), raw_value: vec![] };
        let headers = vec![core::HeaderValueOption { header: Some(header), ..Default::default() }];
        let ok = auth::OkHttpResponse { headers, ..Default::default() };
        Ok(tonic::Response::new(auth::CheckResponse {
            status: Some(rpc::Status { code: if good { 0 } else { 7 }, message: String::new() }),
            http_response: good.then_some(auth::check_response::HttpResponse::OkResponse(ok)),
            dynamic_metadata: Some(noted("plan", "gold")),
        }))
    }
}

/// What a server notes about a request.
fn noted(key: &str, text: &str) -> prost_types::Struct {
    let kind = Some(prost_types::value::Kind::StringValue(text.to_owned()));
    prost_types::Struct { fields: [(key.to_owned(), prost_types::Value { kind })].into() }
}

async fn bob() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = auth::authorization_server::AuthorizationServer::new(Bob);
    let router = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn settings(spec: &str) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {{name: default, namespace: gloo-system}}\nspec: {spec}\n"
    )
}

const ROUTES: &str = "    - matchers: [{prefix: /open}]
      options: {extauth: {disable: true}}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    - routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
";

#[tokio::test]
async fn an_auth_server_decides_by_grpc_and_by_http() {
    let gateway = Gateway::new();
    let _running = two_versions(&gateway).await;
    gateway.write("auth.yaml", &upstream("auth", bob().await, "  useHttp2: true\n"));
    let server = "{name: auth, namespace: gloo-system}, requestTimeout: 10s";
    gateway.write("settings.yaml", &settings(&format!("{{extauth: {{extauthzServerRef: {server}}}}}")));
    let service = virtual_service("main", "['*']", ROUTES).replace(
        "    routes:\n",
        "    options: {extauth: {customAuth: {contextExtensions: {from: vhost}}}}\n    routes:\n",
    );
    gateway.write("vs.yaml", &service);
    let gateway = gateway.start().await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        client::request(gateway.http(), "GET", "a.test", path, headers, "").await.unwrap()
    };
    assert_eq!(ask("/", &[]).await.status, 403);
    assert_eq!(ask("/", &[("x-token", "good"), ("x-user-id", "root")]).await.status, 200);
    assert_eq!(ask("/open", &[("x-user-id", "root")]).await.status, 200);

    // The same question by HTTP, to another server.
    let plain = scripted(gateway.ip, |request| async move {
        let status = if request.headers().contains_key("x-token") { 200 } else { 401 };
        Response::builder().status(status).header("x-path", request.uri().path()).body(body("why")).unwrap()
    })
    .await;
    gateway.write("auth.yaml", &upstream("auth", plain.address, ""));
    let http = "httpService: {pathPrefix: /check, request: {allowedHeaders: [x-token]}}";
    gateway
        .write("settings.yaml", &settings(&format!("{{extauth: {{extauthzServerRef: {server}, {http}}}}}")));
    let denied = gateway.until_get("a.test", "/x", |answer| answer.status == 401).await;
    assert_eq!((denied.header("x-path"), denied.text()), ("/check/x", "why".into()));
    assert_eq!(ask("/", &[("x-token", "any")]).await.status, 200);
}

/// Nobody whose `x-user` is Eve may ask for anything.
struct NotEve;

#[tonic::async_trait]
impl rls::rate_limit_service_server::RateLimitService for NotEve {
    async fn should_rate_limit(
        &self,
        request: Request<rls::RateLimitRequest>,
    ) -> Result<tonic::Response<rls::RateLimitResponse>, Status> {
        let request = request.into_inner();
        let eve = request.descriptors.iter().flat_map(|it| &it.entries).any(|entry| entry.value == "eve");
        let code = if eve { Code::OverLimit } else { Code::Ok };
        Ok(tonic::Response::new(rls::RateLimitResponse { overall_code: code.into(), ..Default::default() }))
    }
}

#[tokio::test]
async fn a_rate_limit_server_counts_and_buckets_run_dry() {
    let gateway = Gateway::new();
    let _running = two_versions(&gateway).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = listener.local_addr().unwrap();
    let service = rls::rate_limit_service_server::RateLimitServiceServer::new(NotEve);
    let router = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    gateway.write("limits.yaml", &upstream("limits", limits, "  useHttp2: true\n"));
    let server = "{name: limits, namespace: gloo-system}";
    gateway.write(
        "settings.yaml",
        &settings(&format!(
            "{{ratelimitServer: {{ratelimitServerRef: {server}, denyOnFail: true, requestTimeout: 10s}}}}"
        )),
    );
    let routes = "    - matchers: [{prefix: /counted}]
      options:
        ratelimit: {rateLimits: [{actions: [{requestHeaders: {headerName: x-user, descriptorKey: user}}]}]}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    - matchers: [{prefix: /once}]
      options: {ratelimit: {localRatelimit: {maxTokens: 1, fillInterval: 1h}}}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    - directResponseAction: {status: 200, body: rest}
";
    gateway.write("vs.yaml", &virtual_service("main", "['*']", routes));
    let gateway = gateway.start().await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        client::request(gateway.http(), "GET", "a.test", path, headers, "").await.unwrap()
    };
    assert_eq!(ask("/counted", &[("x-user", "bob")]).await.status, 200);
    assert_eq!(ask("/counted", &[]).await.status, 200);
    let denied = ask("/counted", &[("x-user", "eve")]).await;
    assert_eq!((denied.status, denied.header("x-envoy-ratelimited")), (429, "true"));
    assert_eq!(ask("/once", &[]).await.status, 200);
    let dry = ask("/once", &[]).await;
    assert_eq!((dry.status, dry.text()), (429, "local_rate_limited".into()));
}

type Questions = std::sync::Arc<std::sync::Mutex<Vec<Vec<String>>>>;

/// Lets everyone pass, notes that, and remembers what it was asked.
struct Listens(Questions);

#[tonic::async_trait]
impl rls::rate_limit_service_server::RateLimitService for Listens {
    async fn should_rate_limit(
        &self,
        request: Request<rls::RateLimitRequest>,
    ) -> Result<tonic::Response<rls::RateLimitResponse>, Status> {
        let one = |it: &portcullis_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor| {
            it.entries.iter().map(|entry| format!("{}={}", entry.key, entry.value)).collect()
        };
        self.0.lock().unwrap().extend(request.into_inner().descriptors.iter().map(one));
        Ok(tonic::Response::new(rls::RateLimitResponse {
            overall_code: Code::Ok.into(),
            dynamic_metadata: Some(noted("left", "many")),
            ..Default::default()
        }))
    }
}

#[tokio::test]
async fn what_servers_and_routes_note_shows_in_limits_fields_and_logs() {
    let gateway = Gateway::new();
    let _running = two_versions(&gateway).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = listener.local_addr().unwrap();
    let questions = Questions::default();
    let service = rls::rate_limit_service_server::RateLimitServiceServer::new(Listens(questions.clone()));
    let router = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    gateway.write("limits.yaml", &upstream("limits", limits, "  useHttp2: true\n"));
    gateway.write("auth.yaml", &upstream("auth", bob().await, "  useHttp2: true\n"));
    let servers = "{extauth: {extauthzServerRef: {name: auth, namespace: gloo-system}, requestTimeout: 10s},
      ratelimitServer: {ratelimitServerRef: {name: limits, namespace: gloo-system}, requestTimeout: 10s}}";
    gateway.write("settings.yaml", &settings(servers));
    let log = gateway.data.path().join("own.log");
    let formats = format!(
        "  options: {{accessLoggingService: {{accessLog: [{{fileSink: {{path: {}, jsonFormat: {{
            team: '%METADATA(ROUTE:ns:team)%', auth: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%',
            left: '%DYNAMIC_METADATA(envoy.filters.http.ratelimit:left)%', cluster: '%VIRTUAL_CLUSTER_NAME%'}}}}}}]}}}}\n",
        log.display()
    );
    let listeners = gateway.listeners().replacen("  ssl: false\n", &format!("  ssl: false\n{formats}"), 1);
    gateway.write("gateways.yaml", &listeners);
    let routes = "    - matchers: [{prefix: /shop}]
      options:
        envoyMetadata: {ns: {team: {name: blue, size: 5}}}
        ratelimit:
          rateLimits:
          - actions:
            - metadata: {descriptorKey: team, source: ROUTE_ENTRY, metadataKey: {key: ns, path: [{key: team}, {key: name}]}}
            - metadata: {descriptorKey: plan, metadataKey: {key: envoy.filters.http.ext_authz, path: [{key: plan}]}}
            - metadata: {descriptorKey: none, defaultValue: nothing, metadataKey: {key: ns, path: [{key: x}]}}
          - actions: [{metadata: {descriptorKey: never, metadataKey: {key: ns, path: [{key: x}]}}}]
          - setActions: [{requestHeaders: {headerName: x-none, descriptorKey: h}}, {genericKey: {descriptorValue: v}}]
        headerManipulation:
          requestHeadersToAdd:
          - header: {key: x-plan, value: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:plan)%'}
          - header: {key: x-team, value: '%METADATA(ROUTE:ns:team:name)% %METADATA(ROUTE:ns:team:size)%'}
          responseHeadersToAdd:
          - header: {key: x-left, value: '%DYNAMIC_METADATA(envoy.filters.http.ratelimit:left)%'}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
";
    let options = "    options:
      extauth: {customAuth: {contextExtensions: {from: vhost}}}
      stats: {virtualClusters: [{name: shop.get, pattern: '/shop/[0-9]+\\?a', method: GET}]}
    routes:\n";
    let service = virtual_service("main", "['*']", routes).replace("    routes:\n", options);
    gateway.write("vs.yaml", &service);
    let gateway = gateway.start().await;
    let ask = async |path: &str, token: &str| {
        client::request(gateway.http(), "GET", "a.test", path, &[("x-token", token)], "").await.unwrap()
    };
    let answer = ask("/shop/1?a", "good").await;
    assert_eq!((answer.status, answer.header("x-left")), (200, "many"), "{}", answer.text());
    let got = answer.json()["headers"].clone();
    assert_eq!((got["x-plan"].as_str(), got["x-team"].as_str()), (Some("gold"), Some("blue 5")));
    let asked = questions.lock().unwrap().clone();
    let first = ["team=blue", "plan=gold", "none=nothing"];
    let second = ["generic_key=solo.setDescriptor.uniqueValue", "generic_key=v"];
    assert_eq!(asked, [first.to_vec(), second.to_vec()]);
    // Denied, and the route's answers all the same have the fields that the route adds.
    let denied = ask("/shop/2", "bad").await;
    assert_eq!(denied.status, 403);

    let lines = until("two lines", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() == 2).then_some(lines)
    })
    .await;
    assert_eq!(lines[0]["team"], serde_json::json!({"name": "blue", "size": 5}));
    assert_eq!((&lines[0]["auth"]["plan"], &lines[0]["left"]), (&"gold".into(), &"many".into()));
    assert!(lines[0]["auth"]["ext_authz_duration"].is_u64(), "{}", lines[0]);
    assert_eq!(lines[0]["cluster"], "shop_get");
    assert_eq!(lines[1]["auth"], serde_json::json!({"plan": "gold"}));
    assert_eq!(
        (&lines[1]["left"], &lines[1]["cluster"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );

    let metrics = client::get(gateway.admin(1), "/metrics").await.unwrap().text();
    let labels = "envoy_virtual_host=\"gloo-system_main\",envoy_virtual_cluster=";
    for line in [
        format!("envoy_vhost_vcluster_upstream_rq{{{labels}\"shop_get\",envoy_response_code=\"200\"}} 1"),
        format!(
            "envoy_vhost_vcluster_upstream_rq_xx{{{labels}\"shop_get\",envoy_response_code_class=\"2\"}} 1"
        ),
        format!("envoy_vhost_vcluster_upstream_rq_total{{{labels}\"shop_get\"}} 1"),
        format!("envoy_vhost_vcluster_upstream_rq_total{{{labels}\"other\"}} 0"),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}
