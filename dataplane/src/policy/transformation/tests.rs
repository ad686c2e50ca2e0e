use bytes::Bytes;
use http::StatusCode;
use portcullis_proto::table::v1 as table;
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::policy::metadata::Metadata;
use crate::policy::testing::{Request, Response, lines};

fn header(name: &str, text: &str) -> proto::HeaderTemplate {
    proto::HeaderTemplate { name: name.into(), text: text.into() }
}

fn set(headers: &[(&str, &str)]) -> proto::TemplateTransform {
    let set = headers.iter().map(|(name, text)| header(name, text)).collect();
    proto::TemplateTransform { set, ..Default::default() }
}

fn extractor(name: &str, source: Option<&str>, regex: &str, subgroup: u32) -> proto::Extractor {
    let source = match source {
        Some(name) => proto::extractor::Source::Header(name.into()),
        None => proto::extractor::Source::Body(true),
    };
    proto::Extractor { name: name.into(), source: Some(source), regex: regex.into(), subgroup, mode: None }
}

fn of(template: proto::TemplateTransform) -> proto::Transform {
    proto::Transform { kind: Some(proto::transform::Kind::Template(template)), log: false }
}

fn policy(stage: proto::TransformationStage) -> Arc<dyn Policy> {
    Arc::new(super::stage::<1>(Some(stage)).expect("valid"))
}

fn on_requests(template: proto::TemplateTransform) -> Arc<dyn Policy> {
    let rule = proto::RequestTransform { request: Some(of(template)), ..Default::default() };
    policy(proto::TransformationStage { requests: vec![rule], ..Default::default() })
}

fn on_responses(template: proto::TemplateTransform) -> Arc<dyn Policy> {
    let rule = proto::ResponseTransform { response: Some(of(template)), ..Default::default() };
    policy(proto::TransformationStage { responses: vec![rule], ..Default::default() })
}

/// The body, and "name: value" lines, after a request with a body; or the answer that it got.
fn with_body(
    template: proto::TemplateTransform,
    request: &mut Request,
    body: &'static str,
) -> Result<String, (u16, String)> {
    let policy = on_requests(template);
    request.has_body = !body.is_empty();
    let mut bytes = Bytes::from_static(body.as_bytes());
    let verdict = match policy.request(&mut request.cx()) {
        Verdict::Body { .. } => policy.request_body(&mut request.cx(), &mut bytes),
        verdict => verdict,
    };
    match verdict {
        Verdict::Continue => Ok(String::from_utf8(bytes.to_vec()).expect("text")),
        Verdict::Reply(reply) => {
            Err((reply.status.as_u16(), String::from_utf8(reply.body.to_vec()).expect("text")))
        }
        verdict => panic!("{verdict:?}"),
    }
}

fn replace(text: &str) -> proto::TemplateTransform {
    let body = Some(proto::template_transform::Body::Replace(text.into()));
    proto::TemplateTransform { body, ..Default::default() }
}

#[test]
fn headers_are_set_removed_and_added_in_this_order() {
    let template = proto::TemplateTransform {
        set: vec![header("x-a", "{{ header(\"x-b\") }}"), header("x-c", ""), header("x-d", " 1\n")],
        remove: vec!["x-b".into()],
        append: vec![header("x-a", "[{{ header(\"x-b\") }}]"), header("x-e", "")],
        ..Default::default()
    };
    let mut request = Request::with(&[("x-a", "old"), ("x-b", "b"), ("x-c", "c")]);
    assert_eq!(with_body(template, &mut request, ""), Ok(String::new()));
    assert_eq!(lines(&request.headers), ["x-a: []", "x-a: b", "x-d: 1"]);
}

#[test]
fn the_request_line_is_changed() {
    let template = set(&[
        (":method", "POST"),
        (":path", "/new?was={{ header(\":path\") }}"),
        (":authority", "{{ request_header(\":authority\") }}:80"),
    ]);
    let mut request = Request::default();
    with_body(template, &mut request, "").expect("fine");
    assert_eq!(request.cx().method(), "POST");
    assert_eq!(request.cx().path(), "/new?was=/p?q=1");
    assert_eq!(request.cx().authority(), "a.example.com:80");
    for (name, text) in [(":path", "no slash"), (":method", "A B"), (":authority", "a b")] {
        let refused = with_body(set(&[(name, text)]), &mut Request::default(), "").expect_err("refused");
        assert!(refused.1.starts_with("bad request: the "), "{refused:?}");
    }
}

