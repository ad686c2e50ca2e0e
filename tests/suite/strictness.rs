//! Requests that are not what they seem are refused and never forwarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use portcullis_tests::backend::{body, scripted, upstream};
use portcullis_tests::client;
use portcullis_tests::gateway::Gateway;

use crate::{forward, virtual_service};

#[tokio::test]
async fn malformed_requests_get_400_and_reach_no_upstream() {
    let gateway = Gateway::new();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let backend = scripted(gateway.ip, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Response::new(body("reached")) }
    })
    .await;
    gateway.write("us.yaml", &upstream("b", backend.address, ""));
    gateway.write("vs.yaml", &virtual_service("b", "['*']", &forward("/", "b")));
    let gateway = gateway.start().await;
    let hostile: &[(&str, &str)] = &[
        ("no Host", "GET / HTTP/1.1\r\n\r\n"),
        ("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("Host with a comma", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ("Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ("bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
        ("two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
        ("broken IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        ("relative target", "GET c/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("query only target", "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("at target", "GET @evil/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("ftp target", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("asterisk GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "CL and TE",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        (
            "equal lengths twice",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        ),
        ("listed lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"),
        ("signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
        ("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"),
        ("space before colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n"),
        ("bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
        ("bare LF in one header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\nX-B: c\r\n\r\n"),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n"),
        ("HTTP/1.0 with TE", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ];
    for (what, bytes) in hostile {
        let answer = client::raw(gateway.http(), bytes.as_bytes()).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert_eq!(status, "400", "{what}: {answer:?}");
    }
    for coding in ["gzip, chunked", "identity", "x"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        let answer = client::raw(gateway.http(), request.as_bytes()).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(status == "501" || status == "400", "{coding}: {answer:?}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing was forwarded");

    let many = (0..200).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let long = format!("X-Long: {}\r\n", "y".repeat(70_000));
    for (what, headers) in [("count", many), ("size", long)] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let answer = client::raw(gateway.http(), request.as_bytes()).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "header {what}: {:?}", answer.lines().next());
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "nothing was forwarded");
    assert_eq!(gateway.get("a", "/fine").await.text(), "reached");
    portcullis_tests::wait::until("refused requests in the access log", async || {
        gateway.log().contains("bad_request").then_some(())
    })
    .await;
}

/// What can be done to a path so that it looks like another one.
const DISGUISES: &[&str] = &[
    "/admin",
    "/admin/",
    "/admin?x=/public",
    "/admin;a=b",
    "/./admin",
    "/x/../admin",
    "/public/../admin",
    "/public/..//../admin",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/public/%2e%2e/admin",
    "/public/%2E./admin",
    "/public/.%2e/admin",
    "/public/..\\admin",
    "\\admin",
    "/public\\..\\admin",
    "/admin/../admin",
    "/public/../../../../admin",
    "/%2e/admin",
    "/public/..;/admin",
    "//admin",
    "/public//../../admin",
    "/public%2f..%2fadmin",
    "/public/..%2fadmin",
    "/public%5c..%5cadmin",
    "/public/%252e%252e/admin",
    "/public/%2%65%2%65/admin",
    "/public/%%32e%%32e/admin",
    "/ADMIN",
    "/Admin",
    "/admin%00",
    "/admin%0a",
    "/admin%20",
    "/admin#x",
    "/public#/../admin",
    "/public/..",
    "/public/...",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%uff0e%uff0e/admin",
];

#[tokio::test]
async fn what_is_routed_is_what_is_forwarded() {
    let gateway = Gateway::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let paths = Arc::clone(&seen);
    let backend = scripted(gateway.ip, move |request: http::Request<_>| {
        paths.lock().unwrap().push(request.uri().path().to_owned());
        async { Response::new(body("reached")) }
    })
    .await;
    gateway.write("us.yaml", &upstream("b", backend.address, ""));
    let closed = "    - matchers: [{prefix: /admin, caseSensitive: false}]\n      directResponseAction: {status: 403, body: closed}\n";
    let routes = format!("{closed}{}", forward("/", "b"));
    gateway.write("vs.yaml", &virtual_service("b", "['*']", &routes));
    let gateway = gateway.start().await;
    let ask = async |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client::raw(gateway.http(), request.as_bytes()).await.unwrap()
    };
    portcullis_tests::wait::until("the route", async || {
        ask("/").await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
    for path in DISGUISES {
        for target in [(*path).to_owned(), format!("http://a{}", path.strip_prefix('\\').unwrap_or(path))] {
            let answer = ask(&target).await;
            let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
            assert!(["200", "400", "403"].contains(&status.as_str()), "{target}: {answer:?}");
        }
    }
    // As the upstream reads what came, none of it is the closed place: an upstream decodes once.
    for path in seen.lock().unwrap().iter() {
        let mut segments = Vec::new();
        let decoded = path.replace("%2e", ".").replace("%2E", ".");
        for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
            match segment {
                "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment.to_ascii_lowercase()),
            }
        }
        let merged = path.starts_with("//");
        assert!(
            merged || !segments.first().is_some_and(|first| first.starts_with("admin")),
            "{path} got through"
        );
    }
}
