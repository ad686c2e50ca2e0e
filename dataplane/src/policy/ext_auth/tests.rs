use std::time::Duration;

use http::{HeaderMap, Method};
use portcullis_proto::envoy::config::core::v3 as core;
use portcullis_proto::envoy::service::auth::v3 as auth;
use portcullis_proto::envoy::r#type::v3::HttpStatus;
use portcullis_proto::google::rpc;
use prost::Message;

use super::*;
use crate::policy::testing::{Request, Response, lines, map};
use crate::proxy::callout::{CallError, Called, GrpcError};

const TOOK: Duration = Duration::from_millis(3);

#[test]
fn what_the_server_notes_is_noted_whatever_it_decides() {
    use portcullis_shared::format::Typed;
    use prost_types::value::Kind;
    let check = made(grpc());
    for (code, duration) in [(0, Typed::Json("3".into())), (7, Typed::Absent)] {
        let plan = prost_types::Value { kind: Some(Kind::StringValue("gold".into())) };
        let fields = [("plan".to_owned(), plan)].into();
        let noting = auth::CheckResponse {
            dynamic_metadata: Some(prost_types::Struct { fields }),
            ..answer(code, None)
        };
        let mut request = Request::default();
        let _ = check.decided(grpc::decision(Ok(noting), TOOK), &mut request.cx());
        let noted: &Metadata = request.slots.get().expect("noted");
        let shown = |key: &str| noted.shown(&format!("envoy.filters.http.ext_authz:{key}"));
        assert_eq!(shown("plan"), Typed::Text("gold".into()));
        assert_eq!(shown("ext_authz_duration"), duration, "{code}");
    }
}

fn grpc() -> proto::ExtAuth {
    proto::ExtAuth {
        upstream: "auth".into(),
        timeout_ms: 200,
        user_id_header: "x-user-id".into(),
        service: Some(proto::ext_auth::Service::Grpc(proto::ExtAuthGrpc::default())),
        context_extensions: vec![proto::ContextExtension { key: "k".into(), value: "v".into() }],
        ..Default::default()
    }
}

fn made(wire: proto::ExtAuth) -> Arc<Check> {
    Arc::new(check(wire).expect("valid"))
}

fn option(key: &str, value: &str, append: Option<bool>) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue { key: key.into(), value: value.into(), raw_value: vec![] }),
        append,
        ..Default::default()
    }
}

fn answer(code: i32, response: Option<auth::check_response::HttpResponse>) -> auth::CheckResponse {
    auth::CheckResponse {
        status: Some(rpc::Status { code, message: String::new() }),
        http_response: response,
        dynamic_metadata: None,
    }
}

#[test]
fn a_question_says_what_came() {
    let check = made(grpc());
    let Service::Grpc(service) = &check.service else { panic!("grpc") };
    let mut request =
        Request::with(&[("x-a", "1"), ("x-a", "2"), ("host", "not.this"), ("content-length", "9")]);
    request.has_body = true;
    let sent = Sent { bytes: Bytes::from_static(b"body"), partial: true };
    let question = service.question(&request.cx(), Some(&sent), false).attributes.expect("attributes");
    let http = question.request.expect("request").http.expect("http");
    let shown = |name: &str| http.headers.get(name).map(String::as_str);
    assert_eq!(
        (http.method.as_str(), http.path.as_str(), http.host.as_str()),
        ("GET", "/p?q=1", "a.example.com")
    );
    assert_eq!((http.protocol.as_str(), http.size, http.body.as_str()), ("HTTP/2", 9, "body"));
    assert_eq!(shown("x-a"), Some("1,2"));
    assert_eq!((shown(":path"), shown("host")), (Some("/p?q=1"), None));
    assert_eq!(shown("x-envoy-auth-partial-body"), Some("true"));
    assert_eq!(question.context_extensions.get("k").map(String::as_str), Some("v"));
    let source = question.source.and_then(|peer| peer.address?.socket_address).expect("source");
    assert_eq!((source.address.as_str(), source.port_value), ("10.1.2.3", 4567));

    let bytes = service.question(&request.cx(), Some(&sent), true).attributes.and_then(|it| it.request?.http);
    assert_eq!(bytes.map(|http| (http.raw_body, http.body)), Some((b"body".to_vec(), String::new())));
}

