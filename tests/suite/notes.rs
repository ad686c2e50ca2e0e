//! Events go where their type says; answers that policies give have the fields of their route.

use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::{two_versions, virtual_service};

#[tokio::test]
async fn an_event_goes_by_its_type() {
    let gateway = Gateway::new();
    let _running = two_versions(&gateway).await;
    let to = |name: &str| {
        format!("      routeAction: {{single: {{upstream: {{name: {name}, namespace: gloo-system}}}}}}\n")
    };
    let routes = [
        "    - matchers:
      - {prefix: /, methods: [POST], headers: [{name: ce-type, value: order.created}]}
      - {prefix: /, methods: [POST], headers: [{name: x-event-type, value: created}]}\n",
        &to("v1"),
        "    - matchers:
      - {prefix: /, headers: [{name: ce-type}]}
      - {prefix: /, headers: [{name: content-type, value: 'application/cloudevents\\+json.*', regex: true}]}\n",
        &to("v2"),
        "    - directResponseAction: {status: 400, body: no event}\n",
    ];
    gateway.write("vs.yaml", &virtual_service("events", "['*']", &routes.concat()));
    let gateway = gateway.start().await;
    let send = async |headers: &[(&str, &str)]| {
        client::request(gateway.http(), "POST", "a.test", "/", headers, "{}").await.unwrap()
    };
    for (headers, service) in [
        (&[("ce-type", "order.created"), ("ce-specversion", "1.0")][..], "v1"),
        (&[("X-Event-Type", "created")], "v1"),
        (&[("ce-type", "order.created.not")], "v2"),
        (&[("content-type", "application/cloudevents+json; charset=utf-8")], "v2"),
    ] {
        assert_eq!(send(headers).await.served_by(), service, "{headers:?}");
    }
    assert_eq!(send(&[("content-type", "application/json")]).await.status, 400);
}

#[tokio::test]
async fn an_answer_of_a_policy_has_the_fields_of_its_route() {
    let gateway = Gateway::new();
    let _running = two_versions(&gateway).await;
    let routes = "    - matchers: [{prefix: /fault}]
      options:
        faults: {abort: {percentage: 100, httpStatus: 503}}
        headerManipulation: {responseHeadersToAdd: [{header: {key: x-route, value: '%RESPONSE_CODE% %ENVIRONMENT(NO_SUCH)%'}}]}
      routeAction: {single: {upstream: {name: v1, namespace: gloo-system}}}
";
    gateway.write("vs.yaml", &virtual_service("main", "['*']", routes));
    let gateway = gateway.start().await;
    let answer = gateway.get("a.test", "/fault").await;
    assert_eq!((answer.status, answer.header("x-route")), (503, "503 -"));
    assert_eq!(gateway.get("a.test", "/none").await.header("x-route"), "");
}
