//! Requests and answers by themselves. Whole calls are tested through the engine, conversions in `shared`.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use super::*;
use crate::policy::testing::{Request, Response, map};

/// `t.S` with One(M) -> M, Down(M) -> stream M and Up(stream M) -> M, where M has `int32 a`. No annotations: the methods
/// are found by `auto_mapping`.
fn wire() -> proto::GrpcJsonTranscoder {
    let method = |name: &str, client: bool, server: bool| MethodDescriptorProto {
        name: Some(name.into()),
        input_type: Some(".t.M".into()),
        output_type: Some(".t.M".into()),
        client_streaming: Some(client),
        server_streaming: Some(server),
        ..Default::default()
    };
    let field = FieldDescriptorProto {
        name: Some("a".into()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Int32.into()),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        syntax: Some("proto3".into()),
        message_type: vec![DescriptorProto {
            name: Some("M".into()),
            field: vec![field],
            ..Default::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("S".into()),
            method: vec![method("One", false, false), method("Down", false, true), method("Up", true, false)],
            ..Default::default()
        }],
        ..Default::default()
    };
    proto::GrpcJsonTranscoder {
        descriptor_set: FileDescriptorSet { file: vec![file] }.encode_to_vec().into(),
        services: vec!["t.S".into()],
        auto_mapping: true,
        ..Default::default()
    }
}

fn policy(change: impl FnOnce(&mut proto::GrpcJsonTranscoder)) -> GrpcJsonTranscoder {
    let mut wire = wire();
    change(&mut wire);
    let rules = Rules {
        descriptor_set: wire.descriptor_set,
        services: wire.services,
        auto_mapping: true,
        ..Rules::default()
    };
    GrpcJsonTranscoder {
        transcoder: Transcoder::new(&rules).unwrap(),
        same_route: wire.match_incoming_request_route,
        convert_status: wire.convert_grpc_status,
    }
}

fn post(path: &'static str) -> Request {
    let mut request = Request::with(&[("content-type", "application/json")]);
    (request.facts.method, request.facts.path, request.has_body) = ("POST", path, true);
    request
}

