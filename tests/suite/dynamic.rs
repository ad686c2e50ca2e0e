//! Requests that go to the host which they name.

use std::net::SocketAddr;

use portcullis_tests::backend::hello;
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::virtual_service;

/// The listeners, with an option of the HTTP side.
fn with_options(gateway: &Gateway, options: &str) -> String {
    gateway.listeners().replace("httpGateway: {}", &format!("httpGateway: {{options: {options}}}"))
}

#[tokio::test]
async fn a_request_goes_to_the_host_that_it_names_or_that_the_route_puts_in_its_place() {
    let gateway = Gateway::new();
    let named = SocketAddr::from((gateway.ip, 9001));
    let _named = hello(named, "named").await;
    gateway.write("gateways.yaml", &with_options(&gateway, "{dynamicForwardProxy: {}}"));
    let routes = format!(
        "    - matchers: [{{prefix: /there}}]\n      routeAction: {{dynamicForwardProxy: {{hostRewrite: '{named}'}}}}\n\
         \x20   - matchers: [{{prefix: /header}}]\n      routeAction: {{dynamicForwardProxy: {{autoHostRewriteHeader: x-host}}}}\n\
         \x20   - routeAction: {{dynamicForwardProxy: {{}}}}\n"
    );
    gateway.write("vs.yaml", &virtual_service("dynamic", "['*']", &routes));
    let gateway = gateway.start().await;
    let ask = async |host: &str, path: &str, headers: &[(&str, &str)]| {
        client::request(gateway.http(), "GET", host, path, headers, "").await.unwrap()
    };
    for (host, path, headers) in [
        (&*named.to_string(), "/", &[][..]),
        ("any.test", "/there", &[]),
        ("any.test", "/header", &[("x-host", &*named.to_string())]),
    ] {
        // Twice: looked up, and remembered.
        for _ in 0..2 {
            let answer = ask(host, path, headers).await;
            assert_eq!(answer.status, 200, "{host}{path}");
            assert!(answer.text().contains("named"), "{}", answer.text());
        }
    }
    let unknown = ask("no.such.host.invalid", "/", &[]).await;
    assert_eq!((unknown.status, unknown.text()), (503, "DNS resolution failure".to_owned()));
}
