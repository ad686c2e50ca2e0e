//! Access logs that users configure: formats, operators, filters, files.

use std::path::Path;
use std::time::Duration;

use portcullis_proto::envoy::service::accesslog::v3::stream_access_logs_message::LogEntries;
use portcullis_proto::policy::v1 as policy;
use portcullis_proto::table::v1 as table;
use table::file_sink::Format;
use table::log_filter::Filter;

use crate::gateway::{Gateway, Table, any};
use crate::{Peer, Wire};

fn log(path: &Path, format: Format, filter: Option<Filter>) -> table::AccessLog {
    let sink = table::FileSink { path: path.to_str().unwrap().into(), format: Some(format) };
    table::AccessLog {
        sink: Some(table::access_log::Sink::File(sink)),
        filter: filter.map(|filter| table::LogFilter { filter: Some(filter) }),
    }
}

fn text(format: &str) -> Format {
    Format::Text(format.into())
}

/// Waits until the file holds `count` lines.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    let wait = async {
        loop {
            let lines: Vec<String> =
                std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            // The writer is a thread of its own, which cannot be awaited.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("no log line")
}

async fn ask(gateway: &Gateway, peer: &Peer, path: &str, answer: &str) {
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: id\r\nUser-Agent: me\r\n\r\n"))
        .await;
    let mut upstream = peer.accept().await;
    upstream.head().await;
    upstream.send(format!("HTTP/1.1 {answer}\r\ncontent-length: 2\r\nx-up: yes\r\n\r\nok")).await;
    client.answer().await;
}

#[tokio::test]
async fn a_request_is_a_line_in_envoy_s_format() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, json) = (folder.path().join("plain"), folder.path().join("json"));
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address);
    let format = "\"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
         %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %REQ(X-FORWARDED-FOR)% %REQ(USER-AGENT):1% \
         %REQ(:AUTHORITY)% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %RESP(x-up)% %RESPONSE_CODE_DETAILS% \
         %ROUTE_NAME% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DYNAMIC_METADATA(a:b)%\n";
    let template = r#"{"status": "%RESPONSE_CODE%", "a": {"nothing": "%REQ(x-no)%", "both": "%REQ(x-no)%/%PROTOCOL%"},
        "number": 7, "list": ["%REQ(user-agent)%"]}"#;
    table.http.access_logs =
        vec![log(&plain, text(format), None), log(&json, Format::Json(template.into()), None)];
    let gateway = Gateway::start(table).await;
    ask(&gateway, &peer, "/p?q=1", "200 OK").await;
    assert_eq!(
        lines(&plain, 1).await,
        [format!(
            "\"GET /p?q=1 HTTP/1.1\" 200 - 0 2 - m a.test {} up yes via_upstream host-route-0 127.0.0.1 -",
            peer.address
        )]
    );
    assert_eq!(
        lines(&json, 1).await,
        [r#"{"a":{"both":"-/HTTP/1.1","nothing":null},"list":["me"],"number":7,"status":200}"#]
    );
}

#[tokio::test]
async fn answers_of_the_gateway_and_refused_requests_are_lines_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut table = Table::to(Peer::nowhere().await);
    table.domains = vec!["a.test".into()];
    let format = "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %LOCAL_REPLY_BODY%\n";
    table.http.access_logs = vec![log(&path, text(format), None)];
    let gateway = Gateway::start(table).await;
    for host in ["a.test", "b.test", "b ad"] {
        let mut client = Wire::connect(gateway.address).await;
        client.ask(&format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    }
    let lines = lines(&path, 3).await;
    assert!(
        lines[0]
            .starts_with("/x 503 UF upstream_reset_before_response_started{remote_connection_failure} 127."),
        "{lines:?}"
    );
    assert!(lines[0].ends_with("remote connection failure"), "{lines:?}");
    assert_eq!(lines[1], "/x 404 NR route_not_found - ");
    assert_eq!(lines[2], "/x 400 DPE bad_request - Bad Request");
}

