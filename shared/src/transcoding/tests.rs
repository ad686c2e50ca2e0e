//! Whole calls: a request's line and body to a message, a message to an answer.

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::*;

/// The descriptor set of `testdata/shop.proto`.
fn set() -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transcoding/testdata");
    let mut compiler = protox::Compiler::new([folder]).unwrap();
    compiler.include_imports(true).open_file("shop.proto").unwrap();
    compiler.encode_file_descriptor_set().into()
}

fn rules() -> Rules {
    Rules { descriptor_set: set(), services: vec!["shop.v1.Shop".into()], ..Rules::default() }
}

fn transcoder() -> Transcoder {
    Transcoder::new(&rules()).unwrap()
}

fn call(method: &str, target: &str) -> Call {
    transcoder().find(method, target).expect("a call").expect("a good one")
}

/// The message that a request becomes, as JSON.
fn message(method: &str, target: &str, body: &str) -> Result<Value, String> {
    let call = transcoder().find(method, target).expect("a call")?;
    let bytes = call.message(body.as_bytes())?;
    let message = DynamicMessage::decode(call.rule.method.descriptor.input(), &*bytes).unwrap();
    Ok(serde_json::to_value(&message).unwrap())
}

/// The bytes of a message of that type.
fn encoded(name: &str, value: &Value) -> Bytes {
    let pool = DescriptorPool::decode(set()).unwrap();
    let message = pool.get_message_by_name(name).unwrap();
    prost::Message::encode_to_vec(&DynamicMessage::deserialize(message, value).unwrap()).into()
}

fn answer(call: &Call, name: &str, value: &Value) -> String {
    String::from_utf8(call.json(encoded(name, value)).unwrap()).unwrap()
}

#[test]
fn requests_find_their_methods() {
    let transcoder = transcoder();
    for (method, target, path) in [
        ("GET", "/v1/items/7", Some("GetItem")),
        ("GET", "/v1/items/7/", Some("GetItem")),
        ("GET", "/v1/things/7/x", Some("GetItem")),
        ("GET", "/v1/items", Some("List")),
        ("POST", "/v1/items", Some("Create")),
        ("PATCH", "/v1/items/7", Some("Update")),
        ("POST", "/v1/items/7:cancel", Some("Cancel")),
        ("GET", "/v1/items/7:cancel", None),
        ("GET", "/v1/items/7:other", Some("GetItem")),
        ("TRACE", "/v1/a/b/c", Some("Trace")),
        ("TRACE", "/v1", Some("Trace")),
        ("DELETE", "/v1/items/7", None),
        ("GET", "/", None),
        ("GET", "*", None),
        ("POST", "/shop.v1.Shop/Plain", None),
    ] {
        let found = transcoder.find(method, target).map(|call| call.unwrap().path().to_owned());
        assert_eq!(found, path.map(|name| format!("/shop.v1.Shop/{name}")), "{method} {target}");
    }
    let automatic = Transcoder::new(&Rules { auto_mapping: true, ..rules() }).unwrap();
    let plain = automatic.find("POST", "/shop.v1.Shop/Plain").unwrap().unwrap();
    assert_eq!(plain.path(), "/shop.v1.Shop/Plain");
    assert!(plain.takes_body());
}

