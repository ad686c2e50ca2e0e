use http::StatusCode;
use prost::Message;

use super::*;
use crate::policy::testing::{Request, Response, lines, map};
use crate::policy::{Chain, Passed, Progress};

fn add(name: &str, value: &str, overwrite: bool) -> proto::HeaderAdd {
    proto::HeaderAdd { name: name.into(), value: value.into(), overwrite }
}

fn level(remove: &[&str], add: Vec<proto::HeaderAdd>) -> proto::HeaderLevel {
    proto::HeaderLevel { remove: remove.iter().map(|name| (*name).into()).collect(), add }
}

fn chain(wire: &proto::Headers) -> Result<Chain, Invalid> {
    let mut builder = PlanBuilder::default();
    install(&wire.encode_to_vec(), &mut builder)?;
    Ok(builder.plan().policies)
}

/// The request fields after `levels` ran over `fields`, as sorted "name: value" lines.
fn request(levels: Vec<proto::HeaderLevel>, fields: &[(&'static str, &'static str)]) -> Vec<String> {
    let chain = chain(&proto::Headers { request: levels, response: Vec::new() }).expect("valid");
    let mut request = Request::with(fields);
    assert!(matches!(chain.request(0, &mut request.cx()), Progress::Done));
    lines(&request.headers)
}

#[test]
fn appending_adds_a_value_and_overwriting_replaces_all() {
    let fields = [("x-a", "1"), ("x-b", "1"), ("x-b", "2")];
    let levels =
        vec![level(&[], vec![add("x-a", "2", false), add("x-b", "3", true), add("x-c", "4", false)])];
    assert_eq!(request(levels, &fields), ["x-a: 1", "x-a: 2", "x-b: 3", "x-c: 4"]);
}

#[test]
fn fields_with_a_single_line_are_joined() {
    let levels = vec![level(&[], vec![add("user-agent", "gate", false), add("x-forwarded-for", "2", false)])];
    assert_eq!(request(levels, &[("user-agent", "curl")]), ["user-agent: curl,gate", "x-forwarded-for: 2"]);
    assert!(JOINED.is_sorted(), "it is searched by bisection");
}

#[test]
fn inside_a_level_removal_comes_first_and_all_values_are_computed_before_any_is_set() {
    let fields = [("x-a", "1"), ("x-b", "1")];
    let adds = vec![add("x-a", "new", false), add("x-c", "[%REQ(x-b)%]", false), add("x-b", "over", true)];
    assert_eq!(request(vec![level(&["x-a"], adds)], &fields), ["x-a: new", "x-b: over", "x-c: [1]"]);
}

#[test]
fn a_later_level_sees_what_an_earlier_one_did() {
    let levels = vec![
        level(&[], vec![add("x-a", "route", true)]),
        level(&[], vec![add("x-b", "was %REQ(x-a)%", true), add("x-a", "vhost", true)]),
    ];
    assert_eq!(request(levels, &[]), ["x-a: vhost", "x-b: was route"]);
}

#[test]
fn values_take_operators() {
    let cases = [
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "10.1.2.3:4567"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.2.3"),
        ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.0.0.9:1"),
        ("%DOWNSTREAM_LOCAL_PORT%", "8080"),
        ("%PROTOCOL%", "HTTP/2"),
        ("%REQ(:METHOD)% %REQ(:path)% %REQ(Host)%", "GET /p?q=1 a.example.com"),
        ("%ROUTE_NAME%/%UPSTREAM_CLUSTER%", "vh-route-0-matcher-0/petstore_gloo-system"),
        ("%REQUESTED_SERVER_NAME%", "a.example.com"),
        ("%START_TIME%", "1970-01-01T00:00:01.000Z"),
        ("100%%", "100%"),
    ];
    for (value, wanted) in cases {
        assert_eq!(
            request(vec![level(&[], vec![add("x-v", value, false)])], &[]),
            [format!("x-v: {wanted}")]
        );
    }
}

#[test]
fn a_value_that_comes_out_empty_changes_nothing() {
    let adds =
        vec![add("x-a", "%REQ(x-none)%", true), add("x-b", "", true), add("x-c", "<%REQ(x-none)%>", true)];
    assert_eq!(request(vec![level(&[], adds)], &[("x-a", "1")]), ["x-a: 1", "x-c: <>"]);
}

#[test]
fn responses_see_their_own_fields_the_status_and_the_request() {
    let adds = vec![add("x-sum", "%RESPONSE_CODE% %RESP(server)% %REQ(x-a)% %UPSTREAM_HOST%", true)];
    let wire = proto::Headers { request: Vec::new(), response: vec![level(&["x-secret"], adds)] };
    let mut response = Response {
        status: StatusCode::NOT_FOUND,
        headers: map(&[("server", "s"), ("x-secret", "1")]),
        request_headers: map(&[("x-a", "1")]),
        ..Response::default()
    };
    assert!(matches!(chain(&wire).expect("valid").response(1, &mut response.cx()), Passed::Done));
    assert_eq!(lines(&response.headers), ["server: s", "x-sum: 404 s 1 127.0.0.1:9"]);
}

#[test]
fn what_is_not_valid_is_refused_by_field() {
    let refused = |level: proto::HeaderLevel| {
        chain(&proto::Headers { request: vec![level], response: Vec::new() })
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refused(level(&[], vec![add("x-a", "%NOPE%", false)])),
        "request[0].add[0].value: unknown format operator %NOPE%"
    );
    assert_eq!(refused(level(&["a b"], vec![])), "request[0].remove[0]: bad header name \"a b\"");
    assert!(
        refused(level(&[], vec![add("x-a", "a\nb", false)])).contains("bytes that no header value may have")
    );
}