#[tokio::test]
async fn filters_choose_what_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address);
    let compare = |op: table::CompareOp, value| table::Compare { op: op as i32, value };
    let status = |op, value| Filter::Status(compare(op, value));
    let of = |filter| table::LogFilter { filter: Some(filter) };
    let header = table::HeaderMatch {
        name: ":path".into(),
        value: Some(table::header_match::Value::Regex("/b.*".into())),
        invert: false,
    };
    let cases = [
        ("ge", status(table::CompareOp::Ge, 500), vec!["/b"]),
        ("eq", status(table::CompareOp::Eq, 200), vec!["/a"]),
        ("le", Filter::DurationMs(compare(table::CompareOp::Le, 60_000)), vec!["/a", "/b"]),
        ("header", Filter::Header(header), vec!["/b"]),
        ("flags", Filter::ResponseFlags(Default::default()), vec![]),
        ("grpc", Filter::GrpcStatus(table::GrpcStatuses { codes: vec![14], exclude: true }), vec!["/a"]),
        ("sample", Filter::Sample(table::Sample { parts_per_million: 0, independent: true }), vec![]),
        ("traceable", Filter::Traceable(true), vec![]),
        (
            "all",
            Filter::All(table::LogFilters {
                filters: vec![of(status(table::CompareOp::Ge, 100)), of(status(table::CompareOp::Le, 300))],
            }),
            vec!["/a"],
        ),
    ];
    let end = folder.path().join("end");
    table.http.access_logs = cases
        .iter()
        .map(|(name, filter, _)| log(&folder.path().join(name), text("%REQ(:PATH)%\n"), Some(filter.clone())))
        .chain([log(&end, text("%REQ(:PATH)%\n"), None)])
        .collect();
    let gateway = Gateway::start(table).await;
    ask(&gateway, &peer, "/a", "200 OK").await;
    ask(&gateway, &peer, "/b", "503 No").await;
    lines(&end, 2).await;
    for (name, _, wanted) in cases {
        assert_eq!(lines(&folder.path().join(name), wanted.len()).await, wanted, "{name}");
    }
}

#[tokio::test]
async fn entries_go_to_a_server_many_at_a_time() {
    let (server, mut messages) = crate::grpc::access_log_server().await;
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address).upstream("logs", &[server], true);
    let sink = table::GrpcSink {
        upstream: "logs".into(),
        log_name: "mine".into(),
        request_headers: vec!["user-agent".into()],
        response_headers: vec!["x-up".into()],
        response_trailers: vec![],
    };
    table.http.access_logs =
        vec![table::AccessLog { sink: Some(table::access_log::Sink::Grpc(sink)), filter: None }];
    let gateway = Gateway::start(table).await;
    ask(&gateway, &peer, "/one", "200 OK").await;
    let mut entries = Vec::new();
    while entries.is_empty() {
        let message = tokio::time::timeout(Duration::from_secs(10), messages.recv())
            .await
            .expect("nothing came")
            .unwrap();
        assert_eq!(message.identifier.unwrap().log_name, "mine");
        match message.log_entries.unwrap() {
            LogEntries::HttpLogs(logs) => entries.extend(logs.log_entry),
            LogEntries::TcpLogs(logs) => panic!("{logs:?}"),
        }
    }
    let (request, response) = (entries[0].request.clone().unwrap(), entries[0].response.clone().unwrap());
    assert_eq!((request.path.as_str(), request.authority.as_str()), ("/one", "a.test"));
    assert_eq!((request.request_id.as_str(), request.request_headers["user-agent"].as_str()), ("id", "me"));
    assert_eq!((response.response_code, response.response_headers["x-up"].as_str()), (Some(200), "yes"));
    let common = entries[0].common_properties.clone().unwrap();
    assert_eq!((common.upstream_cluster.as_str(), common.upstream_request_attempt_count), ("up", 1));
}

#[tokio::test]
async fn what_a_transformation_noted_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let note = |key: &str, text: &str, json| policy::MetadataTemplate {
        namespace: "ns".into(),
        key: key.into(),
        text: text.into(),
        json,
    };
    let template = policy::TemplateTransform {
        metadata: vec![note("path", "{{ header(\":path\") }}", false), note("more", "{\"a\":1}", true)],
        ..Default::default()
    };
    let kind = Some(policy::transform::Kind::Template(template));
    let request = Some(policy::Transform { kind, log: false });
    let rule = policy::RequestTransform { request, ..Default::default() };
    let stage = policy::TransformationStage { requests: vec![rule], ..Default::default() };
    let peer = Peer::bind().await;
    let mut table = Table::to(peer.address).with(&[any(&policy::EarlyTransformation { stage: Some(stage) })]);
    let format = "%DYNAMIC_METADATA(ns:path)% %DYNAMIC_METADATA(ns:more:a)% %DYNAMIC_METADATA(ns:none)%\n";
    table.http.access_logs = vec![log(&path, text(format), None)];
    let gateway = Gateway::start(table).await;
    ask(&gateway, &peer, "/p", "200 OK").await;
    assert_eq!(lines(&path, 1).await, ["/p 1 -"]);
}