#[test]
fn a_header_template_does_not_hold_a_body_back() {
    let policy = on_requests(set(&[("x-a", "{{ header(\"x-b\") }}")]));
    let mut request = Request::with(&[("content-type", "text/plain"), ("x-b", "1")]);
    request.has_body = true;
    assert!(matches!(policy.request(&mut request.cx()), Verdict::Continue));
    assert_eq!(lines(&request.headers), ["content-type: text/plain", "x-a: 1", "x-b: 1"]);
    // One that looks into it does, up to a limit.
    let policy = on_requests(set(&[("x-a", "{{ default(a, \"\") }}")]));
    assert!(matches!(policy.request(&mut request.cx()), Verdict::Body { limit: 1_048_576 }));
    // A request without a body loses its content type, as everywhere where a transformation leaves none.
    request.has_body = false;
    assert!(matches!(policy.request(&mut request.cx()), Verdict::Continue));
    assert_eq!(lines(&request.headers), ["x-b: 1"]);
}

#[test]
fn passthrough_streams_whatever_the_templates_ask() {
    let mut template = set(&[("x-a", "{{ body() }}|{{ default(a, 1) }}")]);
    template.body = Some(proto::template_transform::Body::Passthrough(true));
    let policy = on_requests(template);
    let mut request = Request::with(&[("content-type", "text/plain")]);
    request.has_body = true;
    assert!(matches!(policy.request(&mut request.cx()), Verdict::Continue));
    assert_eq!(lines(&request.headers), ["content-type: text/plain", "x-a: |1"]);
}

#[test]
fn a_grpc_call_s_body_is_left_alone() {
    let mut template = replace("{{ a }}");
    template.set = vec![header("x-a", "1")];
    let policy = on_requests(template.clone());
    let mut request = Request::with(&[("content-type", "application/grpc+proto")]);
    request.has_body = true;
    assert!(matches!(policy.request(&mut request.cx()), Verdict::Continue));
    assert_eq!(lines(&request.headers), ["content-type: application/grpc+proto", "x-a: 1"]);
    let policy = on_responses(template);
    let mut response = Response::default();
    response.headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
    assert!(matches!(policy.response(&mut response.cx()), Answer::Continue));
    assert_eq!(lines(&response.headers), ["content-type: application/grpc", "x-a: 1"]);
}

#[test]
fn a_body_is_replaced_from_its_json_and_from_extractors() {
    let mut template = replace("{{ user.name }} {{ token }} {{ in.body }} {{ body() }}");
    template.extractors = vec![
        extractor("in.body", None, ".*:.*:\"(.*)\".*", 1),
        extractor("token", Some("cookie"), ".*id=([^;]*).*", 1),
    ];
    let mut request = Request::with(&[("cookie", "a=b; id=xyz; c"), ("cookie", "id=second")]);
    let body = r#"{"user":{"name":"Ann"}}"#;
    assert_eq!(with_body(template, &mut request, body).expect("fine"), format!("Ann xyz Ann {body}"));
}