#[test]
fn an_allowing_answer_changes_the_request_and_its_response() {
    let ok = auth::OkHttpResponse {
        headers: vec![
            option("X-User", "bob", None),
            option("x-there", "more", Some(true)),
            option("x-absent", "never", Some(true)),
            option("content-length", "7", None),
            option(":path", "/other?a=1", None),
        ],
        headers_to_remove: vec!["X-Secret".into(), "host".into()],
        response_headers_to_add: vec![
            option("set-cookie", "a=b", Some(true)),
            option(":status", "500", None),
        ],
        query_parameters_to_set: vec![core::QueryParameter { key: "u".into(), value: "1".into() }],
        ..Default::default()
    };
    let decision =
        grpc::decision(Ok(answer(0, Some(auth::check_response::HttpResponse::OkResponse(ok)))), TOOK);
    let mut request =
        Request::with(&[("x-there", "1"), ("x-secret", "s"), ("content-length", "3"), ("x-user", "eve")]);
    let check = made(proto::ExtAuth { clear_route_cache: true, ..grpc() });
    assert!(matches!(check.decided(decision, &mut request.cx()), Verdict::Continue));
    assert_eq!(lines(&request.headers), ["content-length: 3", "x-there: 1,more", "x-user: bob"]);
    assert_eq!(request.line.target.as_ref().map(|path| path.as_str()), Some("/other?a=1&u=1"));
    assert!(request.reroute);

    let mut response =
        Response { slots: request.slots, headers: map(&[("set-cookie", "c=d")]), ..Response::default() };
    let policy = ExtAuth { user_id_header: None, check: Some(check) };
    policy.response(&mut response.cx());
    assert_eq!(lines(&response.headers), ["set-cookie: a=b", "set-cookie: c=d"]);
}

