//! Options of listeners, virtual hosts and routes, from YAML to what a client sees.

use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::{two_versions, virtual_service};

const ROUTES: &str = "    - matchers: [{prefix: /order, headers: [{name: ce-type, value: order.created}]}]
      directResponseAction: {status: 200, body: created}
    - matchers: [{prefix: /order, headers: [{name: ce-type, value: 'order\\..*', regex: true}]}]
      directResponseAction: {status: 200, body: other}
    - matchers: [{prefix: /fault}]
      options: {faults: {abort: {percentage: 100, httpStatus: 418}}}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    - matchers: [{prefix: /quiet}]
      options: {cors: {allowOrigin: ['*'], disableForRoute: true}, csrf: {}}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    - matchers: [{prefix: /}]
      options: {cors: {allowOriginRegex: ['https://.*\\.shop\\.test'], exposeHeaders: [x-b]}}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
    options:
      cors: {allowOrigin: ['https://shop.test'], allowMethods: [GET, PUT], exposeHeaders: [x-a]}
      corsPolicyMergeSettings: {exposeHeaders: UNION}
      csrf: {filterEnabled: {defaultValue: {numerator: 100}}, additionalOrigins: [{suffix: .shop.test}]}
      includeAttemptCountInResponse: true
";

#[tokio::test]
async fn options_of_every_level_act_together() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let listeners = gateway.listeners().replace(
        "httpGateway: {}",
        "httpGateway: {options: {healthCheck: {path: /healthz}, gzip: {}, buffer: {maxRequestBytes: 8}}}",
    );
    gateway.write("gateways.yaml", &listeners);
    gateway.write("vs.yaml", &virtual_service("options", "['o.test']", ROUTES));
    let gateway = gateway.start().await;
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &'static str| {
        client::request(gateway.http(), method, "o.test", path, headers, body).await.unwrap()
    };

    let shop = ("origin", "https://x.shop.test");
    let preflight = ask("OPTIONS", "/", &[shop, ("access-control-request-method", "PUT")], "").await;
    assert_eq!(preflight.header("access-control-allow-origin"), "https://x.shop.test");
    assert_eq!(preflight.header("access-control-allow-methods"), "GET,PUT");
    assert_eq!(preflight.header("access-control-expose-headers"), "x-a,x-b");
    assert_eq!(ask("GET", "/quiet", &[shop], "").await.header("access-control-allow-origin"), "");

    assert_eq!(ask("POST", "/", &[("origin", "https://evil.test")], "").await.status, 403);
    assert_eq!(ask("POST", "/", &[shop], "").await.status, 200);
    assert_eq!(ask("POST", "/quiet", &[("origin", "https://evil.test")], "").await.status, 200);

    let fault = ask("GET", "/fault", &[], "").await;
    assert_eq!((fault.status, fault.text().as_str()), (418, "fault filter abort"));

    let answer = ask("GET", "/", &[("accept-encoding", "gzip")], "").await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("gzip", "Accept-Encoding"));
    assert_eq!(answer.header("x-envoy-attempt-count"), "1");
    assert_eq!(ask("PUT", "/quiet", &[], "more than eight").await.status, 413);

    // CloudEvents over HTTP have their type in a header: a matcher as any other.
    assert_eq!(ask("GET", "/order", &[("ce-type", "order.created")], "").await.text(), "created");
    assert_eq!(ask("GET", "/order", &[("ce-type", "order.paid")], "").await.text(), "other");

    let health = client::request(gateway.http(), "GET", "nobody.test", "/healthz", &[], "").await.unwrap();
    assert_eq!(health.status, 200);
}