#[test]
fn path_query_and_body_become_one_message() {
    for (method, target, body, wanted) in [
        ("GET", "/v1/items/7", "", json!({"name": "items/7"})),
        (
            "GET",
            "/v1/things/9/a%2Fb?depth=3&item.tags=x&item.tags=y&item.kind=PEN&item.onSale=true",
            "",
            json!({"depth": 3, "item": {"itemId": "9", "maker": {"name": "a/b"}, "tags": ["x", "y"],
                "kind": "PEN", "onSale": true}}),
        ),
        (
            "GET",
            "/v1/items/7?item.made=2026-01-02T03:04:05Z&item.lasts=1.5s&item.note=hi&item.mark=_-8&item.kind=2&item.price=1e3",
            "",
            json!({"name": "items/7", "item": {"made": "2026-01-02T03:04:05Z", "lasts": "1.500s", "note": "hi",
                "mark": "/+8=", "kind": "PEN", "price": 1000.0}}),
        ),
        (
            "POST",
            "/v1/items",
            r#"{"name":"a","item_id":5,"unknown":[{}],"count":"3"}"#,
            json!({"name": "a", "itemId": "5", "count": 3}),
        ),
        ("POST", "/v1/items", "", json!({})),
        ("GET", "/v1/items/7?depth=3&dep%74h=4&name=x", "", json!({"name": "x", "depth": 4})),
        ("POST", "/v1/items?tags=c", r#"{"tags":["a","b"]}"#, json!({"tags": ["a", "b", "c"]})),
        ("POST", "/v1/items?count=4", r#"{"name":"a"}"#, json!({"name": "a", "count": 4})),
        ("POST", "/v1/items?count=4", r#"{"count":5}"#, json!({"count": 5})),
        (
            "PATCH",
            "/v1/items/7?item.count=1",
            r#"{"name":"a"}"#,
            json!({"name": "items/7", "item": {"name": "a", "count": 1}}),
        ),
        // What is not asked for is not looked at.
        ("GET", "/v1/items/7", "no json", json!({"name": "items/7"})),
        ("GET", "/v1/items/7?flag&=x", "", json!({"name": "items/7"})),
    ] {
        assert_eq!(message(method, target, body), Ok(wanted), "{method} {target} {body}");
    }
}

#[test]
fn what_fits_no_field_is_told() {
    for (method, target, body, wanted) in [
        (
            "GET",
            "/v1/items/7?colour=red",
            "",
            "query parameter \"colour\": there is no field \"colour\" in \"shop.v1.Get\"",
        ),
        (
            "GET",
            "/v1/items/7?item.x=red",
            "",
            "query parameter \"item.x\": there is no field \"x\" in \"shop.v1.Item\"",
        ),
        (
            "GET",
            "/v1/items/7?name.x=red",
            "",
            "query parameter \"name.x\": the field \"name\" is not a message",
        ),
        ("GET", "/v1/items/7?item=red", "", "query parameter \"item\": \"shop.v1.Item\" has no form as text"),
        ("GET", "/v1/items/7?depth=deep", "", "query parameter \"depth\": \"deep\" is not a 32-bit integer"),
        (
            "GET",
            "/v1/items/7?item.onSale=maybe",
            "",
            "query parameter \"item.onSale\": \"maybe\" is neither true nor false",
        ),
        (
            "GET",
            "/v1/items/7?item.kind=9",
            "",
            "query parameter \"item.kind\": \"9\" is not a value of \"shop.v1.Kind\"",
        ),
        ("POST", "/v1/items", " ", "the body is no shop.v1.Item: EOF while parsing"),
        (
            "GET",
            "/v1/things/x/y",
            "",
            "the path has no value for \"item.item_id\": \"x\" is not a 64-bit integer",
        ),
        ("POST", "/v1/items", "{\"count\":\"x\"}", "the body is no shop.v1.Item: "),
        ("POST", "/v1/items", "{} {}", "the body is no shop.v1.Item: trailing characters at line 1 column 4"),
        ("POST", "/v1/items", "[]", "the body is no shop.v1.Item: "),
        ("POST", "/v1/items", "{\"name\":\"\u{1}\"}", "the body is no shop.v1.Item: "),
    ] {
        let told = message(method, target, body).unwrap_err();
        assert!(told.starts_with(wanted), "{told}");
    }
    let deep = format!("{{\"more\":{}1{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    assert!(message("POST", "/v1/items", &deep).unwrap_err().contains("recursion limit"));
}

#[test]
fn query_parameters_can_be_nobody_s() {
    let find = |rules: Rules, target: &str| Transcoder::new(&rules).unwrap().find("GET", target).unwrap();
    let named = Rules { ignored_query_parameters: vec!["key".into()], ..rules() };
    assert!(find(named.clone(), "/v1/items/7?key=1").is_ok());
    assert!(find(named, "/v1/items/7?other=1").is_err());
    let all = Rules { ignore_unknown_query_parameters: true, ..rules() };
    assert!(find(all.clone(), "/v1/items/7?other=1").is_ok());
    assert!(find(all, "/v1/items/7?depth=x").is_err());
}

#[test]
fn answers_are_json() {
    let item = json!({"name": "a<b>", "itemId": "7", "kind": "PEN", "maker": {"name": "m"}, "rank": 0});
    let get = call("GET", "/v1/items/7");
    assert_eq!(
        answer(&get, "shop.v1.Item", &item),
        r#"{"name":"a<b>","itemId":"7","kind":"PEN","maker":{"name":"m"},"rank":0}"#
    );
    let items = json!({"items": [{"name": "a"}, {}], "title": "t"});
    assert_eq!(answer(&call("GET", "/v1/items"), "shop.v1.Items", &items), r#"[{"name":"a"},{}]"#);
    assert_eq!(answer(&call("GET", "/v1/title"), "shop.v1.Items", &items), r#""t""#);
    assert_eq!(answer(&call("GET", "/v1/items"), "shop.v1.Items", &json!({})), "[]");
    let print = |print| {
        let transcoder = Transcoder::new(&Rules { print, ..rules() }).unwrap();
        let call = transcoder.find("GET", "/v1/items/7").unwrap().unwrap();
        answer(&call, "shop.v1.Item", &json!({"itemId": "7", "kind": "PEN"}))
    };
    assert_eq!(
        print(PrintOptions { enum_numbers: true, proto_names: true, ..Default::default() }),
        r#"{"item_id":"7","kind":2}"#
    );
    assert_eq!(
        print(PrintOptions { whitespace: true, ..Default::default() }),
        "{\n \"itemId\": \"7\",\n \"kind\": \"PEN\"\n}\n"
    );
    assert_eq!(
        print(PrintOptions { empty_fields: true, ..Default::default() }),
        r#"{"name":"","itemId":"7","count":0,"price":0.0,"onSale":false,"kind":"PEN","mark":"","tags":[],"stock":{},"big":"0"}"#
    );
}

#[test]
fn an_answer_of_another_kind_has_no_json() {
    let get = call("GET", "/v1/items/7");
    assert!(matches!(get.json(Bytes::from_static(b"\xff")), Err(Unprintable::Undecodable(..))));
    let hold = call("GET", "/v1/hold/x");
    let pool = DescriptorPool::decode(set()).unwrap();
    let holder = pool.get_message_by_name("shop.v1.Holder").unwrap();
    let mut any = prost_types::Any { type_url: "a/shop.v1.Unknown".into(), value: Vec::new() };
    let held = |any: &prost_types::Any| {
        let mut message = DynamicMessage::new(holder.clone());
        let value = message.get_field_by_name_mut("any").unwrap().as_message_mut().unwrap();
        value.transcode_from(any).unwrap();
        prost::Message::encode_to_vec(&message)
    };
    assert!(matches!(hold.json(held(&any).into()), Err(Unprintable::NoForm(_))));
    for _ in 0..200 {
        let value = prost::Message::encode_to_vec(&any);
        any = prost_types::Any { type_url: "a/google.protobuf.Any".into(), value };
    }
    assert_eq!(hold.json(held(&any).into()), Err(Unprintable::TooDeep));
}

#[test]
fn http_bodies_pass_as_they_are() {
    let page = call("GET", "/v1/page/x");
    assert!(page.gives_raw() && !page.takes_raw() && !page.takes_body());
    let body = encoded("google.api.HttpBody", &json!({"contentType": "text/html", "data": "aGk="}));
    assert_eq!(page.raw(body), Ok((Some("text/html".into()), Bytes::from_static(b"hi"))));

    let stored = call("PUT", "/v1/files/a%2Fb");
    assert!(stored.takes_raw());
    let wanted = |name, value| encoded(name, &value);
    assert_eq!(
        stored.raw_message(Bytes::from_static(b"hi"), "text/css", true),
        wanted("shop.v1.Upload", json!({"name": "a/b", "file": {"contentType": "text/css", "data": "aGk="}}))
    );
    assert_eq!(
        stored.raw_message(Bytes::from_static(b"hi"), "text/css", false),
        wanted("shop.v1.Upload", json!({"file": {"data": "aGk="}}))
    );
    let raw = call("POST", "/v1/raw");
    assert_eq!(
        raw.raw_message(Bytes::from_static(b"hi"), "", true),
        wanted("google.api.HttpBody", json!({"data": "aGk="}))
    );
}

#[test]
fn a_failed_call_has_a_status_as_json() {
    let get = call("GET", "/v1/items/7");
    let text = |json: Option<Vec<u8>>| json.map(|json| String::from_utf8(json).unwrap());
    assert_eq!(text(get.status(None, 5, "no \"x\"")).unwrap(), r#"{"code":5,"message":"no \"x\""}"#);
    let status = |type_url: &str| {
        use ::base64::Engine as _;
        let any = prost_types::Any { type_url: type_url.into(), value: vec![10, 1, b'm'] };
        // code, message, details
        let mut bytes = vec![8, 7, 18, 1, b'x', 26];
        let any = prost::Message::encode_to_vec(&any);
        bytes.push(u8::try_from(any.len()).unwrap());
        bytes.extend(any);
        ::base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
    };
    let known = status("type.googleapis.com/shop.v1.Maker");
    assert_eq!(
        text(get.status(Some(known.as_bytes()), 5, "")).unwrap(),
        r#"{"code":7,"details":[{"@type":"type.googleapis.com/shop.v1.Maker","name":"m"}],"message":"x"}"#
    );
    assert_eq!(get.status(Some(status("a/shop.v1.Unknown").as_bytes()), 5, ""), None);
    assert_eq!(get.status(Some(b"?"), 5, ""), None);
}

#[test]
fn what_cannot_be_used_is_told() {
    let told = |rules: Rules| Transcoder::new(&rules).unwrap_err().to_string();
    assert_eq!(
        told(Rules { services: vec!["shop.v1.Shopp".into()], ..rules() }),
        "there is no service [shop.v1.Shopp] in the descriptor set; it has shop.v1.Shop"
    );
    assert_eq!(
        told(Rules { descriptor_set: Bytes::new(), ..rules() }),
        "the descriptor set cannot be used: it is empty"
    );
    let broken = Rules { descriptor_set: Bytes::from_static(b"\xff\xff"), ..rules() };
    assert!(told(broken).starts_with("the descriptor set cannot be used: "));
    for (annotation, wanted) in [
        (r#"get: "v1""#, "[v1]: it does not start with `/`"),
        (r#"get: "/v1/{nam}""#, "[/v1/{nam}]: there is no field \"nam\" in \"t.M\""),
        (r#"get: "/v1/{inner}""#, "[/v1/{inner}]: the field \"inner\" is a message"),
        (r#"post: "/v1" body: "nam""#, "body: there is no field \"nam\" in \"t.M\""),
        (r#"get: "/v1" response_body: "nam""#, "response_body: there is no field \"nam\" in \"t.M\""),
        (r#"body: "*""#, "it has no pattern"),
        (
            r#"get: "/v1/{a}" additional_bindings { get: "/v1/*" }"#,
            "GET [/v1/*] has the same paths as one of /t.S/C",
        ),
    ] {
        let text = format!(
            "syntax = \"proto3\"; package t; import \"google/api/annotations.proto\";
             message M {{ string a = 1; M inner = 2; }}
             service S {{ rpc C(M) returns (M) {{ option (google.api.http) = {{ {annotation} }}; }} }}"
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.proto"), text).unwrap();
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transcoding/testdata");
        let mut compiler = protox::Compiler::new([folder.path(), shared.as_ref()]).unwrap();
        compiler.include_imports(true).open_file("t.proto").unwrap();
        let descriptor_set = compiler.encode_file_descriptor_set().into();
        let rules = Rules { descriptor_set, services: vec!["t.S".into()], ..Rules::default() };
        assert_eq!(told(rules), format!("the annotation of t.S.C is wrong: {wanted}"));
    }
}