#[test]
fn a_denying_answer_is_the_reply() {
    let denied = auth::DeniedHttpResponse {
        status: Some(HttpStatus { code: 401 }),
        headers: vec![option("Www-Authenticate", "Basic", None), option("content-length", "0", None)],
        body: "who?".into(),
    };
    let response = Some(auth::check_response::HttpResponse::DeniedResponse(denied));
    let check = made(grpc());
    let mut request = Request::default();
    let Verdict::Reply(reply) =
        check.decided(grpc::decision(Ok(answer(16, response)), TOOK), &mut request.cx())
    else {
        panic!("denied")
    };
    assert_eq!((reply.status.as_u16(), &*reply.body, reply.flag), (401, &b"who?"[..], "UAEX"));
    assert_eq!(reply.headers.len(), 1);
    let Verdict::Reply(reply) = check.decided(grpc::decision(Ok(answer(7, None)), TOOK), &mut request.cx())
    else {
        panic!("denied")
    };
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[test]
fn whatever_is_no_answer_keeps_requests_out() {
    let bad_field = auth::OkHttpResponse { headers: vec![option("x y", "1", None)], ..Default::default() };
    let bad_path =
        auth::OkHttpResponse { headers: vec![option(":path", "no slash", None)], ..Default::default() };
    let ok = |ok| Ok(answer(0, Some(auth::check_response::HttpResponse::OkResponse(ok))));
    let late = || Err(GrpcError::Call(CallError::Timeout(Duration::from_millis(200))));
    let closed = made(proto::ExtAuth { status_on_error: 503, ..grpc() });
    let open = made(proto::ExtAuth { failure_mode_allow: true, ..grpc() });
    for answer in [late(), ok(bad_field), ok(bad_path)] {
        let mut request = Request::default();
        let Verdict::Reply(reply) = closed.decided(grpc::decision(answer, TOOK), &mut request.cx()) else {
            panic!("kept out")
        };
        assert_eq!((reply.status.as_u16(), reply.reason), (503, "ext_authz_error"));
    }
    let mut request = Request::default();
    assert!(matches!(open.decided(grpc::decision(late(), TOOK), &mut request.cx()), Verdict::Continue));
    assert!(matches!(closed.ask(&mut request.cx(), None), Verdict::Reply(_)), "no such upstream");
}

#[test]
fn a_user_id_of_the_client_s_is_removed_even_where_nothing_is_asked() {
    let wire = proto::ExtAuth { disabled: true, user_id_header: "x-user-id".into(), ..Default::default() };
    let mut builder = PlanBuilder::default();
    install(&wire.encode_to_vec(), &mut builder).expect("valid");
    let mut request = Request::with(&[("x-user-id", "root")]);
    builder.plan().policies.request(0, &mut request.cx());
    assert!(request.headers.is_empty());
}

fn http(wire: proto::ExtAuthHttp) -> HttpService {
    HttpService::new(wire).expect("valid")
}

#[test]
fn an_http_question_has_the_fields_that_it_may_have() {
    let service = http(proto::ExtAuthHttp {
        path_prefix: "/auth".into(),
        allowed_headers: vec!["cookie".into()],
        allowed_header_regexes: vec!["x-.*".into()],
        headers_to_add: vec![proto::ExtAuthHeader { name: "x-gw".into(), value: "1".into() }],
        ..Default::default()
    });
    let mut request = Request::with(&[
        ("authorization", "Bearer t"),
        ("cookie", "c"),
        ("x-gw", "forged"),
        ("accept", "*/*"),
        ("content-length", "5"),
    ]);
    let call = service.call(&request.cx(), None, Duration::from_secs(1)).expect("call");
    assert_eq!((call.method, call.target.as_str()), (Method::GET, "/auth/p?q=1"));
    assert_eq!(call.authority.as_deref(), Some("a.example.com"));
    assert_eq!(lines(&call.headers), ["authorization: Bearer t", "cookie: c", "x-gw: 1"]);
}

#[test]
fn an_http_answer_is_200_or_a_denial_or_a_failure() {
    let service = http(proto::ExtAuthHttp {
        upstream_headers: vec!["x-user".into()],
        upstream_headers_to_append: vec!["x-roles".into()],
        client_headers: vec!["x-why".into()],
        ..Default::default()
    });
    let called = |status: u16, headers: HeaderMap| {
        Ok(Called { status: StatusCode::from_u16(status).expect("status"), headers, ..Called::default() })
    };
    let fields = map(&[
        ("x-user", "bob"),
        ("x-roles", "b"),
        ("x-other", "1"),
        ("x-envoy-auth-headers-to-remove", "Cookie, a"),
    ]);
    let mut request = Request::with(&[("x-user", "eve"), ("x-roles", "a"), ("cookie", "c")]);
    let check = made(grpc());
    assert!(matches!(
        check.decided(service.decision(called(200, fields)), &mut request.cx()),
        Verdict::Continue
    ));
    assert_eq!(lines(&request.headers), ["x-roles: a,b", "x-user: bob"]);

    let fields = map(&[("x-why", "no"), ("location", "/login"), ("x-other", "1"), ("content-length", "0")]);
    let Decision::Deny(denial) = service.decision(called(302, fields)) else { panic!("denied") };
    assert_eq!(denial.status.as_u16(), 302);
    assert_eq!(denial.headers.len(), 2, "{:?}", denial.headers);

    assert!(matches!(service.decision(called(500, HeaderMap::new())), Decision::Failed(_)));
    assert!(matches!(service.decision(called(201, HeaderMap::new())), Decision::Deny(_)));
    assert!(matches!(service.decision(Err(CallError::Malformed)), Decision::Failed(_)));
}