#[test]
fn advanced_templates_have_extractors_by_function_only() {
    let mut template = replace("{{ extraction(\"t\") }} {{ default(t, \"-\") }} {{ a/b }}");
    template.advanced = true;
    template.extractors = vec![extractor("t", Some("x"), ".*", 0)];
    let mut request = Request::with(&[("x", "1")]);
    assert_eq!(with_body(template, &mut request, r#"{"a":{"b":2}}"#).expect("fine"), "1 - 2");
}

#[test]
fn a_body_that_is_not_json_is_refused_unless_that_is_ignored() {
    let refused = with_body(replace("x"), &mut Request::default(), "no json").expect_err("refused");
    assert_eq!(refused.0, 400);
    assert!(refused.1.starts_with("bad request: the body is not JSON: "), "{}", refused.1);
    let mut template = replace("[{{ body() }}]");
    template.ignore_parse_error = true;
    assert_eq!(with_body(template, &mut Request::default(), "no json").expect("fine"), "[no json]");
    let mut template = replace("[{{ default(a, \"-\") }}]");
    template.leave_unparsed = true;
    assert_eq!(with_body(template, &mut Request::default(), r#"{"a":1}"#).expect("fine"), "[-]");
    let missing = with_body(replace("{{ a }}"), &mut Request::default(), "{}").expect_err("refused");
    assert_eq!(
        missing,
        (400, "bad request: variable 'a' not found (line 1, column 4 of the template)".to_owned())
    );
}

#[test]
fn a_request_without_a_body_may_get_one_and_lose_it() {
    let mut request = Request::default();
    assert_eq!(with_body(replace("{\"a\":1}"), &mut request, "").expect("fine"), "{\"a\":1}");
    let mut request = Request::with(&[("content-type", "text/plain")]);
    assert_eq!(with_body(replace(""), &mut request, "{}").expect("fine"), "");
    assert_eq!(lines(&request.headers), [""; 0]);
}

fn json_of(result: Result<String, (u16, String)>) -> Value {
    serde_json::from_str(&result.expect("fine")).expect("JSON")
}

#[test]
fn extractors_are_merged_into_the_body() {
    let merge = || {
        let body = Some(proto::template_transform::Body::MergeExtractors(true));
        let extractors = vec![
            extractor("payload.nested", Some("nested"), ".*", 0),
            extractor("root", Some("root"), ".*", 0),
        ];
        proto::TemplateTransform { body, extractors, ..Default::default() }
    };
    let mut request = Request::with(&[("root", "r"), ("nested", "n")]);
    let merged = json_of(with_body(merge(), &mut request, r#"{"payload":{"foo":"bar"}}"#));
    assert_eq!(merged, json!({ "payload": {"foo": "bar", "nested": "n"}, "root": "r" }));
    let merged = json_of(with_body(merge(), &mut Request::default(), ""));
    assert_eq!(merged, json!({ "payload": {"nested": ""}, "root": "" }));
    assert_eq!(with_body(merge(), &mut Request::default(), "[1]").expect_err("refused").0, 400);
}

#[test]
fn json_keys_are_merged_into_the_body() {
    let key = |key: &str, text: &str, override_empty| proto::KeyTemplate {
        key: key.into(),
        text: text.into(),
        override_empty,
    };
    let merge = |keys: Vec<proto::KeyTemplate>| {
        let body = proto::template_transform::Body::MergeKeys(proto::MergeKeys { keys });
        proto::TemplateTransform { body: Some(body), ..Default::default() }
    };
    let keys = vec![
        key("a", "\"{{ header(\"x\") }}\"", false),
        key("b", "{{ old }}", false),
        key("kept", "", false),
        key("old", "[1]", false),
    ];
    let mut request = Request::with(&[("x", "1")]);
    let merged = json_of(with_body(merge(keys), &mut request, r#"{"old":2,"kept":true}"#));
    assert_eq!(merged, json!({ "a": "1", "b": 2, "kept": true, "old": [1] }));
    for keys in [vec![key("a", "text", false)], vec![key("a", "", true)]] {
        assert_eq!(with_body(merge(keys), &mut Request::default(), "{}").expect_err("refused").0, 400);
    }
}

#[test]
fn metadata_and_the_span_s_name_are_left_for_later() {
    let value = |key: &str, text: &str, json| proto::MetadataTemplate {
        namespace: "ns".into(),
        key: key.into(),
        text: text.into(),
        json,
    };
    let template = proto::TemplateTransform {
        metadata: vec![
            value("text", "{\"a\":1}", false),
            value("json", "{\"a\":1}", true),
            value("none", "", true),
        ],
        set: vec![header("x-a", "{{ dynamic_metadata(\"json:a\", \"ns\") }}")],
        span_name: "span {{ header(\":method\") }}".into(),
        ..Default::default()
    };
    let mut request = Request::default();
    with_body(template, &mut request, "").expect("fine");
    let metadata = request.slots.get::<Metadata>().expect("set");
    assert_eq!(metadata.get("ns", "text"), Some(&json!("{\"a\":1}")));
    assert_eq!(metadata.get("ns", "json"), Some(&json!({ "a": 1 })));
    assert_eq!(metadata.get("ns", "none"), None);
    assert_eq!(request.slots.get::<SpanName>().expect("set").0, "span GET");
    assert_eq!(lines(&request.headers), ["x-a: 1"]);
}

#[test]
fn a_random_text_is_the_same_in_one_request() {
    let mut template = set(&[("x-a", "{{ replace_with_random(\"N\", \"N\") }}")]);
    template.append = vec![header("x-b", "{{ replace_with_random(\"N\", \"N\") }}")];
    let random = || {
        let mut request = Request::default();
        with_body(template.clone(), &mut request, "").expect("fine");
        let value = |name: &str| request.headers.get(name).cloned().expect("set");
        assert_eq!(value("x-a"), value("x-b"));
        value("x-a")
    };
    let (first, second) = (random(), random());
    assert_eq!(first.len(), 22);
    assert_ne!(first, second);
}

#[test]
fn the_first_entry_that_fits_a_request_is_taken_for_its_response_too() {
    let rule = |prefix: &str, name: &str, response: bool| proto::RequestTransform {
        r#match: Some(table::Match {
            path: Some(table::r#match::Path::Prefix(prefix.into())),
            ..Default::default()
        }),
        clear_route: name == "one",
        request: Some(of(set(&[("x-rule", name)]))),
        response: response.then(|| of(set(&[("x-rule", name)]))),
    };
    let any =
        proto::ResponseTransform { response: Some(of(set(&[("x-rule", "any")]))), ..Default::default() };
    let policy = policy(proto::TransformationStage {
        requests: vec![rule("/p", "one", true), rule("/", "two", false)],
        responses: vec![any],
        ..Default::default()
    });
    for (path, request_rule, response_rule) in [("/p?q=1", "one", "one"), ("/other", "two", "any")] {
        let mut request = Request::default();
        request.facts.path = path;
        assert!(matches!(policy.request(&mut request.cx()), Verdict::Continue));
        assert_eq!(lines(&request.headers), [format!("x-rule: {request_rule}")]);
        assert_eq!(request.reroute, request_rule == "one");
        let mut response = Response { slots: request.slots, ..Response::default() };
        assert!(matches!(policy.response(&mut response.cx()), Answer::Continue));
        assert_eq!(lines(&response.headers), [format!("x-rule: {response_rule}")]);
    }
}

#[test]
fn responses_are_chosen_by_status_header_and_details() {
    let on = |name: &str, value: &str, details: &str, mark: &str| {
        let exact = table::header_match::Value::Exact(value.into());
        proto::ResponseTransform {
            headers: match name {
                "" => Vec::new(),
                name => vec![table::HeaderMatch { name: name.into(), value: Some(exact), invert: false }],
            },
            details: details.into(),
            response: Some(of(set(&[("x-rule", mark)]))),
        }
    };
    let policy = policy(proto::TransformationStage {
        responses: vec![
            on(":status", "404", "", "status"),
            on("x-kind", "a", "", "header"),
            on("", "", "direct_response", "details"),
            on("", "", "via_upstream", "upstream"),
        ],
        ..Default::default()
    });
    let rule = |response: &mut Response| {
        assert!(matches!(policy.response(&mut response.cx()), Answer::Continue));
        response.headers.get("x-rule").and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
    };
    assert_eq!(rule(&mut Response { status: StatusCode::NOT_FOUND, ..Response::default() }), "status");
    let mut kind = Response::default();
    kind.headers.insert("x-kind", http::HeaderValue::from_static("a"));
    assert_eq!(rule(&mut kind), "header");
    assert_eq!(rule(&mut Response::default()), "upstream");
    let local = |details| Response { local: true, details, ..Response::default() };
    assert_eq!(rule(&mut local("direct_response")), "details");
    assert_eq!(rule(&mut local("route_not_found")), "");
}

#[test]
fn a_response_gets_a_status_and_a_body_from_its_own() {
    let mut template =
        replace("{\"was\":{{ header(\":status\") }},\"for\":\"{{ request_header(\":path\") }}\"}");
    template.set = vec![header(
        ":status",
        "{% if default(error, \"\") != \"\" %}400{% else %}{{ header(\":status\") }}{% endif %}",
    )];
    let policy = on_responses(template);
    let mut response = Response::default();
    assert!(matches!(policy.response(&mut response.cx()), Answer::Body { limit: 1_048_576 }));
    let mut body = Bytes::from_static(b"{\"error\":\"x\"}");
    assert!(matches!(policy.response_body(&mut response.cx(), &mut body), Answer::Continue));
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert_eq!(&body[..], b"{\"was\":200,\"for\":\"/p?q=1\"}");
    let mut body = Bytes::from_static(b"no json");
    let Answer::Reply(reply) = policy.response_body(&mut response.cx(), &mut body) else { panic!("a reply") };
    assert_eq!((reply.status, reply.reason), (StatusCode::BAD_REQUEST, "transformation_failed"));
    // An answer to HEAD stays without a body.
    let mut response = Response { has_body: false, ..Response::default() };
    assert!(matches!(policy.response(&mut response.cx()), Answer::Continue));
    let bad = on_responses(set(&[(":status", "99")]));
    assert!(matches!(bad.response(&mut response.cx()), Answer::Reply(_)));
}

#[test]
fn an_envelope_holds_headers_body_and_what_the_first_line_says() {
    let envelope = |request_metadata| {
        let kind = proto::transform::Kind::Envelope(proto::EnvelopeTransform { request_metadata });
        let request = Some(proto::Transform { kind: Some(kind), log: true });
        policy(proto::TransformationStage {
            requests: vec![proto::RequestTransform { request, ..Default::default() }],
            ..Default::default()
        })
    };
    let run = |metadata: bool, text: &'static str| {
        let policy = envelope(metadata);
        let mut request =
            Request::with(&[("x-a", "1"), ("x-a", "2"), ("x-b", "3"), ("content-type", "text/plain")]);
        request.facts.path = "/p%20q?a=1&b=%2Fx&a=2&c";
        request.has_body = !text.is_empty();
        assert!(matches!(policy.request(&mut request.cx()), Verdict::Body { .. }));
        let mut body = Bytes::from_static(text.as_bytes());
        assert!(matches!(policy.request_body(&mut request.cx(), &mut body), Verdict::Continue));
        assert_eq!(request.headers.get("content-type").expect("set"), "application/json");
        serde_json::from_slice::<Value>(&body).expect("JSON")
    };
    let headers = json!({
        ":method": "GET", ":path": "/p%20q?a=1&b=%2Fx&a=2&c", ":authority": "a.example.com", ":scheme": "https",
        "content-type": "text/plain", "x-a": "2", "x-b": "3",
    });
    assert_eq!(run(false, ""), json!({ "headers": headers }));
    assert_eq!(
        run(true, "raw \"text\""),
        json!({
            "headers": headers,
            "body": "raw \"text\"",
            "multiValueHeaders": {"x-a": ["1", "2"]},
            "queryString": "a=1&b=%2Fx&a=2&c",
            "httpMethod": "GET",
            "path": "/p%20q",
            "queryStringParameters": {"a": "2", "b": "/x", "c": ""},
            "multiValueQueryStringParameters": {"a": ["1", "2"]},
        })
    );
}

#[test]
fn what_is_not_valid_is_refused_by_field() {
    let refused = |template: proto::TemplateTransform| {
        let rule = proto::RequestTransform { request: Some(of(template)), ..Default::default() };
        let stage = proto::TransformationStage { requests: vec![rule], ..Default::default() };
        let wire = proto::Transformation { stage: Some(stage) };
        install(&wire.encode_to_vec(), &mut PlanBuilder::default()).expect_err("refused").to_string()
    };
    assert_eq!(
        refused(set(&[("x", "{{")])),
        "stage.requests[0].request.template.set[0].text: this tag is not closed by `}}` (line 1, column 1 of the template)"
    );
    assert_eq!(
        refused(set(&[("a b", "")])),
        "stage.requests[0].request.template.set[0].name: bad header name \"a b\""
    );
    let bad = extractor("a", Some("x"), "(", 0);
    assert!(
        refused(proto::TemplateTransform { extractors: vec![bad], ..Default::default() })
            .starts_with("stage.requests[0].request.template.extractors[0].regex: ")
    );
}
