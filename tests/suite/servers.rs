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
        }))
    }
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