/// What came of a whole request.
fn turned(
    policy: &GrpcJsonTranscoder,
    request: &mut Request,
    body: &'static str,
) -> Result<Bytes, LocalReply> {
    let mut body = Bytes::from_static(body.as_bytes());
    let mut verdict = policy.request(&mut request.cx());
    if let Verdict::Body { limit } = verdict {
        assert_eq!(limit, 1 << 20);
        verdict = policy.request_body(&mut request.cx(), &mut body);
    }
    match verdict {
        Verdict::Continue => Ok(body),
        Verdict::Reply(reply) => Err(reply),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_becomes_a_call_on_the_route_of_its_new_path() {
    let mut request = post("/t.S/One?a=7");
    let body = turned(&policy(|_| {}), &mut request, "").unwrap();
    assert_eq!(body, &b"\0\0\0\0\x02\x08\x07"[..]);
    assert_eq!(request.line.target.as_ref().unwrap(), "/t.S/One");
    assert_eq!(request.line.method, Some(Method::POST));
    assert_eq!(request.headers["content-type"], "application/grpc");
    assert_eq!(request.headers["te"], "trailers");
    assert_eq!(request.headers["x-envoy-original-path"], "/t.S/One?a=7");
    assert_eq!(request.headers["x-envoy-original-method"], "POST");
    assert!(request.reroute);

    let mut request = post("/t.S/One");
    turned(&policy(|wire| wire.match_incoming_request_route = true), &mut request, "{}").unwrap();
    assert!(!request.reroute);
}

#[test]
fn what_is_no_call_passes() {
    for (content_type, path) in [("application/grpc", "/t.S/One"), ("application/json", "/t.S/Other")] {
        let mut request = post(path);
        request.headers = map(&[("content-type", content_type)]);
        assert_eq!(turned(&policy(|_| {}), &mut request, "x").unwrap(), "x", "{path}");
        assert!(request.line.target.is_none() && !request.reroute);
        let mut response = Response { slots: request.slots, ..Response::default() };
        response.headers = map(&[("content-type", "application/grpc")]);
        assert!(matches!(policy(|_| {}).response(&mut response.cx()), Answer::Continue));
        assert_eq!(response.headers["content-type"], "application/grpc");
    }
}

#[test]
fn what_fits_no_message_is_answered() {
    for (path, body, text) in [
        ("/t.S/One", "{\"a\":\"x\"}", "the body is no t.M: "),
        ("/t.S/One?b=1", "", "query parameter \"b\": there is no field \"b\" in \"t.M\""),
    ] {
        let reply = turned(&policy(|_| {}), &mut post(path), body).unwrap_err();
        assert_eq!((reply.status.as_u16(), reply.reason), (400, "transcoding_failed"));
        assert!(reply.body.starts_with(text.as_bytes()), "{:?}", reply.body);
    }
}

#[test]
fn a_client_stream_passes_element_by_element() {
    let mut request = post("/t.S/Up?a=9");
    assert_eq!(turned(&policy(|_| {}), &mut request, "").unwrap(), "");
    let mut piece = |text: &'static str| request.filters.data(Bytes::from_static(text.as_bytes()));
    assert_eq!(piece("[{\"a\":1}, {").unwrap(), [&b"\0\0\0\0\x02\x08\x01"[..]]);
    assert_eq!(piece("}").unwrap(), [""; 0]);
    assert_eq!(piece("]").unwrap(), [&b"\0\0\0\0\x02\x08\x09"[..]]);
    request.filters.end(None).unwrap();

    let mut nothing = post("/t.S/Up");
    nothing.has_body = false;
    assert_eq!(turned(&policy(|_| {}), &mut nothing, "").unwrap_err().status, 400);
    for text in ["{}", " ", "[1]", "[{},]", "[{}"] {
        let mut request = post("/t.S/Up");
        turned(&policy(|_| {}), &mut request, "").unwrap();
        let read = request.filters.data(Bytes::from_static(text.as_bytes()));
        let error = read.and_then(|_| request.filters.end(None)).unwrap_err();
        assert_eq!(error.status, 400, "{text}");
    }
    let mut request = post("/t.S/Up");
    turned(&policy(|_| {}), &mut request, "").unwrap();
    let long = format!("[\"{}", "x".repeat(1 << 20));
    assert_eq!(request.filters.data(long.into()).unwrap_err().status, 413);
}

/// What came of a whole answer.
fn answered(
    policy: &GrpcJsonTranscoder,
    path: &'static str,
    header: &[(&'static str, &'static str)],
    body: &'static [u8],
    trailers: Option<&[(&'static str, &'static str)]>,
) -> (Response, Bytes) {
    let mut request = post(path);
    turned(policy, &mut request, "").unwrap();
    let mut response = Response { slots: request.slots, ..Response::default() };
    response.headers = map(header);
    response.headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    response.trailers = trailers.map(map);
    let mut body = Bytes::from_static(body);
    match policy.response(&mut response.cx()) {
        Answer::Body { .. } => match policy.response_body(&mut response.cx(), &mut body) {
            Answer::Continue => {}
            other => panic!("{other:?}"),
        },
        Answer::Continue => {
            let trailers = response.trailers.take();
            let (whole, trailers) = response.filters.whole(body, trailers).unwrap();
            (body, response.trailers) = (whole, trailers);
        }
        other => panic!("{other:?}"),
    }
    (response, body)
}

const TWO: &[u8] = b"\0\0\0\0\x02\x08\x01\0\0\0\0\x02\x08\x02";
const ONE: &[u8] = b"\0\0\0\0\x02\x08\x01";

#[test]
fn answers_become_json_with_a_status() {
    let plain = policy(|_| {});
    let ok: &[_] = &[("grpc-status", "0")];
    let missing: &[_] = &[("grpc-status", "5"), ("grpc-message", "no such")];
    for (path, header, body, trailers, status, json) in [
        ("/t.S/One", &[] as &[_], ONE, Some(ok), 200, "{\"a\":1}"),
        ("/t.S/One", &[], b"", Some(missing), 404, ""),
        ("/t.S/One", missing, b"", None, 404, ""),
        // No result at all.
        ("/t.S/One", &[], ONE, None, 503, "{\"a\":1}"),
        ("/t.S/Down", &[], TWO, Some(ok), 200, "[{\"a\":1},{\"a\":2}]"),
        ("/t.S/Down", &[], b"", Some(ok), 200, "[]"),
        // The header is out before the result is there.
        ("/t.S/Down", &[], ONE, Some(missing), 200, "[{\"a\":1}]"),
        ("/t.S/Down", missing, b"", None, 404, "[]"),
    ] {
        let (response, text) = answered(&plain, path, header, body, trailers);
        assert_eq!((response.status.as_u16(), text), (status, json.into()), "{path} {header:?} {trailers:?}");
        let kept = path == "/t.S/One" && !header.is_empty();
        let wanted = if kept { "application/grpc" } else { "application/json" };
        assert_eq!(response.headers["content-type"], wanted);
        if path == "/t.S/One" && trailers == Some(missing) {
            assert_eq!(response.headers["grpc-message"], "no such");
        }
    }
}

#[test]
fn a_failed_call_can_have_its_status_as_json() {
    let converting = policy(|wire| wire.convert_grpc_status = true);
    let missing: &[_] = &[("grpc-status", "5"), ("grpc-message", "no%20such")];
    for (path, header, trailers, status) in [
        ("/t.S/One", &[] as &[_], Some(missing), 404),
        ("/t.S/One", missing, None, 404),
        ("/t.S/Down", missing, None, 404),
        ("/t.S/Down", &[], Some(missing), 200),
    ] {
        let (response, text) = answered(&converting, path, header, b"", trailers);
        assert_eq!(text, "{\"code\":5,\"message\":\"no such\"}");
        assert_eq!(response.status, status);
        assert!(!response.headers.contains_key("grpc-status"));
    }
    let (response, text) = answered(&converting, "/t.S/One", &[], ONE, Some(missing));
    assert_eq!((response.status.as_u16(), &*text), (404, &b"{\"a\":1}"[..]));
}

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    for body in [TWO, b"\x01\0\0\0\0", b"\0\0\0", b"\0\0\0\0\x01\xff"] {
        let plain = policy(|_| {});
        let mut request = post("/t.S/One");
        turned(&plain, &mut request, "").unwrap();
        let mut response = Response { slots: request.slots, ..Response::default() };
        response.headers = map(&[("content-type", "application/grpc")]);
        assert!(matches!(plain.response(&mut response.cx()), Answer::Body { .. }));
        match plain.response_body(&mut response.cx(), &mut Bytes::copy_from_slice(body)) {
            Answer::Reply(reply) => assert_eq!(reply.status, 502, "{body:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_gateway_s_own_answer_stays_as_it_is() {
    let plain = policy(|_| {});
    let mut request = post("/t.S/One");
    turned(&plain, &mut request, "").unwrap();
    let mut response = Response { slots: request.slots, local: true, ..Response::default() };
    response.headers = map(&[("content-type", "text/plain")]);
    assert!(matches!(plain.response(&mut response.cx()), Answer::Continue));
    assert_eq!(response.headers["content-type"], "text/plain");
}
